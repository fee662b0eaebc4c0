/** The rules of fragments, written down once more from the description in message-header.ts. */

export interface ModelMessage {
  readonly tag: number;
  readonly data: Uint8Array;
}

export interface ModelLimits {
  readonly maxMessageBytes: number;
  /** Fragments of ours that the peer may have taken at this moment. */
  readonly mayHaveTaken: (taken: number) => boolean;
}

const HEADER_BYTES = 24;
const CREDIT = 0;
const DATA = 1;
const QUIT = 2;
const HIGHEST_TYPE = 2;
/** Of these the receiver hands messages to whoever keeps sealed memory. */
const FIRST_SEALED_TYPE = 3;
const HIGHEST_SEALED_TYPE = 5;

export class ReceiverModel {
  /** Messages that are whole, without those that end the connection. */
  readonly messages: ModelMessage[] = [];
  quits = 0;
  sealed = 0;
  sequence = 0;
  readonly #highestType: number;
  #partial: { type: number; tag: number; data: Uint8Array; filled: number } | null = null;

  constructor(encrypted: boolean) {
    this.#highestType = encrypted ? HIGHEST_SEALED_TYPE : HIGHEST_TYPE;
  }

  /** A new link: what was begun is sent again. */
  forgetPartial(): void {
    this.#partial = null;
  }

  /** Takes a fragment; returns whether it breaks a rule. */
  take(bytes: Uint8Array, limits: ModelLimits): boolean {
    if (bytes.length < HEADER_BYTES) return true;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const type = view.getUint8(1);
    const tag = view.getUint16(2);
    const total = view.getUint32(12);
    const offset = view.getUint32(16);
    const payload = bytes.subarray(HEADER_BYTES);
    if (view.getUint8(0) !== 2 || type > this.#highestType || offset + payload.length > total) return true;
    if ((tag !== 0 && type !== DATA) || view.getUint32(20) !== 0) return true;
    if (type !== CREDIT && this.#append(type, tag, view.getUint32(4), total, offset, payload, limits))
      return true;
    return !limits.mayHaveTaken(view.getUint32(8));
  }

  #append(
    type: number,
    tag: number,
    sequence: number,
    total: number,
    offset: number,
    payload: Uint8Array,
    limits: ModelLimits,
  ): boolean {
    if (sequence !== this.sequence || total > limits.maxMessageBytes) return true;
    this.#partial ??= { type, tag, data: new Uint8Array(total), filled: 0 };
    const partial = this.#partial;
    const fits =
      partial.type === type &&
      partial.tag === tag &&
      partial.data.length === total &&
      partial.filled === offset;
    if (!fits || (payload.length === 0 && total > 0)) return true;
    partial.data.set(payload, offset);
    partial.filled += payload.length;
    if (partial.filled < total) return false;
    this.#partial = null;
    this.sequence = (this.sequence + 1) >>> 0;
    if (type === QUIT) this.quits++;
    else if (type >= FIRST_SEALED_TYPE) this.sealed++;
    else this.messages.push({ tag, data: partial.data });
    return false;
  }
}
