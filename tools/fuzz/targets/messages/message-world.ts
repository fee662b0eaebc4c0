/**
 * The sender and receiver of one connection, between a program that sends and takes messages and a queue pair that the
 * fuzzer plays. It checks, at every fragment in either direction, what must hold.
 */
import { createHash } from 'node:crypto';
import { HEADER_BYTES, MessageKind, readHeader } from '../../../../src/connection/message-header.js';
import {
  CREDIT_RECEIVES,
  type Message,
  MessageReceiver,
} from '../../../../src/connection/message-receiver.js';
import { MessageSender } from '../../../../src/connection/message-sender.js';
import { Opener, Sealer, TAG_BYTES } from '../../../../src/connection/sealing.js';
import { WorkTracker } from '../../../../src/connection/work-tracker.js';
import type { DirectionKeys as Keys } from '../../../../src/session/session-secrets.js';
import { closedError, RdmaError } from '../../../../src/verbs/errors.js';
import { QpState } from '../../../../src/verbs/qp-state.js';
import { WcStatus, WorkCompletion } from '../../../../src/verbs/work-completion.js';
import type { SendWorkRequest, Sge } from '../../../../src/verbs/work-request.js';
import { must } from '../../target.js';
import { FlowModel } from './flow-model.js';
import { ReceiverModel } from './receiver-model.js';
import { WatchedMemory, WatchedQp } from './watched-queues.js';

export interface WorldPlan {
  readonly slots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  readonly peerSlots: number;
  /** Of these, as a link begins: the rest is held back. */
  readonly peerFreeSlots: number;
  readonly peerSlotBytes: number;
  /** Fragments are sealed, by both sides. */
  readonly encrypted: boolean;
}

/** What a third party does to a sealed fragment on its way. */
export type Tamper = (sealed: Uint8Array, earlier: readonly Uint8Array[]) => Uint8Array;

interface Outgoing {
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly tag: number;
  /** Calls of `done`. */
  calls: number;
  error: unknown;
  /** The peer has all of it: the completion of its last fragment came, or the peer said so. */
  arrived: boolean;
}

/** So few that keys are renewed in the middle of an input. */
const PIECES_PER_KEY = 5;

const distance = (from: number, to: number): number => (to - from) >>> 0;

export class MessageWorld {
  readonly plan: WorldPlan;
  readonly receiver: MessageReceiver;
  readonly sender: MessageSender;
  readonly model: ReceiverModel;
  readonly flow: FlowModel;
  qp: WatchedQp;
  /** Why the connection ended. */
  failure: unknown;
  /** Fragments that were posted on this link, and how many the peer says it took. */
  sentFragments = 0;
  takenByPeer = 0;
  /** Messages of ours that the peer has whole. */
  peerReceived = 0;
  readonly outgoing: Outgoing[] = [];
  readonly #receiveMr: WatchedMemory;
  readonly #sendMr: WatchedMemory;
  readonly #delivered: Message[] = [];
  readonly #completion = new WorkCompletion();
  #tracker: WorkTracker;
  #link = 0;
  #waiting = 0;
  #quits = 0;
  #sealedMessages = 0;
  /** The peer's ends of the link. */
  #peerSealer: Sealer | null = null;
  #peerOpener: Opener | null = null;
  readonly #earlier: Uint8Array[] = [];
  /** Fragments of the message that the sender is in. */
  #fragment: { sequence: number; sentBytes: number } | null = null;

  constructor(plan: WorldPlan) {
    const { slots, slotBytes, maxMessageBytes, encrypted } = plan;
    this.plan = plan;
    this.model = new ReceiverModel(encrypted);
    this.flow = new FlowModel(slots, slots * slotBytes);
    this.#receiveMr = new WatchedMemory((slots + CREDIT_RECEIVES) * slotBytes);
    this.#sendMr = new WatchedMemory(slots * slotBytes);
    this.receiver = new MessageReceiver({
      slots,
      slotBytes,
      maxMessageBytes,
      highWaterBytes: slots * slotBytes,
      onPeerTaken: (taken) => this.sender.onPeerTaken(taken),
      onTaken: () => this.sender.advertise(),
      onQuit: () => this.#quits++,
      onSealedMemory: () => this.#sealedMessages++,
    });
    this.sender = new MessageSender({
      mr: this.#sendMr,
      slots,
      slotBytes,
      ownSlots: slots,
      taken: () => this.receiver.taken,
    });
    this.qp = this.#newQp();
    this.#tracker = new WorkTracker(this.qp);
  }

  /** A link will come up: the peer is told of its receives. */
  promise(): void {
    must(this.receiver.promise() === this.flow.promise(), 'a peer is told how many receives are free');
  }

  /** A link comes up, with a peer that says what it has. */
  attach(peerReceived: number): void {
    this.#link++;
    this.qp = this.#newQp();
    this.#tracker = new WorkTracker(this.qp);
    const { peerSlots, peerFreeSlots, peerSlotBytes, encrypted } = this.plan;
    this.sentFragments = peerSlots - peerFreeSlots;
    this.takenByPeer = 0;
    this.#fragment = null;
    const [own, peer] = ['own', 'peer'].map((name) => keysOf(`${name} ${this.#link}`)) as [Keys, Keys];
    this.#peerSealer = encrypted ? new Sealer(peer, PIECES_PER_KEY) : null;
    this.#peerOpener = encrypted ? new Opener(own, PIECES_PER_KEY) : null;
    const sealer = encrypted ? new Sealer(own, PIECES_PER_KEY) : null;
    this.receiver.attach(this.qp, this.#receiveMr, encrypted ? new Opener(peer, PIECES_PER_KEY) : null);
    this.flow.attach();
    this.#checkReceives();
    const oldest = this.outgoing.find(({ calls }) => calls === 0)?.sequence ?? this.outgoing.length;
    const isPossible = distance(oldest, peerReceived) <= this.outgoing.length - oldest;
    if (isPossible)
      for (const message of this.outgoing) if (message.sequence < peerReceived) message.arrived = true;
    const outcome = this.#attempt(() =>
      this.sender.attach({
        tracker: this.#tracker,
        peerSlots,
        peerFreeSlots,
        peerSlotBytes,
        peerReceived,
        sealer,
      }),
    );
    const isWrong = !isPossible || peerSlotBytes <= this.#overheadBytes;
    must(outcome === (isWrong ? 'ERR_RDMA_PROTOCOL' : null), 'a peer that claims what cannot be is refused');
    this.check();
  }

  /** The link is lost. */
  detach(): void {
    this.qp.state = QpState.ERR;
    this.#link++;
    this.sender.detach();
    this.receiver.detach();
    this.model.forgetPartial();
    this.promise();
    this.#tracker.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link was lost'));
    this.check();
  }

  /** A fragment of the peer lands in the oldest receive, as it is or tampered with. Returns whether there was one. */
  deliver(plain: Uint8Array, tamper: Tamper | null = null): boolean {
    const slot = this.qp.receives.shift();
    if (slot === undefined) return false;
    const sent = this.#seal(plain);
    const bytes = tamper === null ? sent : tamper(sent, this.#earlier);
    const isForged = tamper !== null && Buffer.compare(bytes, sent) !== 0;
    this.#earlier.push(sent);
    if (this.#earlier.length > 8) this.#earlier.shift();
    const at = slot * this.plan.slotBytes;
    this.#receiveMr.bytes.set(bytes, at);
    this.#receiveMr.accept(at, bytes.length);
    const expected = this.#expect(plain, bytes.length, isForged);
    const outcome = this.#attempt(() => this.receiver.onFragment(slot, bytes.length));
    must(outcome === expected, `a fragment that should end in ${expected} does not end in ${outcome}`);
    this.check();
    return true;
  }

  /** The code of the refusal; `null` for a fragment that must be taken. */
  #expect(plain: Uint8Array, lengthBytes: number, isForged: boolean): string | null {
    if (lengthBytes < HEADER_BYTES) return 'ERR_RDMA_PROTOCOL';
    if (isForged) return 'ERR_RDMA_INTEGRITY';
    const limits = {
      maxMessageBytes: this.plan.maxMessageBytes,
      mayHaveTaken: (taken: number) => {
        const isPossible =
          distance(this.takenByPeer, taken) <= distance(this.takenByPeer, this.sentFragments);
        if (isPossible) this.takenByPeer = taken;
        return isPossible;
      },
    };
    const before = this.model.messages.length;
    const isCredit = plain[1] === MessageKind.CREDIT;
    if (!isCredit && !this.flow.mayFill) return 'ERR_RDMA_PROTOCOL';
    const isRefused = this.model.take(plain, limits);
    for (const { data } of this.model.messages.slice(before)) this.flow.arrive(data.length);
    if (!isCredit) this.flow.filled();
    return isRefused ? 'ERR_RDMA_PROTOCOL' : null;
  }

  /** Exactly the receives that the peer may fill are posted, and those for its CREDIT messages. */
  #checkReceives(): void {
    const free = this.plan.slots - this.flow.held;
    must(this.qp.receives.length === free + CREDIT_RECEIVES, 'receives are held back while too much waits');
    must(this.receiver.taken === this.flow.taken, 'what was taken is counted');
  }

  /** As the peer seals a fragment; one that is too short for a header goes as it is. */
  #seal(plain: Uint8Array): Uint8Array {
    if (this.#peerSealer === null || plain.length < HEADER_BYTES) return plain;
    const sealed = new Uint8Array(plain.length + TAG_BYTES);
    const header = plain.subarray(0, HEADER_BYTES);
    sealed.set(header);
    this.#peerSealer.seal(header, plain.subarray(HEADER_BYTES), sealed.subarray(HEADER_BYTES));
    return sealed;
  }

  get #overheadBytes(): number {
    return HEADER_BYTES + (this.plan.encrypted ? TAG_BYTES : 0);
  }

  /** The program asks for a message. */
  take(): void {
    if (this.#waiting >= 8) return;
    this.#waiting++;
    this.flow.ask();
    this.receiver.next().then(
      (message) => {
        this.#waiting--;
        if (message !== undefined) this.#delivered.push(message);
      },
      (error: unknown) => {
        this.#waiting--;
        must(error === this.failure, 'who waits learns why the connection ended');
      },
    );
  }

  /** No message will come any more. */
  quit(): void {
    this.flow.end();
    this.receiver.end();
  }

  /** The program sends a message. */
  send(tag: number, data: Uint8Array): void {
    const message: Outgoing = {
      sequence: this.outgoing.length,
      data,
      tag,
      calls: 0,
      error: undefined,
      arrived: false,
    };
    if (this.failure === undefined) this.outgoing.push(message);
    this.sender.send(MessageKind.DATA, tag, data, (error) => {
      message.calls++;
      message.error = error;
      must(message.calls === 1, 'a message is done once');
      must(error !== undefined || message.arrived, 'a message is done when the peer has it');
    });
    this.check();
  }

  /** The oldest send completes. */
  complete(): void {
    const request = this.qp.sends.shift();
    if (request === undefined) return;
    const sge = request.sges?.[0] as Sge;
    const payloadBytes = (sge.length ?? 0) - this.#overheadBytes;
    const { sequence, totalBytes, offset, kind } = readHeader(
      this.#sendMr.bytes,
      sge.offset ?? 0,
      HEADER_BYTES + payloadBytes,
    );
    if (kind !== 0 && offset + payloadBytes === totalBytes) {
      (this.outgoing[sequence] as Outgoing).arrived = true;
      this.peerReceived = sequence + 1;
    }
    this.#completion.wrId = request.wrId;
    this.#completion.status = WcStatus.SUCCESS;
    this.#tracker.onCompletion(this.#completion);
    this.check();
  }

  fail(error: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.sender.fail(error as RdmaError);
    this.receiver.fail(error as RdmaError);
    this.qp.state = QpState.ERR;
    this.sender.detach();
    this.receiver.detach();
  }

  check(): void {
    this.#receiveMr.check('a receiver');
    this.#sendMr.check('a sender');
    must(this.#quits === this.model.quits, 'the end is announced as often as the peer asked for it');
    must(this.receiver.received === this.model.sequence, 'messages are counted');
    must(this.#sealedMessages === this.model.sealed, 'messages about sealed memory go to whoever keeps it');
    const { slots, slotBytes } = this.plan;
    const unread = this.model.messages.length - this.#delivered.length;
    // Each message that waits has cost a receive or some of the bytes that may wait.
    must(
      unread <= slots + (slots * slotBytes) / HEADER_BYTES + 8,
      'messages that nobody takes do not pile up',
    );
    // A connection that has failed gives no receives any more.
    if (this.failure === undefined && this.qp.state === QpState.RTS) this.#checkReceives();
  }

  /** Messages that the program has, against those that came. Call when promises have settled. */
  checkDelivered(): void {
    for (const [i, message] of this.#delivered.entries()) {
      const expected = this.model.messages[i];
      must(expected !== undefined, 'a message that nobody sent was received');
      must(message.tag === expected.tag, 'a message keeps its tag');
      must(Buffer.compare(message.data, expected.data) === 0, 'a message keeps its bytes');
    }
  }

  get unread(): number {
    return this.model.messages.length - this.#delivered.length;
  }

  /** Everything that was begun ends: nothing may wait for ever. */
  async end(): Promise<void> {
    if (this.failure === undefined) await this.#finishOrderly();
    const why = closedError('the connection');
    if (this.failure === undefined) this.quit();
    this.fail(why);
    await settle();
    this.checkDelivered();
    must(this.#waiting === 0, 'nobody waits for a message of a connection that is over');
    must(this.sender.pending === 0, 'a connection that is over has nothing to send');
    for (const { calls } of this.outgoing) must(calls === 1, 'every message is done');
  }

  async #finishOrderly(): Promise<void> {
    if (this.#link % 2 === 0) this.attach(this.peerReceived);
    if (this.failure !== undefined) return;
    for (let i = 0; this.unread > 0 && i < 4096; i++) {
      this.take();
      await settle();
    }
    must(this.unread === 0, 'messages that came can be taken');
    const { slots } = this.plan;
    must(
      this.qp.receives.length === slots + CREDIT_RECEIVES,
      'receives are given back when messages are taken',
    );
    // A peer with one small receive takes a byte in each round.
    const rounds = this.outgoing.reduce((sum, { data }) => sum + data.length + 1, 1);
    for (let i = 0; this.sender.pending > 0 && i < rounds; i++) {
      while (this.qp.sends.length > 0) this.complete();
      this.takenByPeer = this.sentFragments;
      this.sender.onPeerTaken(this.sentFragments);
    }
    must(this.sender.pending === 0, 'a peer that takes everything gets everything');
  }

  /** Returns the code of the error with which the peer was refused, which ends the connection; `null` if it was not. */
  #attempt(action: () => void): string | null {
    try {
      action();
      return null;
    } catch (error) {
      if (!(error instanceof RdmaError)) throw error;
      this.fail(error);
      return error.code;
    }
  }

  #newQp(): WatchedQp {
    const { slots, slotBytes } = this.plan;
    const qp = new WatchedQp(slots + CREDIT_RECEIVES, slotBytes);
    qp.onSend = (request, sge) => this.#onSend(qp, request, sge);
    return qp;
  }

  /** What leaves must be a fragment that the peer takes, in a slot that is free. */
  #onSend(qp: WatchedQp, _request: SendWorkRequest, sge: Sge): void {
    const { slots, slotBytes, peerSlots, peerSlotBytes } = this.plan;
    const at = sge.offset ?? 0;
    const length = sge.length ?? 0;
    must(at % slotBytes === 0 && at < slots * slotBytes && length <= slotBytes, 'a fragment lies in a slot');
    must(length <= peerSlotBytes, 'a fragment fits into the receives of the peer');
    must(!qp.sends.some(({ sges }) => sges?.[0]?.offset === at), 'a slot in use is not used again');
    this.#sendMr.accept(at, length);
    const header = readHeader(this.#sendMr.bytes, at, length - this.#overheadBytes + HEADER_BYTES);
    const payload = this.#openSent(this.#sendMr.bytes.subarray(at, at + length));
    must(header.taken === this.receiver.taken, 'a header tells what was taken');
    if (header.kind === 0) return;
    this.sentFragments++;
    must(
      distance(this.takenByPeer, this.sentFragments) <= peerSlots,
      'no more is under way than the peer takes',
    );
    this.#checkFragment(header, payload);
  }

  /** The payload of what our side sends, as its peer reads it. */
  #openSent(fragment: Uint8Array): Uint8Array {
    const payload = fragment.subarray(HEADER_BYTES);
    if (this.#peerOpener === null) return payload;
    const plain = this.#peerOpener.open(fragment.subarray(0, HEADER_BYTES), payload);
    must(plain !== undefined, 'what is sent can be opened, in the order of sending');
    return plain;
  }

  #checkFragment(header: ReturnType<typeof readHeader>, payload: Uint8Array): void {
    const message = this.outgoing[header.sequence];
    must(message !== undefined, 'what is sent was asked for');
    this.#fragment ??= { sequence: header.sequence, sentBytes: 0 };
    const fragment = this.#fragment;
    must(
      fragment.sequence === header.sequence && fragment.sentBytes === header.offset,
      'fragments come in order',
    );
    must(
      header.totalBytes === message.data.length && header.tag === message.tag,
      'a message is announced right',
    );
    const expected = message.data.subarray(header.offset, header.offset + payload.length);
    must(Buffer.compare(payload, expected) === 0, 'a fragment holds its part of the message');
    fragment.sentBytes += payload.length;
    if (fragment.sentBytes === message.data.length) this.#fragment = null;
  }
}

const keysOf = (name: string): Keys => {
  const bytes = createHash('sha512').update(name).digest();
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32, 44) };
};

/** Lets promises settle. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await null;
}
