/** Silences of a socket. A time that is longer than a timer takes is as long as one takes, as in node:net. */
import { MAX_MILLIS } from '../verbs/option-check.js';

/**
 * What `socket.setTimeout` sets: calls `onIdle` when nothing came or went for so long, once for each silence. It keeps no
 * process alive.
 */
export class IdleTimer {
  readonly #onIdle: () => void;
  #timer: NodeJS.Timeout | undefined;
  #millis = 0;

  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** How long a silence may be; 0 = as long as it likes. */
  get millis(): number {
    return this.#millis;
  }

  set(millis: number): void {
    this.stop();
    this.#millis = millis;
    if (millis > 0) this.#timer = setTimeout(this.#onIdle, Math.min(millis, MAX_MILLIS)).unref();
  }

  /** Something came or went. A timer that has fired runs again. */
  refresh(): void {
    this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
