/**
 * What `for await` has of a connection: its messages until the peer quits. It takes a message when it is asked for one, and none
 * after it has ended: when the peer has quit, when the connection is lost, or when the program leaves the loop.
 */
import type { Message } from '../messages/message-inbox.js';
import type { Answers } from './receiving.js';

type Step = IteratorResult<Message, undefined>;

const DONE: Step = { done: true, value: undefined };

export interface MessageSource {
  /** Takes the next message for a loop. */
  step(loop: MessageLoop): Promise<Step>;
}

export class MessageLoop implements AsyncIterableIterator<Message>, Answers<Step> {
  readonly #source: MessageSource;
  #isOver = false;

  constructor(source: MessageSource) {
    this.#source = source;
  }

  next(): Promise<Step> {
    return this.#isOver ? Promise.resolve(DONE) : this.#source.step(this);
  }

  return(): Promise<Step> {
    this.#isOver = true;
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  // --- what a call that waited is answered with -----------------------------------------------------------------------

  ofMessage(message: Message | undefined): Step {
    if (message !== undefined) return { done: false, value: message };
    this.#isOver = true;
    return DONE;
  }

  /** The first call that fails throws; those behind it find the loop at its end. */
  ofFailure(): Step | undefined {
    if (this.#isOver) return DONE;
    this.#isOver = true;
    return undefined;
  }
}
