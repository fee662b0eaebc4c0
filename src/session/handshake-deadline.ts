/**
 * One deadline for everything until a session is established: it starts with the TCP connection and covers TLS, PSNs,
 * parameters and transitions alike, so that a peer who is slow in each step in turn gains nothing. What expiry does
 * changes on the way (first a bare socket must go, later a channel); the clock never starts again. It keeps no process alive: the
 * socket does.
 */

export const DEFAULT_HANDSHAKE_DEADLINE_MILLIS = 5000;

const NOTHING = (): void => {};

export class HandshakeDeadline {
  readonly totalMillis: number;
  /** Called at most once. */
  onExpired: () => void;
  #timer: NodeJS.Timeout | null;

  constructor(totalMillis: number, onExpired: () => void) {
    this.totalMillis = totalMillis;
    this.onExpired = onExpired;
    this.#timer = setTimeout(() => this.onExpired(), totalMillis).unref();
  }

  /** Holds nothing any more: its owner may live for days. */
  disarm(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.onExpired = NOTHING;
  }
}
