/**
 * A call that waits for a message: one promise, and nothing else is made for it, because thousands of connections wait at any time.
 *
 * Invariants: it settles once; the data plane calls it once or not at all. Whoever gives up before a message is there has taken none.
 */
import { asRdmaError, type RdmaError } from '../../verbs/errors.js';
import type { ProgramPlane } from '../data-path/data-plane.js';
import type { Message, Waiter } from '../messages/message-inbox.js';
import type { CallOptions } from './call-options.js';
import { watchPatience } from './patience.js';
import { isToldElsewhere } from './rejections.js';

/** What callers get for a message, for the end of all (`undefined`), or for a failure. */
export interface Answers<Answer> {
  ofMessage(message: Message | undefined): Answer;
  /** `undefined`: the failure itself. */
  ofFailure(): Answer | undefined;
}

/** Who counts messages, and knows how the connection is. */
export interface ReceivingOwner {
  readonly isEnding: boolean;
  onTaken(message: Message): void;
}

export class Receiving<Answer> implements Waiter {
  readonly request: number;
  readonly promise: Promise<Answer>;
  readonly #owner: ReceivingOwner;
  readonly #answers: Answers<Answer>;
  #resolve!: (answer: Answer) => void;
  #reject!: (error: RdmaError) => void;
  #stopWatching: (() => void) | null = null;

  constructor(request: number, owner: ReceivingOwner, answers: Answers<Answer>) {
    this.request = request;
    this.#owner = owner;
    this.#answers = answers;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Waits no longer than the program does. */
  watch(options: CallOptions, plane: Pick<ProgramPlane, 'forget'>): void {
    this.#stopWatching = watchPatience(options, 'receive', (why) => {
      plane.forget(this.request).then(
        (isForgotten) => {
          if (isForgotten) this.reject(why);
        },
        (error: unknown) => this.reject(asRdmaError(error, 'the receive was not taken back')),
      );
    });
  }

  resolve(message: Message | undefined): void {
    this.#stopWatching?.();
    if (message !== undefined) this.#owner.onTaken(message);
    this.#resolve(this.#answers.ofMessage(message));
  }

  reject(error: RdmaError): void {
    this.#stopWatching?.();
    const answer = this.#answers.ofFailure();
    if (answer !== undefined) {
      this.#resolve(answer);
      return;
    }
    if (isToldElsewhere(error, this.#owner.isEnding)) this.promise.catch(() => {});
    this.#reject(error);
  }
}
