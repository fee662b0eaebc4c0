/**
 * How many receives a connection has posted for its peer, written down once more: they are given back while what waits
 * for the program stays below a mark, and held back above it, also by a link that begins there.
 */

const HEADER_BYTES = 24;

export class FlowModel {
  readonly #slots: number;
  readonly #highWaterBytes: number;
  /** Bytes of each message that waits, oldest first. */
  readonly #waiting: number[] = [];
  #waitingBytes = 0;
  /** Calls of the program that wait for a message. */
  #asking = 0;
  #ended = false;
  #promised: number;
  /** Receives that the peer may not fill. */
  held = 0;
  taken = 0;

  constructor(slots: number, highWaterBytes: number) {
    this.#slots = slots;
    this.#highWaterBytes = highWaterBytes;
    this.#promised = slots;
  }

  get mayFill(): boolean {
    return this.held < this.#slots;
  }

  promise(): number {
    this.#promised = this.#isFull ? 0 : this.#slots;
    return this.#promised;
  }

  attach(): void {
    this.taken = 0;
    this.held = this.#slots - this.#promised;
    this.#release();
  }

  /** A message is whole. */
  arrive(lengthBytes: number): void {
    if (this.#asking > 0) {
      this.#asking--;
      return;
    }
    this.#waiting.push(HEADER_BYTES + lengthBytes);
    this.#waitingBytes += HEADER_BYTES + lengthBytes;
  }

  /** The peer has filled a receive. */
  filled(): void {
    if (this.#isFull) this.held++;
    else this.taken++;
  }

  /** The program asks for a message. */
  ask(): void {
    const bytes = this.#waiting.shift();
    if (bytes === undefined) {
      if (!this.#ended) this.#asking++;
      return;
    }
    this.#waitingBytes -= bytes;
    this.#release();
  }

  /** Nobody waits any more. */
  end(): void {
    this.#ended = true;
    this.#asking = 0;
  }

  get #isFull(): boolean {
    return this.#waitingBytes > this.#highWaterBytes;
  }

  #release(): void {
    if (this.#isFull) return;
    this.taken += this.held;
    this.held = 0;
  }
}
