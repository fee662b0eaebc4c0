/**
 * A question to a worker whose answer may stay out, as the worker may be stuck: whoever asks gets nothing then.
 *
 * Invariant: it is under way once at a time, however often it is asked and however long the answer takes, so that nothing piles up.
 */
import { type Clock, systemClock } from '../common/clock.js';

const PATIENCE_MILLIS = 1000;

export class Question<Answer> {
  readonly #ask: () => Promise<Answer>;
  readonly #nothing: Answer;
  readonly #clock: Clock;
  /** What all get who have asked since it was put. */
  #shared: Promise<Answer> | null = null;

  constructor(ask: () => Promise<Answer>, nothing: Answer, clock: Clock = systemClock) {
    this.#ask = ask;
    this.#nothing = nothing;
    this.#clock = clock;
  }

  /** @throws RdmaError as the worker says. */
  answer(): Promise<Answer> {
    this.#shared ??= this.#put();
    return this.#shared;
  }

  #put(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const onTimer = (): void => {
        // Until the answer is here, whoever asks gets nothing at once.
        this.#shared = Promise.resolve(this.#nothing);
        resolve(this.#nothing);
      };
      const patience = this.#clock.timer({ onTimer });
      const end = (settle: () => void): void => {
        patience.stop();
        this.#shared = null;
        settle();
      };
      patience.set(PATIENCE_MILLIS);
      this.#ask().then(
        (answer) => end(() => resolve(answer)),
        (error: unknown) => end(() => reject(error)),
      );
    });
  }
}
