/**
 * Tells the main thread that connections live. A connection that carries messages makes progress thousands of times a second,
 * and a lifeline wants to know of it a few times: so it is told for all connections together, after a moment.
 */
import type { FromWorker } from './contract.js';

const TELL_MILLIS = 50;

export class SignsOfLife {
  readonly #post: (message: FromWorker) => void;
  readonly #progressed = new Set<number>();
  readonly #heard = new Set<number>();
  readonly #spoken = new Set<number>();
  /** Those that made progress since their numbers were taken. */
  readonly #active = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  progress(id: number): void {
    this.#progressed.add(id);
    this.#active.add(id);
    this.#timer ??= setTimeout(() => this.flush(), TELL_MILLIS).unref();
  }

  heard(id: number): void {
    this.#heard.add(id);
    this.#timer ??= setTimeout(() => this.flush(), TELL_MILLIS).unref();
  }

  /** Of what is told by another call as well. */
  spoken(id: number): void {
    this.#spoken.add(id);
  }

  /** Tells it now: something else is about to be told. */
  flush(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const [progressed, heard, spoken] = [[...this.#progressed], [...this.#heard], [...this.#spoken]];
    this.#post({ type: 'alive', progressed, heard, spoken });
    for (const told of [this.#progressed, this.#heard, this.#spoken]) told.clear();
  }

  /** The connections that made progress since the last call. */
  takeActive(): readonly number[] {
    const active = [...this.#active];
    this.#active.clear();
    return active;
  }
}
