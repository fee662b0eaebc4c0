/**
 * What keeps the process alive. Sockets, watches and timers of this package do not by themselves: a device, connection, server or
 * socket that is open does, and its `unref` says that it need not.
 *
 * Invariant: the process ends by itself when nothing is held and nothing else is to be done.
 */
import { MAX_MILLIS } from './verbs/option-check.js';

let held = 0;
/** Does nothing but being there, while anything is held. */
let keeper: NodeJS.Timeout | undefined;

function change(by: 1 | -1): void {
  held += by;
  if (held > 0) {
    keeper ??= setInterval(() => {}, MAX_MILLIS);
    return;
  }
  clearInterval(keeper);
  keeper = undefined;
}

export class ProcessHold {
  #isOver = false;
  #isReferenced: boolean;

  /** Holds the process from now on, unless it is told otherwise. */
  constructor(isReferenced = true) {
    this.#isReferenced = isReferenced;
    if (isReferenced) change(1);
  }

  /** Holds the process until `unref` or the end. Idempotent. */
  ref(): void {
    if (this.#isReferenced) return;
    this.#isReferenced = true;
    if (!this.#isOver) change(1);
  }

  /** Lets the process end. Idempotent. */
  unref(): void {
    if (!this.#isReferenced) return;
    this.#isReferenced = false;
    if (!this.#isOver) change(-1);
  }

  /** What held it is closed. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isReferenced) change(-1);
  }
}
