/**
 * How the parts of a data path reach each other: what each of them asks for, as methods that all connections share. A closure for each
 * would take 2 KiB of a connection.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { Clock } from '../common/clock.js';
import type { FIXED_NUMBERS } from '../common/fixed-numbers.js';
import type { MessageKind } from '../fragments/message-header.js';
import type { Control, Outbox } from '../fragments/outbox.js';
import type { ReceiveWindow } from '../fragments/receive-window.js';
import { SendMemory, type SendMemoryOptions } from '../fragments/send-memory.js';
import { messageWindow } from '../link/own-parameters.js';
import { type ConnectionResources, firstReceives, restBuffers } from '../link/resources.js';
import type { SealedMemory } from '../memory/sealed-memory.js';
import { type InboxOptions, MessageInbox } from '../messages/message-inbox.js';
import type { MessageReceiver, ReceiverOptions } from '../messages/message-receiver.js';
import type { MessageSender, SenderOptions } from '../messages/message-sender.js';
import { receivesWithin } from '../rates/client-rates.js';
import type { RateGate } from '../rates/rate-gate.js';
import { StreamMemory, type StreamMemoryOptions } from '../streams/stream-memory.js';
import type { StreamTable, StreamTableOptions } from '../streams/stream-table.js';
import type { DataPathLimits } from '../terms/options.js';
import type { DataPlaneListener } from './data-plane.js';
import type { IdleWatchOptions } from './idle-watch.js';

/** What there is of a data path at the moment. */
export interface DataPathParts {
  /** Where its counters began. */
  readonly first: typeof FIXED_NUMBERS.first;
  readonly listener: DataPlaneListener | null;
  readonly outbox: Outbox;
  readonly receiver: MessageReceiver;
  readonly streams: StreamTable;
  readonly currentSender: MessageSender | undefined;
  readonly currentResources: ConnectionResources | undefined;
  readonly currentSealedMemory: SealedMemory | undefined;
  /** @throws RdmaError ERR_RDMA_CLOSED when there are none. */
  readonly resources: ConnectionResources;
  /** The peer wants to know whether this side is there. */
  answer(): void;
  /** The device has refused a request: the link cannot go on. */
  breakLink(error: RdmaError): void;
}

/** Of its receiver and its inbox. */
export class ReceiverEnd implements ReceiverOptions, InboxOptions {
  readonly slots: number;
  readonly mostSlots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  readonly windowBytes: number;
  readonly gate: RateGate | null;
  readonly inbox: MessageInbox;
  readonly #path: DataPathParts;

  constructor(path: DataPathParts, limits: DataPathLimits, gate: RateGate | null) {
    const { slotBytes, receiveSlots, rates, maxMessageBytes } = limits;
    this.#path = path;
    this.slots = firstReceives(limits);
    this.mostSlots = Math.max(this.slots, receivesWithin(rates?.fromClient ?? null, slotBytes, receiveSlots));
    this.slotBytes = slotBytes;
    this.maxMessageBytes = maxMessageBytes;
    this.windowBytes = messageWindow(limits);
    this.gate = gate;
    this.inbox = new MessageInbox(this);
  }

  get streams(): StreamTable {
    return this.#path.streams;
  }

  get firstSequence(): number {
    return this.#path.first.fragment;
  }

  get start(): number {
    return this.#path.first.messageCost;
  }

  tell(control: Control): void {
    this.#path.outbox.control(control);
  }

  onPeerLimit(limit: number): void {
    this.#path.currentSender?.onPeerLimit(limit);
  }

  onMessageLimit(limit: number): void {
    this.#path.currentSender?.onMessageLimit(limit);
  }

  onReceiveGiven(): void {
    this.#path.currentSender?.advertise();
  }

  onQuit(): void {
    this.#path.listener?.onQuit();
  }

  onAsk(): void {
    this.#path.answer();
  }

  onBye(): void {
    this.#path.listener?.onBye();
  }

  onClose(code: number): void {
    this.#path.listener?.onPeerClose(code);
  }

  allocate(bytes: number): Promise<MemoryRegion> {
    return this.#path.resources.takeBuffer(bytes, AccessFlags.LOCAL_WRITE);
  }

  release(mr: MemoryRegion): void {
    this.#path.currentResources?.freeBuffer(mr);
  }

  onRefused(error: RdmaError): void {
    this.#path.breakLink(error);
  }

  onSealedMemory(kind: MessageKind, data: Uint8Array): void {
    this.#path.currentSealedMemory?.onMessage(kind, Buffer.from(data.buffer, 0, data.length));
  }
}

/** Of its sender, and of the memory that this sends from. */
export class SenderEnd implements SenderOptions, SendMemoryOptions {
  readonly memory: SendMemory;
  readonly window: ReceiveWindow;
  readonly outbox: Outbox;
  readonly gate: RateGate | null;
  readonly #path: DataPathParts;
  readonly #resources: ConnectionResources;

  constructor(path: DataPathParts, resources: ConnectionResources, gate: RateGate | null) {
    this.#path = path;
    this.#resources = resources;
    this.window = path.receiver.window;
    this.outbox = path.outbox;
    this.gate = gate;
    this.memory = new SendMemory(this);
  }

  get slots(): number {
    return this.#resources.sendSlots;
  }

  get slotBytes(): number {
    return this.#resources.limits.slotBytes;
  }

  get streams(): StreamTable {
    return this.#path.streams;
  }

  get firstSequence(): number {
    return this.#path.first.fragment;
  }

  get messageStart(): number {
    return this.#path.first.messageCost;
  }

  onHeld(isHeld: boolean): void {
    this.#path.listener?.onHeld(isHeld);
  }

  get mr(): MemoryRegion {
    return this.#resources.messageMr;
  }

  get firstBytes(): number {
    return this.#resources.firstSendBytes;
  }

  get mostBytes(): number {
    return this.#resources.mostSendBytes;
  }

  allocate(bytes: number): Promise<MemoryRegion> {
    return this.#resources.takeBuffer(bytes, 0);
  }

  release(mr: MemoryRegion): void {
    this.#resources.freeBuffer(mr);
  }

  onGrown(): void {
    this.#path.currentSender?.pump();
  }
}

/** Of its streams, and of what they send from. */
export class StreamsEnd implements StreamTableOptions, StreamMemoryOptions {
  readonly #path: DataPathParts;
  readonly #limits: DataPathLimits['streams'];
  /** Made for the first stream, as most connections have none. */
  #memory: StreamMemory | null = null;

  constructor(path: DataPathParts, limits: DataPathLimits['streams']) {
    this.#path = path;
    this.#limits = limits;
  }

  get outbox(): Outbox {
    return this.#path.outbox;
  }

  get streams(): number {
    return this.#limits.open;
  }

  get windowBytes(): number {
    return this.#limits.windowBytes;
  }

  get start(): number {
    return this.#path.first.streamByte;
  }

  get firstStream(): number {
    return this.#path.first.stream;
  }

  get memory(): StreamMemory {
    this.#memory ??= new StreamMemory(this);
    return this.#memory;
  }

  isInstant(): boolean {
    return this.#path.currentResources?.pd.device.attributes.instantRegistration ?? false;
  }

  isSealed(): boolean {
    return this.#path.currentSealedMemory !== undefined;
  }

  registrar(): ConnectionResources | null {
    return this.#path.currentResources ?? null;
  }
}

/** Of who watches whether it is idle. */
export class IdleEnd implements IdleWatchOptions {
  readonly clock: Clock;
  readonly #path: DataPathParts;

  constructor(path: DataPathParts, clock: Clock) {
    this.#path = path;
    this.clock = clock;
  }

  progress(): number {
    const { receiver, currentSender } = this.#path;
    return receiver.received + (currentSender?.sent ?? 0);
  }

  onIdle(): boolean {
    restBuffers();
    return this.#path.currentSender?.rest() ?? false;
  }
}
