/** What a program asks of its connection: when, and what came of it, which is told once. */
import { RdmaError } from '../../../src/verbs/errors.js';
import type { VirtualTime } from '../../../testkit/virtual-time.js';
import { SimFailure } from '../failure.js';
import type { Marks } from '../marks.js';
import type { Outcome, Waited } from './records.js';
import type { Patience } from './scenario.js';

export interface AskingOptions {
  readonly name: string;
  readonly time: VirtualTime;
  readonly marks: Marks;
  readonly trace: (text: string) => void;
  readonly isEnding: () => boolean;
}

/** What a call is given so that it does not wait for ever, and what is written down of it. */
export interface Wait {
  readonly options: { readonly signal?: AbortSignal; readonly timeoutMillis?: number };
  readonly waited: Waited | null;
  /** The call is over: nothing aborts any more. */
  readonly stop: () => void;
}

export class Asking {
  readonly #options: AskingOptions;

  constructor(options: AskingOptions) {
    this.#options = options;
  }

  asked(): { wasEnding: boolean; at: number; outcome: Outcome | undefined } {
    return { wasEnding: this.#options.isEnding(), at: this.#options.time.now, outcome: undefined };
  }

  /** Writes down how `promise` settles; `then` runs after a success. */
  settle(
    what: string,
    record: { outcome: Outcome | undefined },
    promise: Promise<unknown>,
    then: () => void = () => {},
  ): void {
    const { name, time, marks, trace } = this.#options;
    const settled = (error: RdmaError | null): void => {
      if (record.outcome !== undefined) throw new SimFailure('promises', `${name}: a ${what} settled twice`);
      record.outcome = { error, at: time.now };
      trace(`${name}: ${what} ${error === null ? 'done' : error.message}`);
      marks.hit(`${what}: ${error === null ? 'done' : (error.status ?? error.code)}`);
    };
    promise
      .then(
        () => {
          settled(null);
          then();
        },
        (error: unknown) => {
          if (!(error instanceof RdmaError)) time.fail(error);
          else settled(error);
        },
      )
      .catch((error: unknown) => time.fail(error));
  }

  /** Begins to run out of patience now. */
  wait(patience: Patience | null): Wait {
    if (patience === null) return NO_WAIT;
    const { time } = this.#options;
    const { abortAfter, timeoutMillis } = patience;
    const reason = new Error('the program lost its patience');
    const waited: Waited = { reason, endsAt: Number.POSITIVE_INFINITY, timeoutMillis };
    const options: { signal?: AbortSignal; timeoutMillis?: number } = {};
    let isOver = false;
    if (timeoutMillis !== null) {
      options.timeoutMillis = timeoutMillis;
      waited.endsAt = time.now + timeoutMillis;
    }
    if (abortAfter !== null) {
      const controller = new AbortController();
      options.signal = controller.signal;
      waited.endsAt = Math.min(waited.endsAt, time.now + Math.max(0, abortAfter));
      if (abortAfter < 0) controller.abort(reason);
      else time.in(abortAfter, () => (isOver ? undefined : controller.abort(reason)));
    }
    const stop = (): void => {
      isOver = true;
    };
    return { options, waited, stop };
  }
}

const NO_WAIT: Wait = { options: {}, waited: null, stop: () => {} };
