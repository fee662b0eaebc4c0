/**
 * Sender, receiver and streams of one connection, between a program that sends and takes messages and bytes, and a queue
 * pair that the fuzzer plays. It checks, at every fragment in either direction, what must hold.
 */
import {
  HEADER_BYTES,
  isUnnumbered,
  MessageKind,
} from '../../../../src/connection/fragments/message-header.js';
import { Outbox } from '../../../../src/connection/fragments/outbox.js';
import { LIMIT_RECEIVES } from '../../../../src/connection/fragments/receive-window.js';
import { WorkTracker } from '../../../../src/connection/fragments/work-tracker.js';
import { type Message, MessageInbox } from '../../../../src/connection/messages/message-inbox.js';
import { MessageReceiver } from '../../../../src/connection/messages/message-receiver.js';
import { MessageSender } from '../../../../src/connection/messages/message-sender.js';
import { SendQueueCounter } from '../../../../src/connection/program/send-queue.js';
import { StreamTable } from '../../../../src/connection/streams/stream-table.js';
import { closedError, RdmaError } from '../../../../src/verbs/errors.js';
import { QpState } from '../../../../src/verbs/qp-state.js';
import { WcStatus, WorkCompletion } from '../../../../src/verbs/work-completion.js';
import type { Sge } from '../../../../src/verbs/work-request.js';
import { must } from '../../target.js';
import { Departures } from './departures.js';
import { PeerSeals } from './peer-seals.js';
import { ReceiverModel } from './receiver-model.js';
import { type Outgoing, SentModel } from './sent-model.js';
import { sendMemoryOf, WatchedMemory, WatchedQp } from './watched-queues.js';
import type { WorldPlan } from './world-plan.js';

/** What a third party does to a sealed fragment on its way. */
export type Tamper = (sealed: Uint8Array, earlier: readonly Uint8Array[]) => Uint8Array;

const MAX_QUEUED_BYTES = 10_000;

const distance = (from: number, to: number): number => (to - from) >>> 0;

export class MessageWorld {
  readonly plan: WorldPlan;
  readonly receiver: MessageReceiver;
  readonly sender: MessageSender;
  readonly counter: SendQueueCounter;
  readonly streams: StreamTable;
  readonly inbox: MessageInbox;
  readonly model: ReceiverModel;
  readonly sent = new SentModel();
  qp: WatchedQp;
  /** Why the connection ended. */
  failure: unknown;
  readonly #receiveMr: WatchedMemory;
  readonly #sendMr: WatchedMemory;
  readonly #delivered: Message[] = [];
  /** Bytes that were read of each stream. */
  readonly #read = new Map<number, number>();
  readonly #completion = new WorkCompletion();
  #tracker: WorkTracker;
  #link = 0;
  #waiting = 0;
  #quits = 0;
  #byes = 0;
  readonly #closes: number[] = [];
  /** Our side has ended without all that it had to say; how often it was told that its word is there. */
  #hasClosed = false;
  #closedOn = 0;
  closesTold = 0;
  #sealedMessages = 0;
  #writes = 0;
  #writesDone = 0;
  readonly #seals: PeerSeals;
  readonly #departures: Departures;
  readonly #earlier: Uint8Array[] = [];
  /** The queue pair of this world refuses nothing that is right. */
  #refusal: RdmaError | undefined;
  readonly #onRefused = (error: RdmaError): void => {
    this.#refusal ??= error;
  };

  constructor(plan: WorldPlan) {
    const { slots, slotBytes, maxMessageBytes } = plan;
    this.counter = new SendQueueCounter({
      sendQueueBytes: MAX_QUEUED_BYTES,
      maxMessageBytes: plan.peerMaxMessageBytes,
    });
    this.plan = plan;
    this.model = new ReceiverModel(plan);
    this.#receiveMr = new WatchedMemory((slots + LIMIT_RECEIVES) * slotBytes);
    this.#sendMr = new WatchedMemory(slots * slotBytes);
    const outbox = new Outbox();
    this.streams = new StreamTable({
      outbox,
      events: {
        onOpened: (id) => this.#openOut(id),
        onReadable: () => {},
        onReset: (id) => this.#resetOut(id),
        onOpenLimit: () => {},
        onEnd: () => {},
      },
      streams: plan.streams,
      windowBytes: plan.streamWindowBytes,
    });
    this.inbox = new MessageInbox({
      maxMessageBytes,
      windowBytes: plan.messageWindowBytes,
      tell: (control) => outbox.control(control),
    });
    this.receiver = new MessageReceiver({
      slots,
      slotBytes,
      maxMessageBytes,
      inbox: this.inbox,
      streams: this.streams,
      onPeerLimit: (limit) => this.sender.onPeerLimit(limit),
      onMessageLimit: (limit) => this.sender.onMessageLimit(limit),
      onReceiveGiven: () => this.sender.advertise(),
      onQuit: () => this.#quits++,
      onAsk: () => this.sender.tellLimit(),
      onBye: () => this.#byes++,
      onClose: (code) => this.#closes.push(code),
      onSealedMemory: () => this.#sealedMessages++,
      onRefused: this.#onRefused,
    });
    this.sender = new MessageSender({
      memory: sendMemoryOf(this.#sendMr),
      slots,
      slotBytes,
      window: this.receiver.window,
      outbox,
      streams: this.streams,
    });
    this.#seals = new PeerSeals(plan.encrypted);
    const { model, sent } = this;
    const received = (): number => this.receiver.received;
    this.#departures = new Departures({ plan, model, sent, seals: this.#seals, mr: this.#sendMr, received });
    this.qp = this.#newQp();
    this.#tracker = new WorkTracker(this.qp, { onRefused: this.#onRefused });
  }

  /** A link comes up, with a peer that says what it has. */
  attach(peerReceived: number): void {
    this.#link++;
    this.qp = this.#newQp();
    this.#tracker = new WorkTracker(this.qp, { onRefused: this.#onRefused });
    const { peerSlots, peerSlotBytes, slots } = this.plan;
    const { sealer, opener } = this.#seals.renew(this.#link);
    this.receiver.attach(this.qp, this.#receiveMr, 0, opener, this.plan.brief);
    this.model.told = (this.model.sequence + slots) >>> 0;
    this.model.peerLimit = (peerReceived + peerSlots) >>> 0;
    const isPossible = distance(this.sent.received, peerReceived) <= this.sent.underWay.length;
    if (isPossible) {
      while (this.sent.received !== peerReceived) this.sent.arrive();
      this.sent.underWay.length = 0;
    }
    const terms = {
      maxMessageBytes: this.plan.peerMaxMessageBytes,
      messageWindowBytes: this.plan.peerMessageWindowBytes,
      streams: this.plan.peerStreams,
      streamWindowBytes: this.plan.peerStreamWindowBytes,
    };
    const outcome = this.#attempt(() =>
      this.sender.attach({ tracker: this.#tracker, peerSlots, peerSlotBytes, peerReceived, terms, sealer }),
    );
    const isWrong = !isPossible || peerSlotBytes <= this.#seals.overheadBytes;
    must(outcome === (isWrong ? 'ERR_RDMA_PROTOCOL' : null), 'a peer that claims what cannot be is refused');
    this.check();
  }

  /** The link is lost. */
  detach(): void {
    this.qp.state = QpState.ERR;
    this.#link++;
    this.sender.detach();
    this.receiver.detach();
    this.#tracker.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link was lost'));
    this.check();
  }

  /** A fragment of the peer lands in the oldest receive, as it is or tampered with. Returns whether there was one. */
  deliver(plain: Uint8Array, tamper: Tamper | null = null): boolean {
    const slot = this.qp.receives.shift();
    if (slot === undefined) return false;
    const sealed = this.#seals.seal(plain);
    const bytes = tamper === null ? sealed : tamper(sealed, this.#earlier);
    const isForged = tamper !== null && Buffer.compare(bytes, sealed) !== 0;
    this.#earlier.push(sealed);
    if (this.#earlier.length > 8) this.#earlier.shift();
    const at = slot * this.plan.slotBytes;
    this.#receiveMr.bytes.set(bytes, at);
    this.#receiveMr.accept(at, bytes.length);
    const expected = this.#expect(plain, bytes.length, isForged);
    const outcome = this.#attempt(() => this.receiver.onFragment(slot, bytes.length));
    if (expected === 'either')
      must(outcome === null || outcome === 'ERR_RDMA_PROTOCOL', 'a peer is refused rightly');
    else must(outcome === expected, `a fragment that should end in ${expected} does not end in ${outcome}`);
    this.check();
    return true;
  }

  /** The program asks for a message. */
  take(): void {
    if (this.#waiting >= 8) return;
    this.#waiting++;
    this.receiver.inbox.next().then(
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
    this.receiver.end();
  }

  /** Our side ends without all that it has to say. */
  close(code: number): void {
    if (this.#hasClosed) return;
    this.#hasClosed = true;
    this.#closedOn = this.#link;
    this.sender.close(code, () => this.closesTold++);
    this.check();
  }

  /** The program sends a message. */
  send(tag: number, data: Uint8Array): void {
    const message: Outgoing = { data, tag, calls: 0, error: undefined, arrived: false };
    const cost = data.length + 512;
    const { messages, bytes } = this.counter.queue;
    const isTooLarge = data.length > this.plan.peerMaxMessageBytes;
    const isTooMuch = messages > 0 && bytes + cost > MAX_QUEUED_BYTES;
    const refusal = refusalOf(() => this.counter.enter(data.length));
    const code = isTooLarge ? 'ERR_RDMA_MESSAGE_TOO_LARGE' : isTooMuch ? 'ERR_RDMA_QUEUE_FULL' : null;
    must(refusal === code, 'only what is too much is refused');
    if (refusal !== null) return;
    // Before it may have arrived.
    if (this.failure === undefined) this.sent.messages.push(message);
    this.sender.send(tag, data, (error) => {
      this.counter.leave(data.length);
      message.calls++;
      message.error = error;
      must(message.calls === 1, 'a message is done once');
      must(error !== undefined || message.arrived, 'a message is done when the peer has it');
    });
    this.check();
  }

  /** The program does something with a stream. */
  useStream(what: number, which: number, length: number): void {
    if (this.failure !== undefined) return;
    if (what === 0) {
      const isRefused = this.model.opened >= this.model.peerOpenLimit;
      try {
        // Its first fragment may leave at once.
        this.#openOut(this.model.opened + 1);
        this.model.open();
        this.streams.open();
        must(!isRefused, 'no more streams are opened than the peer takes');
      } catch (error) {
        if (!(error instanceof RdmaError)) throw error;
        must(isRefused && error.code === 'ERR_RDMA_LIMIT', 'only too many streams are refused');
        this.sent.streams.delete(this.model.opened);
        this.model.streams.delete(this.model.opened--);
      }
      this.check();
      return;
    }
    const ids = [...this.sent.streams.keys()];
    if (ids.length === 0) return;
    const id = ids[which % ids.length] as number;
    const out = this.sent.streams.get(id);
    if (out === undefined) return;
    if (what === 1 && !out.ended && !out.reset) this.#write(id, length);
    else if (what === 2 && !out.ended && !out.reset) {
      out.ended = true;
      this.streams.end(id);
    } else if (what === 3) {
      out.reset = true;
      this.streams.reset(id, which);
    } else this.#readOf(id);
    this.check();
  }

  /** The oldest send completes. */
  complete(): void {
    const request = this.qp.sends.shift();
    if (request === undefined) return;
    const sge = request.sges?.[0] as Sge;
    const kind = this.#sendMr.bytes[(sge.offset ?? 0) + 1];
    if (!isUnnumbered(kind as MessageKind)) this.sent.arrive();
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
    this.#checkTaken();
    this.#receiveMr.check('a receiver');
    this.#sendMr.check('a sender');
    if (this.failure !== undefined) return;
    const { plan, model } = this;
    must(this.#quits === model.quits, 'the end is announced as often as the peer asked for it');
    must(this.#byes === model.byes, 'who leaves is heard');
    const isClosed = this.#closes.length <= 1 && this.#closes[0] === model.closed;
    must(isClosed, 'who closes is heard once, with its reason');
    must(this.receiver.received === model.sequence, 'fragments are counted');
    must(this.#sealedMessages === model.sealed, 'messages about sealed memory go to whoever keeps it');
    const unread = model.messages.slice(this.#delivered.length + this.#waiting);
    const cost = unread.reduce((sum, { data }) => sum + data.length + 24, 0);
    must(
      cost <= plan.messageWindowBytes + plan.maxMessageBytes + 24,
      'messages that nobody takes do not pile up',
    );
    const peers = [...model.streams.keys()].filter((id) => id < 0 && !this.#isOver(id));
    must(peers.length <= plan.streams, 'a peer has a bounded number of streams');
    for (const id of model.streams.keys())
      must(this.streams.unreadBytes(id) <= plan.streamWindowBytes, 'bytes that nobody reads do not pile up');
    // A connection that has failed gives no receives any more.
    if (this.qp.state === QpState.RTS)
      must(this.qp.receives.length === plan.slots + LIMIT_RECEIVES, 'a receive is given back at once');
  }

  /** Messages that the program has, against those that came. Call when promises have settled. */
  checkDelivered(): void {
    this.#checkTaken();
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
    if (this.failure === undefined && this.#hasClosed) this.#finishClosed();
    else if (this.failure === undefined) await this.#finishOrderly();
    const why = closedError('the connection');
    if (this.failure === undefined) this.quit();
    this.fail(why);
    await settle();
    this.checkDelivered();
    must(this.#waiting === 0, 'nobody waits for a message of a connection that is over');
    must(this.sender.pending === 0, 'a connection that is over has nothing to send');
    must(this.streams.size === 0, 'a connection that is over has no streams');
    must(this.#writes === this.#writesDone, 'every write is done');
    for (const { calls } of this.sent.messages) must(calls === 1, 'every message is done');
  }

  /** What was under way arrives, and the last word behind it, or the link is not there for it. */
  #finishClosed(): void {
    while (this.qp.sends.length > 0) this.complete();
    must(this.closesTold === 1 || this.#closedOn !== this.#link, 'who closes is told that its word is there');
  }

  async #finishOrderly(): Promise<void> {
    if (this.#link % 2 === 0) this.attach(this.sent.received);
    if (this.failure !== undefined) return;
    for (let i = 0; this.unread > 0 && i < 4096; i++) {
      this.take();
      await settle();
    }
    must(this.unread === 0, 'messages that came can be taken');
    // A peer with one small receive takes a byte in each round.
    const written = [...this.sent.streams.values()].reduce((sum, { written }) => sum + written.length + 8, 8);
    const rounds = this.sent.messages.reduce((sum, { data }) => sum + data.length + 1, written);
    const isBusy = () => this.sender.pending > 0 || this.streams.hasUnsent || this.qp.sends.length > 0;
    for (let i = 0; isBusy() && i < rounds; i++) {
      while (this.qp.sends.length > 0) this.complete();
      this.#raiseLimits();
    }
    must(!isBusy(), 'a peer that takes everything gets everything');
    for (const [id, out] of this.sent.streams)
      must(out.reset || out.arrived === out.written.length, `all bytes of stream ${id} arrive`);
  }

  #checkTaken(): void {
    if (this.#refusal !== undefined) throw this.#refusal.cause;
  }

  #raiseLimits(): void {
    const { model } = this;
    model.peerMessageLimit = (model.peerMessageLimit + 1000) >>> 0;
    this.sender.onMessageLimit(model.peerMessageLimit);
    for (const [id, stream] of model.streams) {
      stream.outLimit = (stream.outLimit + 1000) >>> 0;
      const header = {
        kind: MessageKind.STREAM_LIMIT,
        sequence: 0,
        limit: 0,
        tag: 0,
        value: stream.outLimit,
      };
      this.streams.onLimit({ ...header, stream: Math.abs(id), flags: id > 0 ? 2 : 0 });
    }
    // A peer may have told more than that before.
    const limit = (this.sent.received + this.plan.peerSlots) >>> 0;
    if (distance(model.peerLimit, limit) >= 2 ** 31) return;
    model.peerLimit = limit;
    this.sender.onPeerLimit(limit);
  }

  /** Over in both directions, as far as the peer can see. */
  #isOver(id: number): boolean {
    const out = this.sent.streams.get(id);
    return this.streams.isAtEnd(id) && (out?.finArrived === true || out?.reset === true);
  }

  #openOut(id: number): void {
    this.sent.streams.set(id, { written: [], ended: false, reset: false, arrived: 0, finArrived: false });
  }

  #resetOut(id: number): void {
    const out = this.sent.streams.get(id);
    if (out !== undefined) out.reset = true;
  }

  #write(id: number, length: number): void {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#writes * 13 + i;
    this.sent.streams.get(id)?.written.push(...bytes);
    this.#writes++;
    this.streams.write(id, bytes, () => this.#writesDone++);
  }

  #readOf(id: number): void {
    const bytes = this.streams.read(id);
    if (bytes === undefined) return;
    const at = this.#read.get(id) ?? 0;
    const data = this.model.streams.get(id)?.data ?? [];
    for (const [i, byte] of bytes.entries())
      must(data[at + i] === byte, 'a stream gives the bytes that came');
    this.#read.set(id, at + bytes.length);
  }

  /** The code of the refusal; `null` for a fragment that must be taken. */
  #expect(plain: Uint8Array, lengthBytes: number, isForged: boolean): string | null {
    if (lengthBytes < HEADER_BYTES) return 'ERR_RDMA_PROTOCOL';
    if (isForged) return 'ERR_RDMA_INTEGRITY';
    const verdict = this.model.take(plain);
    if (verdict === 'either') return 'either';
    return verdict === 'refused' ? 'ERR_RDMA_PROTOCOL' : null;
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
    const qp = new WatchedQp(slots + LIMIT_RECEIVES, slotBytes);
    qp.onSend = (_, sge) => this.#departures.check(qp, sge);
    return qp;
  }
}

/** Lets promises settle. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await null;
}

/** The code of what `action` throws. */
function refusalOf(action: () => void): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return error instanceof RdmaError ? error.code : String(error);
  }
}
