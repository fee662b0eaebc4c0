/**
 * Sends fragments: copies each with its header into the send buffer and posts it, as far as that has room and the peer's limit
 * allows. Which one comes next, the outbox says. Of a fragment that refers to memory of its source the header alone is copied.
 *
 * It outlives links. Fragments are numbered over the life of the connection; those that the peer did not get before a link
 * ended are cut anew on the next one, from the number on that the peer says comes next.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { Deque } from '../common/deque.js';
import { mayAdvance, serialAdd, serialDifference, serialDistance } from '../common/serial-number.js';
import {
  HEADER_BYTES,
  MessageFault,
  MessageFlag,
  MessageKind,
  violation,
  writeHeader,
} from '../fragments/message-header.js';
import { MessageQueue, type SendDone } from '../fragments/message-queue.js';
import { Cut, type FragmentSource, type Outbox } from '../fragments/outbox.js';
import { LIMIT_RECEIVES, type ReceiveWindow } from '../fragments/receive-window.js';
import { type Sealer, TAG_BYTES } from '../fragments/sealing.js';
import type { SendMemory } from '../fragments/send-memory.js';
import type { WorkTracker } from '../fragments/work-tracker.js';
import type { Held, RateGate } from '../rates/rate-gate.js';
import type { StreamTable } from '../streams/stream-table.js';

/** Messages that use up receives, sent together. */
const USED_UP_AT_ONCE = 16;
/** Receives come because fragments used up those before: a peer has not more than so many for each, whatever limit it tells. */
const RECEIVES_PER_FRAGMENT = 8;
const MOST_RECEIVES = 65_536;

export interface SenderOptions {
  /** Where fragments wait for their acknowledgement. */
  readonly memory: SendMemory;
  /** Fragments that may be under way. */
  readonly slots: number;
  /** The longest of them, with its header. */
  readonly slotBytes: number;
  /** The fragments that this side takes, to be told in every header. */
  readonly window: ReceiveWindow;
  readonly outbox: Outbox;
  readonly streams: StreamTable;
  /** Bounds what the peer may be sent: while it is shut, nothing leaves but what keeps flow control going. */
  readonly gate?: RateGate | null;
  /** From `quit` on: whether what waits is held back, by the peer's limit of fragments or by `gate`. */
  readonly onHeld?: (isHeld: boolean) => void;
  /** Number of the first fragment; other than 0 in tests only. */
  readonly firstSequence?: number;
  /** Where the counting of messages' cost begins; other than 0 in tests only. */
  readonly messageStart?: number;
}

/** What the peer promises for the life of the connection; what the first link brings holds. */
export interface PeerMessageTerms {
  readonly maxMessageBytes: number;
  /** Cost of messages that may be sent before the peer says more. */
  readonly messageWindowBytes: number;
  /** Streams that may be opened before the peer says more. */
  readonly streams: number;
  /** Bytes that may be sent on each stream before the peer says more. */
  readonly streamWindowBytes: number;
}

/** Of a link, what is needed as long as it lasts. */
interface LastingLink {
  readonly tracker: WorkTracker;
  /** Receives that the peer has posted. */
  readonly peerSlots: number;
  /** Seals fragments; `null` on connections that are not encrypted. */
  readonly sealer: Sealer | null;
}

/** What a link brings: its work, and the peer's receives. */
export interface SenderLink extends LastingLink {
  readonly peerSlotBytes: number;
  /** Number of the fragment that the peer expects next. */
  readonly peerReceived: number;
  readonly terms: PeerMessageTerms;
}

/** The last word of an end that has not said all, and who waits for it to arrive. */
interface Closing {
  readonly code: number;
  readonly done: () => void;
  hasLeft: boolean;
}

/** For all, as it is filled and sent at once. */
const limitCut = new Cut();

export class MessageSender implements Held {
  readonly #options: SenderOptions;
  readonly #messages: MessageQueue;
  /** Of encrypted connections. */
  #sealed: MessageQueue | null = null;
  /** Fragments that the peer may not have, in their order. */
  readonly #unacknowledged = new Deque<Cut>();
  #spareCuts: Cut[] | null = null;
  /** From `quit` on. */
  #quit: QuitSource | null = null;
  #link: LastingLink | null = null;
  #hasTerms = false;
  /** Bytes of the longest fragment, and of a header and a tag. */
  #longestBytes = 0;
  #overheadBytes = 0;
  #nextSequence: number;
  #peerLimit = 0;
  /** LIMIT messages that use up receives of the peer which this side has given up. */
  #toUseUp = 0;
  /** Fragments that left on this link. */
  #sentOnLink = 0;
  /** Told on a link that is connected and not attached yet: the peer may be up before this side. */
  #earlyLimit: number | undefined;
  #failure: RdmaError | undefined;
  #onBye: (() => void) | null = null;
  #isAskDue = false;
  /** Nothing leaves any more but this last word. */
  #closing: Closing | null = null;
  #isHeld = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#nextSequence = options.firstSequence ?? 0;
    const start = options.messageStart ?? 0;
    this.#messages = new MessageQueue(start, start);
    options.outbox.sender = this;
  }

  /** Number of the fragment that leaves next, which is how many left, modulo 2^32. */
  get sent(): number {
    return this.#nextSequence;
  }

  /** Messages that are not done. */
  get pending(): number {
    return this.#messages.pending + (this.#sealed?.pending ?? 0);
  }

  /**
   * A link is up: sending begins, with what the peer does not have.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent, when its receives are too
   * small for any message, or when a limit that it told meanwhile went back.
   */
  attach(link: SenderLink): void {
    this.#settle(link.peerReceived);
    const overheadBytes = HEADER_BYTES + (link.sealer === null ? 0 : TAG_BYTES);
    if (link.peerSlotBytes <= overheadBytes) {
      const sentence = `its receives of ${link.peerSlotBytes} bytes have no room for a message`;
      throw violation(MessageFault.TERMS, sentence);
    }
    if (!this.#hasTerms) this.#takeTerms(link.terms);
    this.#options.memory.clear();
    this.#toUseUp = 0;
    this.#sentOnLink = 0;
    this.#longestBytes = Math.min(link.peerSlotBytes, this.#options.slotBytes);
    this.#overheadBytes = overheadBytes;
    this.#peerLimit = serialAdd(link.peerReceived, link.peerSlots);
    if (this.#earlyLimit !== undefined) this.#advanceTo(this.#earlyLimit);
    this.#earlyLimit = undefined;
    const { tracker, peerSlots, sealer } = link;
    this.#link = { tracker, peerSlots, sealer };
    this.pump();
    this.advertise();
  }

  /** The link is over, and the device reads nothing any more: what the peer does not have waits for the next one. */
  detach(): void {
    this.#lose();
    for (let i = 0; i < this.#unacknowledged.length; i++) {
      const cut = this.#unacknowledged.at(i) as Cut;
      cut.source?.released?.(cut);
    }
  }

  #lose(): void {
    this.#link = null;
    this.#earlyLimit = undefined;
    this.#isAskDue = false;
    this.#options.gate?.forget(this);
  }

  /** More may be sent. */
  onOpen(): void {
    this.pump();
  }

  /** Queues a message of the program, with its number for it. `data` must not change until `done` is called. */
  send(tag: number, data: Uint8Array, done: SendDone, request = 0): void {
    this.#add(this.#messages, MessageKind.DATA, tag, data, done, request);
  }

  /** Sends a message about sealed memory; resolves when the peer has it. */
  sendSealed(kind: MessageKind, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sealed ??= new MessageQueue(null);
      this.#add(this.#sealed, kind, 0, data, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Takes back a message of which nothing has left, and calls nobody; returns whether it could. */
  withdraw(request: number): boolean {
    if (this.#messages.withdraw(request) === undefined) return false;
    // What waited behind it may go now.
    this.#options.outbox.wake(this.#messages);
    return true;
  }

  /** Tells the peer, after all that was queued before, that nothing more will come. */
  quit(done: SendDone): void {
    if (this.#failure !== undefined) {
      done(this.#failure);
      return;
    }
    this.#quit ??= new QuitSource();
    this.#quit.wanted.push(done);
    this.pump();
  }

  /**
   * A header of the peer told how many fragments it takes.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the limit went back.
   */
  onPeerLimit(limit: number): void {
    if (this.#link === null) {
      this.#earlyLimit = limit;
      return;
    }
    // Signs of life bring no news, and what could be sent touches much memory that a silent connection has not used for long.
    if (limit === this.#peerLimit) return;
    this.#advanceTo(limit);
    this.pump();
  }

  #advanceTo(limit: number): void {
    if (!mayAdvance(this.#peerLimit, limit)) throw limitWentBack('fragments');
    this.#peerLimit = limit;
  }

  /** The peer told how much of messages it takes. */
  onMessageLimit(limit: number): void {
    if (!mayAdvance(this.#messages.limit, limit)) throw limitWentBack('messages');
    this.#messages.limit = limit;
    this.#options.outbox.wake(this.#messages);
  }

  /** Tells the peer of free receives when nothing else would, before it runs out of them. */
  advertise(): void {
    const { window } = this.#options;
    if (this.#link === null || serialDistance(window.told, window.limit) * 2 < window.slots) return;
    this.tellLimit();
  }

  /** Tells the peer how many fragments this side takes, whether that is news or not; returns whether it could. */
  tellLimit(): boolean {
    return this.#tell(MessageKind.LIMIT);
  }

  /** Asks the peer for a limit, when there is room for that; returns whether it has left. */
  ask(): boolean {
    const hasLeft = this.#tell(MessageKind.ASK);
    this.#isAskDue = !hasLeft;
    return hasLeft;
  }

  /** The peer has acknowledged QUIT: tells it so, when nothing else is under way. */
  bye(done: () => void): void {
    this.#onBye = done;
    this.#tell(MessageKind.BYE);
  }

  /** Tells the peer that nothing more comes, although not all has left; `done`: its device has that, or nothing can get there. */
  close(code: number, done: () => void): void {
    this.#closing = { code, done, hasLeft: false };
    this.#sayClose();
  }

  /** Where what is under way leaves no room for it, the next completion makes some. */
  #sayClose(): void {
    const closing = this.#closing;
    const link = this.#link;
    if (closing === null || closing.hasLeft) return;
    if (link?.tracker.isUsable !== true) {
      closing.done();
      return;
    }
    const place = this.#placeFor(this.#overheadBytes);
    if (place < 0) return;
    closing.hasLeft = true;
    if (!this.#say(link, place, MessageKind.CLOSE, closing.code)) closing.done();
  }

  #tell(kind: MessageKind): boolean {
    const link = this.#link;
    if (link === null || this.#closing !== null) return false;
    const place = this.#placeFor(this.#overheadBytes);
    return place >= 0 && this.#say(link, place, kind, 0);
  }

  #say(link: LastingLink, place: number, kind: MessageKind, value: number): boolean {
    const cut = limitCut;
    cut.describe(kind, 0, 0, 0, value);
    cut.sequence = this.#nextSequence;
    return this.#post(link, place, cut, false);
  }

  /** Sends what can be sent now. */
  pump(): void {
    if (this.#closing !== null) {
      this.#sayClose();
      return;
    }
    const { outbox, memory, gate = null } = this.#options;
    for (let link = this.#link; link !== null; link = this.#link) {
      // A rate that holds fragments back may let them go only now: nobody would learn whether they came. A queue pair that failed or
      // was taken away by its device takes them: its answer is what the connection learns it by.
      if (link.tracker.isRetired) return;
      const mayLeave = serialDistance(this.#nextSequence, this.#peerLimit) !== 0;
      if (!mayLeave && !this.#isQuitting) return;
      const wanted = outbox.nextBytes;
      const isWanted = wanted >= 0 || this.#mayQuit;
      const isOpen = mayLeave && (gate === null || wanted < 0 || outbox.hasControl || gate.admits(this));
      if (this.#isQuitting) this.#noteHeld(isWanted && !isOpen);
      if (!isWanted || !isOpen) return;
      // Sealing makes the only copy, into the send buffer.
      const isInPlace = link.sealer === null && outbox.isNextInPlace;
      const longestBytes = isInPlace ? this.#longestBytes : Math.min(this.#longestBytes, memory.longestBytes);
      const bytes = Math.min(longestBytes, Math.max(0, wanted) + this.#overheadBytes);
      const place = this.#placeFor(isInPlace ? HEADER_BYTES : bytes);
      if (place < 0) return;
      const cut = this.#spareCuts?.pop() ?? new Cut();
      cut.aim(memory.current.mr.bytes, place + HEADER_BYTES, isInPlace);
      if (wanted < 0) this.#cutQuit(cut);
      else outbox.cut(cut, bytes - this.#overheadBytes);
      cut.sequence = this.#nextSequence;
      this.#nextSequence = serialAdd(this.#nextSequence, 1);
      this.#sentOnLink++;
      this.#unacknowledged.push(cut);
      // Bytes of messages before it are counted in `offset`; streams count all that they ever sent.
      const isMore = cut.offset > 0 && cut.kind !== MessageKind.STREAM;
      gate?.charge(HEADER_BYTES + cut.length, isMore ? 0 : 1);
      this.#post(link, place, cut, true);
    }
  }

  #noteHeld(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    this.#options.onHeld?.(isHeld);
  }

  /**
   * Nothing was sent for a while: gives up what the peer has beyond its first receives, and memory beyond the first. Returns whether
   * there is more of that to be done later.
   */
  rest(): boolean {
    const { memory, outbox } = this.#options;
    memory.shrink();
    this.#spareCuts = null;
    const link = this.#link;
    const isBusy = this.#unacknowledged.length > 0 || outbox.nextBytes >= 0 || this.#closing !== null;
    if (link === null || isBusy) return memory.hasGrown;
    const spare = serialDistance(this.#nextSequence, this.#peerLimit) - link.peerSlots;
    if (spare > 0) this.#yield(link, spare - 1);
    for (let count = 0; count < USED_UP_AT_ONCE && this.#toUseUp > 0 && this.tellLimit(); count++)
      this.#toUseUp--;
    return this.#toUseUp > 0;
  }

  #yield(link: LastingLink, numbers: number): void {
    const place = this.#placeFor(this.#overheadBytes);
    if (place < 0) return;
    const cut = new Cut();
    cut.describe(MessageKind.YIELD, 0, 0, 0, numbers);
    cut.sequence = this.#nextSequence;
    this.#nextSequence = serialAdd(this.#nextSequence, 1 + numbers);
    this.#unacknowledged.push(cut);
    this.#post(link, place, cut, true);
    // All that it has posted, until those that it keeps are the only ones. Fewer than half may be there of which it has not told yet.
    // Those of a time before this one may be there as well.
    const most = Math.min(MOST_RECEIVES, RECEIVES_PER_FRAGMENT * (this.#sentOnLink + link.peerSlots));
    const told = this.#toUseUp + 2 * (numbers + 1 + link.peerSlots);
    this.#toUseUp = Math.min(2 * most, told) + LIMIT_RECEIVES;
  }

  /**
   * The peer has left: it has the fragments before `received`, and takes no others. Returns the number of the last request that it has
   * carried out for certain; 0 for none.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when it claims to have received what was never sent.
   */
  conclude(received: number): number {
    const work = this.#link === null ? 0 : this.#lastWork(received);
    this.#lose();
    this.#settle(received);
    return work;
  }

  #lastWork(received: number): number {
    let work = 0;
    for (let i = 0; i < this.#unacknowledged.length; i++) {
      const cut = this.#unacknowledged.at(i) as Cut;
      if (serialDifference(cut.sequence, received) <= 0) break;
      work = cut.work;
    }
    return work;
  }

  /** Ends every message that is not done, and all later ones, with `error`; `isInOrder`: nothing has failed. */
  fail(error: RdmaError, isInOrder = false): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.detach();
    for (const cut of this.#unacknowledged.takeAll()) cut.release();
    this.#messages.fail(error);
    this.#sealed?.fail(error);
    this.#options.streams.fail(error, isInOrder);
    this.#quit?.fail(error);
  }

  #add(
    queue: MessageQueue,
    kind: MessageKind,
    tag: number,
    data: Uint8Array,
    done: SendDone,
    request = 0,
  ): void {
    const failure = this.#failure;
    if (failure !== undefined) {
      queueMicrotask(() => done(failure));
      return;
    }
    queue.add(kind, tag, data, done, request);
    this.#options.outbox.wake(queue);
  }

  /** The fragments before `peerReceived` have arrived; the rest is cut anew. */
  #settle(peerReceived: number): void {
    const { outbox } = this.#options;
    const oldest = this.#unacknowledged.at(0)?.sequence ?? this.#nextSequence;
    const received = serialDistance(oldest, peerReceived);
    if (received > serialDistance(oldest, this.#nextSequence)) {
      const sentence = 'it claims to have received fragments that were never sent';
      throw violation(MessageFault.NEVER_SENT, sentence);
    }
    const unacknowledged = this.#unacknowledged.takeAll();
    const isAhead = ({ sequence }: Cut): boolean => serialDistance(oldest, sequence) >= received;
    const first = unacknowledged.findIndex(isAhead);
    const arrived = unacknowledged.splice(0, first < 0 ? unacknowledged.length : first);
    for (const cut of unacknowledged.reverse()) {
      const { source } = cut;
      source?.rewind(cut);
      this.#keep(cut);
      if (source !== null && source !== this.#quit) outbox.enter(source);
    }
    this.#nextSequence = peerReceived;
    for (const cut of arrived) this.#arrived(cut);
  }

  #takeTerms(terms: PeerMessageTerms): void {
    this.#hasTerms = true;
    this.#messages.limit = serialAdd(this.#messages.limit, terms.messageWindowBytes);
    this.#options.streams.takeTerms(terms.streams, terms.streamWindowBytes);
    this.#options.outbox.enter(this.#messages);
  }

  /** QUIT is wanted and has not left. */
  get #isQuitting(): boolean {
    return this.#quit?.isReady ?? false;
  }

  /** QUIT leaves when nothing else waits, also nothing that the peer does not take yet. */
  get #mayQuit(): boolean {
    const isLast = this.#messages.waiting === 0 && (this.#sealed?.waiting ?? 0) === 0;
    return isLast && this.#isQuitting && !this.#options.streams.hasUnsent;
  }

  #cutQuit(cut: Cut): void {
    this.#quit?.take(cut);
    cut.source = this.#quit;
  }

  /** Where a fragment of `bytes` goes; -1: nowhere now. */
  #placeFor(bytes: number): number {
    const { memory, slots } = this.#options;
    return memory.fragments === slots ? -1 : memory.placeFor(bytes);
  }

  /** Posts what was cut to `place`; returns whether the device took it. One that it refuses is the last of this link. */
  #post(link: LastingLink, place: number, cut: Cut, isNumbered: boolean): boolean {
    const { memory, window } = this.#options;
    const buffer = memory.current;
    const { mr } = buffer;
    const { limit } = window;
    window.told = limit;
    cut.limit = limit;
    writeHeader(mr.bytes, place, cut);
    const body = place + HEADER_BYTES;
    const payloadBytes = cut.mr === null ? cut.length : 0;
    const bytes = HEADER_BYTES + payloadBytes + (link.sealer === null ? 0 : TAG_BYTES);
    if (link.sealer !== null) {
      const plain = mr.bytes.subarray(body, body + cut.length);
      link.sealer.seal(mr.bytes.subarray(place, body), plain, mr.bytes.subarray(body, place + bytes));
    }
    memory.take(place, bytes);
    const { kind } = cut;
    const done = (error: RdmaError | undefined): void => {
      // What a link that is over did not answer, the next one tells.
      if (error !== undefined || link !== this.#link) return;
      memory.giveBack(buffer);
      window.known = limit;
      if (kind === MessageKind.BYE) this.#onBye?.();
      if (kind === MessageKind.CLOSE) this.#closing?.done();
      if (isNumbered) {
        this.#unacknowledged.shift();
        this.#arrived(cut);
      }
      if (this.#isAskDue) this.ask();
      this.pump();
      this.advertise();
    };
    const isHurried = isAwaited(cut) || !memory.isRoomy;
    const isSent = link.tracker.send(mr, place, bytes, done, cut.mr === null ? null : cut, isHurried);
    cut.work = link.tracker.last;
    if (!isSent) this.#lose();
    return isSent;
  }

  #arrived(cut: Cut): void {
    cut.source?.arrived(cut);
    this.#keep(cut);
  }

  #keep(cut: Cut): void {
    cut.release();
    this.#spareCuts ??= [];
    this.#spareCuts.push(cut);
  }
}

class QuitSource implements FragmentSource {
  isQueued = false;
  readonly nextBytes = 0;
  readonly wanted: SendDone[] = [];
  #hasLeft = false;

  get isReady(): boolean {
    return this.wanted.length > 0 && !this.#hasLeft;
  }

  take(cut: Cut): void {
    this.#hasLeft = true;
    cut.describe(MessageKind.QUIT, 0, 0, 0, 0);
  }

  rewind(): void {
    this.#hasLeft = false;
  }

  arrived(): void {
    for (const done of this.wanted.splice(0)) done(undefined);
  }

  fail(error: RdmaError): void {
    for (const done of this.wanted.splice(0)) done(error);
  }
}

/** Somebody waits for its arrival. Nobody does for bytes of a stream that were copied: the program that wrote them goes on. */
const isAwaited = ({ kind, flags, mr }: Cut): boolean =>
  kind !== MessageKind.STREAM || mr !== null || (flags & MessageFlag.FIN) !== 0;

const limitWentBack = (of: string): RdmaError =>
  violation(MessageFault.LIMIT_WENT_BACK, `its limit of ${of} went back, or too far ahead`);
