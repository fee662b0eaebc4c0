/** The rules of fragments, written down once more from docs/protocol.md. */

export interface ModelMessage {
  readonly tag: number;
  readonly data: Uint8Array;
}

export interface ModelTerms {
  readonly encrypted: boolean;
  readonly brief: boolean;
  readonly slots: number;
  readonly maxMessageBytes: number;
  readonly messageWindowBytes: number;
  readonly streams: number;
  readonly streamWindowBytes: number;
  /** Of the peer: where our limits begin. */
  readonly peerMessageWindowBytes: number;
  readonly peerStreams: number;
  readonly peerStreamWindowBytes: number;
}

/** What is due for a fragment: `either` where only a stream's end, which the peer cannot see, decides. */
export type Verdict = 'taken' | 'refused' | 'either';

interface Partial {
  readonly kind: number;
  readonly tag: number;
  readonly data: Uint8Array;
  filled: number;
}

export class ModelStream {
  received = 0;
  told: number;
  /** The limit of our direction. */
  outLimit: number;
  hasEnded = false;
  wasReset = false;
  readonly data: number[] = [];

  constructor(told: number, outLimit: number) {
    this.told = told;
    this.outLimit = outLimit;
  }
}

const HEADER_BYTES = 24;
const MESSAGE_COST = 24;
const HALF = 2 ** 31;
const SMALL_SEALED = 64;
const [LIMIT, DATA, STREAM, RESET, STREAM_LIMIT, OPEN_LIMIT, QUIT, SEALED] = [
  0, 1, 2, 3, 4, 5, 6, 7,
] as const;
const [YIELD, ASK, BYE, CLOSE] = [11, 12, 13, 14] as const;
const isUnnumbered = (kind: number): boolean => kind === LIMIT || (kind >= ASK && kind <= CLOSE);
const isSealed = (kind: number): boolean => kind >= SEALED && kind < YIELD;
const [FIN, YOURS] = [1, 2] as const;
const distance = (from: number, to: number): number => (to - from) >>> 0;

export class ReceiverModel {
  readonly messages: ModelMessage[] = [];
  readonly streams = new Map<number, ModelStream>();
  quits = 0;
  byes = 0;
  /** The code with which the peer closed. */
  closed: number | undefined;
  sealed = 0;
  sequence = 0;
  /** Limits that the peer was told. */
  told: number;
  messageTold: number;
  openTold: number;
  /** Limits that the peer told. */
  peerLimit = 0;
  peerMessageLimit: number;
  peerOpenLimit: number;
  opened = 0;
  openedByPeer = 0;
  readonly #terms: ModelTerms;
  #messageReceived = 0;
  #partial: Partial | null = null;
  #sealedPartial: Partial | null = null;

  constructor(terms: ModelTerms) {
    this.#terms = terms;
    this.told = terms.slots;
    this.messageTold = terms.messageWindowBytes;
    this.openTold = terms.streams;
    this.peerMessageLimit = terms.peerMessageWindowBytes;
    this.peerOpenLimit = terms.peerStreams;
  }

  /** Our program has opened a stream. */
  open(): void {
    this.#add(++this.opened);
  }

  take(bytes: Uint8Array): Verdict {
    if (bytes.length < HEADER_BYTES) return 'refused';
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const payload = bytes.subarray(HEADER_BYTES);
    const kind = view.getUint8(1);
    if (view.getUint8(0) !== 2 || kind > CLOSE || (isSealed(kind) && !this.#terms.encrypted))
      return 'refused';
    if (view.getUint8(3) !== 0 || view.getUint16(18) !== 0) return 'refused';
    if (!this.#isShaped(kind, view, payload.length)) return 'refused';
    if (view.getUint32(4) !== this.sequence) return 'refused';
    let verdict: Verdict = 'taken';
    if (this.closed !== undefined || (kind === BYE && this.quits === 0)) return 'refused';
    if (kind === CLOSE && (!this.#terms.brief || this.byes > 0)) return 'refused';
    if (!isUnnumbered(kind)) {
      if (this.sequence === this.told) return 'refused';
      verdict = this.#apply(kind, view, payload);
      if (verdict === 'refused') return verdict;
      this.sequence = (this.sequence + 1) >>> 0;
    }
    const limit = view.getUint32(8);
    if (distance(this.peerLimit, limit) >= HALF) return 'refused';
    this.peerLimit = limit;
    if (kind === BYE) this.byes++;
    if (kind === CLOSE) this.closed = view.getUint32(20);
    return verdict;
  }

  #isShaped(kind: number, view: DataView, payloadBytes: number): boolean {
    const flags = view.getUint8(2);
    const stream = view.getUint32(12);
    const allowed =
      kind === STREAM ? FIN | YOURS : kind === RESET || (kind === STREAM_LIMIT && stream > 0) ? YOURS : 0;
    if ((flags & ~allowed) !== 0) return false;
    if ((kind === STREAM || kind === RESET) !== stream > 0 && kind !== STREAM_LIMIT) return false;
    if (kind !== DATA && view.getUint16(16) !== 0) return false;
    if (((isUnnumbered(kind) && kind !== CLOSE) || kind === QUIT) && view.getUint32(20) !== 0) return false;
    // That of a LIMIT is padding.
    return payloadBytes === 0 || kind === LIMIT || kind === DATA || kind === STREAM || isSealed(kind);
  }

  #apply(kind: number, view: DataView, payload: Uint8Array): Verdict {
    if (this.quits > 0 && (kind === DATA || kind === STREAM || kind === QUIT)) return 'refused';
    const value = view.getUint32(20);
    const id = (view.getUint8(2) & YOURS) !== 0 ? view.getUint32(12) : -view.getUint32(12);
    if (kind === DATA) return this.#message(view, payload);
    if (kind === STREAM) return this.#bytes(id, value, payload, (view.getUint8(2) & FIN) !== 0);
    if (kind === RESET) return this.#reset(id);
    if (kind === STREAM_LIMIT) return this.#limit(id, value);
    if (kind === OPEN_LIMIT) {
      if (value < this.peerOpenLimit || value >= HALF) return 'refused';
      this.peerOpenLimit = value;
    } else if (kind === QUIT) this.quits++;
    else if (kind === YIELD) {
      if (value >= distance(this.sequence, this.told)) return 'refused';
      this.sequence = (this.sequence + value) >>> 0;
    } else return this.#sealedMessage(view, payload);
    return 'taken';
  }

  #message(view: DataView, payload: Uint8Array): Verdict {
    const cost = payload.length + (this.#partial === null ? MESSAGE_COST : 0);
    if (cost > distance(this.#messageReceived, this.messageTold)) return 'refused';
    this.#partial ??= begin(view);
    if (!append(this.#partial, view, payload, this.#terms.maxMessageBytes)) return 'refused';
    this.#messageReceived = (this.#messageReceived + cost) >>> 0;
    if (this.#partial.filled < this.#partial.data.length) return 'taken';
    this.messages.push(this.#partial);
    this.#partial = null;
    return 'taken';
  }

  #sealedMessage(view: DataView, payload: Uint8Array): Verdict {
    this.#sealedPartial ??= begin(view);
    const maxBytes = Math.max(SMALL_SEALED, this.#terms.maxMessageBytes);
    if (!append(this.#sealedPartial, view, payload, maxBytes)) return 'refused';
    if (this.#sealedPartial.filled < this.#sealedPartial.data.length) return 'taken';
    this.sealed++;
    this.#sealedPartial = null;
    return 'taken';
  }

  #bytes(id: number, offset: number, payload: Uint8Array, isLast: boolean): Verdict {
    const isFirst = id === -(this.openedByPeer + 1) && this.openedByPeer < this.openTold;
    if (isFirst) {
      this.openedByPeer++;
      this.#add(id);
    }
    const stream = this.streams.get(id);
    if (stream === undefined || stream.hasEnded || offset !== stream.received) return 'refused';
    if (payload.length > distance(stream.received, stream.told)) return 'refused';
    if (payload.length === 0 && !isFirst && !isLast) return 'refused';
    stream.received = (stream.received + payload.length) >>> 0;
    stream.data.push(...payload);
    stream.hasEnded = isLast;
    return 'taken';
  }

  #reset(id: number): Verdict {
    const stream = this.streams.get(id);
    if (stream === undefined) return 'refused';
    stream.hasEnded = true;
    stream.wasReset = true;
    return 'taken';
  }

  #limit(id: number, value: number): Verdict {
    if (id === 0) {
      if (distance(this.peerMessageLimit, value) >= HALF) return 'refused';
      this.peerMessageLimit = value;
      return 'taken';
    }
    const stream = this.streams.get(id);
    if (stream === undefined) return 'refused';
    const goesBack = distance(stream.outLimit, value) >= HALF;
    if (goesBack) return stream.hasEnded ? 'either' : 'refused';
    stream.outLimit = value;
    return 'taken';
  }

  #add(id: number): void {
    const { streamWindowBytes, peerStreamWindowBytes } = this.#terms;
    this.streams.set(id, new ModelStream(streamWindowBytes, peerStreamWindowBytes));
  }
}

/** A message whose first fragment is here; too large a one is refused before its bytes are wanted. */
function begin(view: DataView): Partial {
  const total = view.getUint32(20);
  const data = new Uint8Array(total > 1_000_000 ? 0 : total);
  return { kind: view.getUint8(1), tag: view.getUint16(16), data, filled: 0 };
}

function append(partial: Partial, view: DataView, payload: Uint8Array, maxBytes: number): boolean {
  const total = view.getUint32(20);
  if (total > maxBytes || total !== partial.data.length) return false;
  if (view.getUint8(1) !== partial.kind || view.getUint16(16) !== partial.tag) return false;
  if (partial.filled + payload.length > total || (payload.length === 0 && total > 0)) return false;
  partial.data.set(payload, partial.filled);
  partial.filled += payload.length;
  return true;
}
