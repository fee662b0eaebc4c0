/**
 * A timeout that counts time in which the event loop turns, and no other: a process that stood still, as when its machine slept, has
 * given nobody any time. It keeps the process alive.
 */

/** What may be counted of one standstill. */
const PIECE_MILLIS = 500;

export class TurningTimeout {
  #timer: NodeJS.Timeout | undefined;

  constructor(millis: number, expired: () => void) {
    this.#wait(millis, expired);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(leftMillis: number, expired: () => void): void {
    const piece = Math.min(leftMillis, PIECE_MILLIS);
    const next = (): void => (leftMillis > piece ? this.#wait(leftMillis - piece, expired) : expired());
    this.#timer = setTimeout(next, piece);
  }
}
