/** Two whole ends of the message protocol that a test joins, fragment by fragment. Counters begin just below their wrap. */
import assert from 'node:assert/strict';
import { Outbox } from '../../src/connection/fragments/outbox.js';
import { LIMIT_RECEIVES } from '../../src/connection/fragments/receive-window.js';
import { SendMemory } from '../../src/connection/fragments/send-memory.js';
import { WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import { type Message, MessageInbox } from '../../src/connection/messages/message-inbox.js';
import { MessageReceiver } from '../../src/connection/messages/message-receiver.js';
import { MessageSender } from '../../src/connection/messages/message-sender.js';
import type { RateGate } from '../../src/connection/rates/rate-gate.js';
import { type StreamEvents, type StreamId, StreamTable } from '../../src/connection/streams/stream-table.js';
import { RdmaError } from '../../src/verbs/errors.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { WcStatus, WorkCompletion } from '../../src/verbs/work-completion.js';
import { WatchedMemory, WatchedQp } from '../../tools/fuzz/targets/messages/watched-queues.js';

export const SLOTS = 3;
export const SLOT_BYTES = 64;
export const START = 0xfffffffe;
export const TERMS = {
  maxMessageBytes: 1000,
  messageWindowBytes: 200,
  streams: 2,
  streamWindowBytes: 100,
} as const;

export interface EndGates {
  readonly in?: RateGate;
  readonly out?: RateGate;
}

export class End {
  readonly messages: Message[] = [];
  readonly streams: StreamTable;
  readonly inbox: MessageInbox;
  readonly receiver: MessageReceiver;
  readonly sender: MessageSender;
  /** Bytes that were read of each stream, by the number at the other end. */
  readonly read = new Map<StreamId, number[]>();
  readonly written = new Map<StreamId, number[]>();
  readonly opened: StreamId[] = [];
  readonly readable: StreamId[] = [];
  readonly resets: [StreamId, number][] = [];
  onEnd: StreamEvents['onEnd'] = () => {};
  /** Why the link cannot go on. */
  readonly refusals: RdmaError[] = [];
  done = 0;
  quits = 0;
  byes = 0;
  readonly closes: number[] = [];
  qp: WatchedQp;
  tracker: WorkTracker;
  readonly receiveMr = new WatchedMemory((SLOTS + LIMIT_RECEIVES) * SLOT_BYTES);
  readonly sendMr = new WatchedMemory(SLOTS * SLOT_BYTES);
  /** What was needed beyond the first receives and the first send memory. */
  readonly more = new Set<MemoryRegion>();
  readonly moreReceives = new Set<MemoryRegion>();
  readonly #mostSlots: number;
  /** What was sent and has not arrived. */
  readonly wire: { readonly bytes: Uint8Array; readonly wrId: number; readonly flags: number }[] = [];

  /** `mostSlots`: receives that there may be for fragments. `gates`: what bounds its traffic. */
  constructor(mostSlots: number, gates: EndGates = {}) {
    this.#mostSlots = mostSlots;
    this.qp = this.#newQp();
    this.tracker = new WorkTracker(this.qp, { onRefused: (error) => void this.refusals.push(error) });
    const outbox = new Outbox();
    this.streams = new StreamTable({
      outbox,
      events: {
        onOpened: (id) => void this.opened.push(id),
        onReadable: (id) => void this.readable.push(id),
        onReset: (id, code) => void this.resets.push([id, code]),
        onOpenLimit() {},
        onEnd: (error, isInOrder) => this.onEnd(error, isInOrder),
      },
      streams: TERMS.streams,
      windowBytes: TERMS.streamWindowBytes,
      start: START,
    });
    this.inbox = new MessageInbox({
      maxMessageBytes: TERMS.maxMessageBytes,
      windowBytes: TERMS.messageWindowBytes,
      tell: (control) => outbox.control(control),
      start: START,
    });
    this.receiver = new MessageReceiver({
      slots: SLOTS,
      mostSlots,
      allocate: async (bytes) => {
        const mr = await this.#allocate(bytes);
        this.moreReceives.add(mr);
        return mr;
      },
      release: (mr) => {
        this.moreReceives.delete(mr);
        this.#release(mr);
      },
      slotBytes: SLOT_BYTES,
      maxMessageBytes: TERMS.maxMessageBytes,
      inbox: this.inbox,
      streams: this.streams,
      onPeerLimit: (limit) => this.sender.onPeerLimit(limit),
      onMessageLimit: (limit) => this.sender.onMessageLimit(limit),
      onReceiveGiven: () => this.sender.advertise(),
      onQuit: () => this.quits++,
      onAsk: () => this.sender.tellLimit(),
      onBye: () => this.byes++,
      onClose: (code) => this.closes.push(code),
      gate: gates.in ?? null,
      onSealedMemory: () => assert.fail('nothing is sealed'),
      onRefused: (error) => this.refusals.push(error),
      firstSequence: START,
    });
    this.sender = new MessageSender({
      memory: new SendMemory({
        mr: this.sendMr,
        firstBytes: SLOTS * SLOT_BYTES,
        mostBytes: mostSlots * SLOT_BYTES,
        allocate: (bytes) => this.#allocate(bytes),
        release: (mr) => this.#release(mr),
        onGrown: () => this.sender.pump(),
      }),
      slots: mostSlots,
      slotBytes: SLOT_BYTES,
      window: this.receiver.window,
      gate: gates.out ?? null,
      outbox,
      streams: this.streams,
      firstSequence: START,
      messageStart: START,
    });
  }

  listen(): void {
    this.qp = this.#newQp();
    this.tracker = new WorkTracker(this.qp, { onRefused: (error) => void this.refusals.push(error) });
    this.qp.onSend = ({ wrId, flags = 0 }, { mr, offset = 0, length = 0 }) => {
      assert.ok(mr === this.sendMr || this.more.has(mr), 'nothing is sent from memory that is gone');
      this.wire.push({ bytes: mr.bytes.slice(offset, offset + length), wrId, flags });
    };
    this.receiver.attach(this.qp, this.receiveMr, 0, null);
  }

  attach(peerReceived: number): void {
    const { tracker } = this;
    const slots = { peerSlots: SLOTS, peerSlotBytes: SLOT_BYTES, peerReceived };
    this.sender.attach({ tracker, ...slots, terms: TERMS, sealer: null });
  }

  detach(): void {
    this.sender.detach();
    this.receiver.detach();
    this.wire.length = 0;
    this.tracker.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link was lost'));
  }

  acknowledge(wrId: number): void {
    this.qp.sends.shift();
    const completion = new WorkCompletion();
    completion.wrId = wrId;
    completion.status = WcStatus.SUCCESS;
    this.tracker.onCompletion(completion);
  }

  send(data: Uint8Array): void {
    this.sender.send(7, data, (error) => {
      assert.equal(error, undefined);
      this.done++;
    });
  }

  write(id: StreamId, bytes: Uint8Array): void {
    this.written.set(id, [...(this.written.get(id) ?? []), ...bytes]);
    this.streams.write(id, bytes, (error) => assert.equal(error, undefined));
  }

  readAll(id: StreamId): void {
    for (let bytes = this.streams.read(id); bytes !== undefined; bytes = this.streams.read(id))
      this.read.set(-id, [...(this.read.get(-id) ?? []), ...bytes]);
  }

  #newQp(): WatchedQp {
    return new WatchedQp(this.#mostSlots + LIMIT_RECEIVES, SLOT_BYTES);
  }

  async #allocate(bytes: number): Promise<MemoryRegion> {
    const mr = new WatchedMemory(bytes);
    this.more.add(mr);
    return mr;
  }

  #release(mr: MemoryRegion): void {
    assert.ok(this.more.delete(mr), 'memory is given back once');
    const isUsed = this.qp.sends.some(({ sges }) => sges?.[0]?.mr === mr);
    assert.ok(!isUsed, 'memory is given back when no fragment in it is under way');
    // Whoever uses it all the same is seen.
    mr.bytes.fill(0xdd);
  }

  take(): void {
    if (this.inbox.unread === 0) return;
    this.inbox.wait({
      resolve: (message) => {
        if (message !== undefined) this.messages.push(message);
      },
      reject: assert.fail,
    });
  }
}

export class Pair {
  readonly ends: readonly [End, End];
  /** Completions that have not come. */
  readonly #acknowledgements: [End, number][] = [];

  /** `isUp`: otherwise no end has begun. `gates`: those of the second end. */
  constructor(isUp = true, mostSlots: number = SLOTS, gates: EndGates = {}) {
    this.ends = [new End(mostSlots), new End(mostSlots, gates)];
    if (isUp) this.connect();
  }

  connect(): void {
    const [a, b] = this.ends;
    for (const end of this.ends) end.listen();
    a.attach(b.receiver.received);
    b.attach(a.receiver.received);
  }

  /** The oldest fragment from `from` arrives; returns whether there was one. */
  deliver(from: 0 | 1): boolean {
    const sender = this.ends[from];
    const receiver = this.ends[1 - from] as End;
    const fragment = sender.wire.shift();
    if (fragment === undefined) return false;
    const receive = receiver.qp.takeReceive();
    assert.ok(receive !== undefined, 'no fragment meets a peer without receives');
    receive.memory.set(fragment.bytes);
    receiver.receiver.onFragment(receive.wrId, fragment.bytes.length);
    this.#acknowledgements.push([sender, fragment.wrId]);
    return true;
  }

  acknowledge(): boolean {
    const next = this.#acknowledgements.shift();
    if (next === undefined) return false;
    next[0].acknowledge(next[1]);
    return true;
  }

  /** All that is under way is lost, and so are the answers to what has arrived. */
  lose(): void {
    this.#acknowledgements.length = 0;
    for (const end of this.ends) end.detach();
    this.connect();
  }

  settle(action: () => void = () => {}): void {
    for (let isBusy = true; isBusy; ) {
      action();
      const moved = [this.deliver(0), this.deliver(1), this.acknowledge()];
      isBusy = moved.includes(true);
    }
  }
}
