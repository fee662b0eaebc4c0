/**
 * Messages in a stream: 4 bytes of length, low byte first, then the message. The reader puts every message into a slot
 * of its own, as a receive queue would. Neither side allocates.
 */

const HEADER_BYTES = 4;

export class FrameWriter {
  /** All frames; a whole number of them, of one size. */
  readonly bytes: Buffer;
  #at = 0;

  constructor(frames: number, messageBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(frames * (HEADER_BYTES + messageBytes));
  }

  reset(): void {
    this.#at = 0;
  }

  add(message: Buffer): void {
    this.bytes.writeUInt32LE(message.length, this.#at);
    message.copy(this.bytes, this.#at + HEADER_BYTES);
    this.#at += HEADER_BYTES + message.length;
  }
}

export class FrameReader {
  /** Messages that are complete. */
  messages = 0;
  readonly #maxBytes: number;
  readonly #slots: Buffer;
  readonly #slotCount: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerHas = 0;
  #length = 0;
  #has = 0;

  constructor(maxBytes: number, slots: number) {
    this.#maxBytes = maxBytes;
    this.#slotCount = slots;
    this.#slots = Buffer.alloc(maxBytes * slots);
  }

  /** @throws Error for a message that is longer than a slot. */
  take(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      if (this.#headerHas < HEADER_BYTES) at = this.#takeHeader(chunk, at, length);
      if (this.#headerHas === HEADER_BYTES) at = this.#takeMessage(chunk, at, length);
    }
  }

  /** The message that came `index`-th, as long as its slot was not used again. */
  message(index: number, length: number): Buffer {
    const at = (index % this.#slotCount) * this.#maxBytes;
    return this.#slots.subarray(at, at + length);
  }

  #takeHeader(chunk: Buffer, at: number, end: number): number {
    if (this.#headerHas === 0 && end - at >= HEADER_BYTES) {
      this.#begin(chunk.readUInt32LE(at));
      return at + HEADER_BYTES;
    }
    this.#header[this.#headerHas++] = chunk[at] as number;
    if (this.#headerHas === HEADER_BYTES) this.#begin(this.#header.readUInt32LE(0));
    return at + 1;
  }

  #begin(length: number): void {
    if (length > this.#maxBytes) throw new Error(`a frame of ${length} bytes, ${this.#maxBytes} at most`);
    this.#headerHas = HEADER_BYTES;
    this.#length = length;
    this.#has = 0;
  }

  #takeMessage(chunk: Buffer, at: number, end: number): number {
    const part = Math.min(end - at, this.#length - this.#has);
    const slot = (this.messages % this.#slotCount) * this.#maxBytes;
    chunk.copy(this.#slots, slot + this.#has, at, at + part);
    this.#has += part;
    if (this.#has === this.#length) {
      this.messages++;
      this.#headerHas = 0;
    }
    return at + part;
  }
}
