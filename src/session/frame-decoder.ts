/**
 * Turns the byte stream of the control channel into frames, however the bytes are cut.
 *
 * Invariants: it holds at most one prefix and one body (4 + 4096 bytes), allocated only after the announced length was
 * checked; it never throws; after a violation it yields nothing more, because the stream has lost its framing.
 */
import {
  type DecodedFrame,
  FRAME_PREFIX_BYTES,
  FrameFault,
  MAX_FRAME_BODY_BYTES,
  parseFrameBody,
  violation,
} from './frames.js';

export class FrameDecoder {
  /** The length that the prefix announces, as far as it is here. */
  #prefix = 0;
  #prefixBytes = 0;
  #body: Buffer | undefined;
  #bodyBytes = 0;
  #broken = false;

  /** Whether a frame has begun and not ended: a stream that stops here was cut. */
  get insideFrame(): boolean {
    return this.#prefixBytes > 0;
  }

  /**
   * The frames that end in `chunk`, decoded one by one as the caller asks for them, so that a reader who is full can
   * pause. Iterate to the end before the next call; a chunk that is not iterated is not read.
   */
  *push(chunk: Uint8Array): Generator<DecodedFrame, void, void> {
    let offset = 0;
    while (offset < chunk.length && !this.#broken) {
      if (this.#body === undefined) {
        offset += this.#fillPrefix(chunk, offset);
        if (this.#prefixBytes < FRAME_PREFIX_BYTES) return;
        const tooLarge = this.#startBody();
        if (tooLarge !== undefined) yield tooLarge;
      } else {
        offset += this.#fillBody(this.#body, chunk, offset);
      }
      if (this.#body !== undefined && this.#bodyBytes === this.#body.length)
        yield this.#finishBody(this.#body);
    }
  }

  #fillPrefix(chunk: Uint8Array, offset: number): number {
    const end = Math.min(chunk.length, offset + FRAME_PREFIX_BYTES - this.#prefixBytes);
    for (let at = offset; at < end; at++) this.#prefix = this.#prefix * 256 + (chunk[at] as number);
    this.#prefixBytes += end - offset;
    return end - offset;
  }

  #startBody(): DecodedFrame | undefined {
    const lengthBytes = this.#prefix;
    if (lengthBytes > MAX_FRAME_BODY_BYTES) {
      this.#broken = true;
      return violation(
        FrameFault.FRAME_TOO_LARGE,
        `a control frame may hold ${MAX_FRAME_BODY_BYTES} bytes, this one announces ${lengthBytes}`,
      );
    }
    this.#body = Buffer.alloc(lengthBytes);
    this.#bodyBytes = 0;
    return undefined;
  }

  #fillBody(body: Buffer, chunk: Uint8Array, offset: number): number {
    const part = chunk.subarray(offset, offset + body.length - this.#bodyBytes);
    body.set(part, this.#bodyBytes);
    this.#bodyBytes += part.length;
    return part.length;
  }

  #finishBody(body: Buffer): DecodedFrame {
    this.#body = undefined;
    this.#prefix = 0;
    this.#prefixBytes = 0;
    const result = parseFrameBody(body);
    if (!result.ok) this.#broken = true;
    return result;
  }
}
