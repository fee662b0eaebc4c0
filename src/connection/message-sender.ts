/**
 * Sends fragments: copies each with its header into a slot of the send buffer and posts it, as far as slots and the peer's
 * limit allow. Which one comes next, the outbox says.
 *
 * It outlives links. Fragments are numbered over the life of the connection; those that the peer did not get before a link
 * ended are cut anew on the next one, from the number on that the peer says comes next.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { WrOpcode } from '../verbs/work-request.js';
import { HEADER_BYTES, MessageFault, MessageKind, violation, writeHeader } from './message-header.js';
import { MessageQueue, type SendDone } from './message-queue.js';
import { Cut, type FragmentSource, type Outbox } from './outbox.js';
import type { ReceiveWindow } from './receive-window.js';
import { type Sealer, TAG_BYTES } from './sealing.js';
import { mayAdvance, serialAdd, serialDistance } from './serial-number.js';
import type { StreamTable } from './stream-table.js';
import type { WorkTracker } from './work-tracker.js';

export interface SenderOptions {
  /** The send buffer: `slots` pieces of `slotBytes`. */
  readonly mr: MemoryRegion;
  readonly slots: number;
  readonly slotBytes: number;
  /** Receives that this side gives its peer. */
  readonly ownSlots: number;
  /** The fragments that this side takes, to be told in every header. */
  readonly window: ReceiveWindow;
  readonly outbox: Outbox;
  readonly streams: StreamTable;
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

/** What a link brings: its work, and the peer's receives. */
export interface SenderLink {
  readonly tracker: WorkTracker;
  /** Receives that the peer has posted. */
  readonly peerSlots: number;
  readonly peerSlotBytes: number;
  /** Number of the fragment that the peer expects next. */
  readonly peerReceived: number;
  readonly terms: PeerMessageTerms;
  /** Seals fragments; `null` on connections that are not encrypted. */
  readonly sealer: Sealer | null;
}

export class MessageSender {
  readonly #options: SenderOptions;
  readonly #messages: MessageQueue;
  readonly #sealed = new MessageQueue(null);
  readonly #cuts: readonly Cut[];
  /** Slots whose fragment the peer may not have, in their order. */
  readonly #unacknowledged: number[] = [];
  readonly #quit = new QuitSource();
  #freeSlots: number[] = [];
  #link: SenderLink | null = null;
  #terms: PeerMessageTerms | null = null;
  #fragmentBytes = 0;
  #nextSequence: number;
  #peerLimit = 0;
  /** Told on a link that is connected and not attached yet: the peer may be up before this side. */
  #earlyLimit: number | undefined;
  #failure: RdmaError | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#nextSequence = options.firstSequence ?? 0;
    const start = options.messageStart ?? 0;
    this.#messages = new MessageQueue(start, start);
    this.#cuts = Array.from({ length: options.slots }, () => new Cut());
    options.outbox.onReady = () => this.pump();
  }

  /** Messages that are not done. */
  get pending(): number {
    return this.#messages.pending + this.#sealed.pending;
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
    if (this.#terms === null) this.#takeTerms(link.terms);
    this.#freeSlots = Array.from({ length: this.#options.slots }, (_, slot) => slot);
    this.#fragmentBytes = Math.min(link.peerSlotBytes, this.#options.slotBytes) - overheadBytes;
    this.#peerLimit = serialAdd(link.peerReceived, link.peerSlots);
    if (this.#earlyLimit !== undefined) this.#advanceTo(this.#earlyLimit);
    this.#earlyLimit = undefined;
    this.#link = link;
    this.pump();
    this.advertise();
  }

  /** The link is over: what the peer does not have waits for the next one. */
  detach(): void {
    this.#link = null;
    this.#earlyLimit = undefined;
  }

  /** Queues a message of the program, with its number for it. `data` must not change until `done` is called. */
  send(tag: number, data: Uint8Array, done: SendDone, request = 0): void {
    this.#add(this.#messages, MessageKind.DATA, tag, data, done, request);
  }

  /** Sends a message about sealed memory; resolves when the peer has it. */
  sendSealed(kind: MessageKind, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
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
    const { ownSlots, window } = this.#options;
    const link = this.#link;
    if (link === null || serialDistance(window.told, window.limit) * 2 < ownSlots) return;
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return;
    const cut = this.#cuts[slot] as Cut;
    cut.describe(MessageKind.LIMIT, 0, 0, 0, 0);
    cut.sequence = this.#nextSequence;
    this.#post(link, slot, cut, false);
  }

  /** Sends what can be sent now. */
  pump(): void {
    const { outbox } = this.#options;
    for (let link = this.#link; link !== null; link = this.#link) {
      if (serialDistance(this.#nextSequence, this.#peerLimit) === 0) return;
      const slot = this.#freeSlots.pop();
      if (slot === undefined) return;
      const cut = this.#cuts[slot] as Cut;
      if (!outbox.cut(cut, this.#fragmentBytes) && !this.#cutQuit(cut)) {
        this.#freeSlots.push(slot);
        return;
      }
      cut.sequence = this.#nextSequence;
      this.#nextSequence = serialAdd(this.#nextSequence, 1);
      this.#unacknowledged.push(slot);
      this.#post(link, slot, cut, true);
    }
  }

  /** Ends every message that is not done, and all later ones, with `error`; `isInOrder`: nothing has failed. */
  fail(error: RdmaError, isInOrder = false): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.detach();
    for (const slot of this.#unacknowledged.splice(0)) this.#cuts[slot]?.release();
    this.#messages.fail(error);
    this.#sealed.fail(error);
    this.#options.streams.fail(error, isInOrder);
    this.#quit.fail(error);
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
    const oldest = serialAdd(this.#nextSequence, -this.#unacknowledged.length);
    const received = serialDistance(oldest, peerReceived);
    if (received > this.#unacknowledged.length) {
      const sentence = 'it claims to have received fragments that were never sent';
      throw violation(MessageFault.NEVER_SENT, sentence);
    }
    const arrived = this.#unacknowledged.splice(0, received);
    for (const slot of this.#unacknowledged.splice(0).reverse()) {
      const cut = this.#cuts[slot] as Cut;
      const { source } = cut;
      source?.rewind(cut);
      cut.release();
      if (source !== null && source !== this.#quit) outbox.enter(source);
    }
    this.#nextSequence = peerReceived;
    for (const slot of arrived) this.#arrived(this.#cuts[slot] as Cut);
  }

  #takeTerms(terms: PeerMessageTerms): void {
    this.#terms = terms;
    this.#messages.limit = serialAdd(this.#messages.limit, terms.messageWindowBytes);
    this.#options.streams.takeTerms(terms.streams, terms.streamWindowBytes);
    this.#options.outbox.enter(this.#messages);
  }

  /** QUIT leaves when nothing else waits, also nothing that the peer does not take yet. */
  #cutQuit(cut: Cut): boolean {
    const isLast = this.#messages.waiting === 0 && this.#sealed.waiting === 0;
    if (!this.#quit.isReady || !isLast || this.#options.streams.hasUnsent) return false;
    this.#quit.take(cut);
    cut.source = this.#quit;
    return true;
  }

  #post(link: SenderLink, slot: number, cut: Cut, isNumbered: boolean): void {
    const { mr, slotBytes, window } = this.#options;
    const at = slot * slotBytes;
    window.told = window.limit;
    const { kind, flags, sequence, stream, tag, value, data, offset, length } = cut;
    writeHeader(mr.bytes, at, { kind, flags, sequence, limit: window.limit, stream, tag, value });
    const payload = data.subarray(offset, offset + length);
    const { sealer } = link;
    if (sealer === null) mr.bytes.set(payload, at + HEADER_BYTES);
    else sealer.seal(mr.bytes.subarray(at, at + HEADER_BYTES), payload, mr.bytes.subarray(at + HEADER_BYTES));
    const sealBytes = sealer === null ? 0 : TAG_BYTES;
    const sges = [{ mr, offset: at, length: HEADER_BYTES + length + sealBytes }];
    link.tracker.post({ opcode: WrOpcode.SEND, sges }, (error) => {
      // What a link that is over did not answer, the next one tells.
      if (error !== undefined || link !== this.#link) return;
      if (isNumbered) {
        this.#unacknowledged.shift();
        this.#arrived(cut);
      }
      this.#freeSlots.push(slot);
      this.pump();
      this.advertise();
    });
  }

  #arrived(cut: Cut): void {
    cut.source?.arrived(cut);
    cut.release();
  }
}

class QuitSource implements FragmentSource {
  isQueued = false;
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

const limitWentBack = (of: string): RdmaError =>
  violation(MessageFault.LIMIT_WENT_BACK, `its limit of ${of} went back, or too far ahead`);
