/**
 * A command that a queue has under way: what the host asked for, where its data lies, and what is done when a backend has answered.
 *
 * Invariant: made once with its queue and filled anew for every command, so that a command costs no object of its own.
 */
import { Command } from '../wire/command.js';
import { SglType } from '../wire/sgl.js';
import type { BufferTaker, PoolBuffer } from './buffer-pool.js';
import { IoRequest } from './io-request.js';

/** What a request does next, told by its queue. */
export interface RequestOwner {
  onBuffer(request: TargetRequest): void;
  onBackendDone(request: TargetRequest): void;
  onBackendFailed(request: TargetRequest, error: unknown): void;
}

/** What a completion of the send queue is about; a request's index stands above. */
export const PostKind = { READ: 0, RESPONSE: 1 } as const;

export class TargetRequest implements BufferTaker {
  readonly index: number;
  readonly command = new Command();
  readonly io = new IoRequest();
  /** The receive that its capsule lies in, until the response leaves. */
  receive = -1;
  /** Bytes behind the command. */
  inCapsuleBytes = 0;
  wantedBytes = 0;
  buffer: PoolBuffer | null = null;
  /** Bytes of `buffer` that go to the host before the response. */
  replyBytes = 0;
  /** Whether a backend has it, and with that perhaps its memory. */
  isInBackend = false;
  /** Done with the data of an admin command that came by a READ. */
  onData: (() => void) | null = null;
  readonly #owner: RequestOwner;
  /** Who waits until a backend does not have it any more. */
  #leaving: Promise<void> | null = null;
  #tellLeft: () => void = () => {};

  constructor(index: number, owner: RequestOwner) {
    this.index = index;
    this.#owner = owner;
  }

  /** The host's key that the response invalidates; 0 where it shall not. */
  get invalidateRkey(): number {
    const { sgl } = this.command;
    return sgl.type === SglType.KEYED_INVALIDATE ? sgl.rkey : 0;
  }

  takeBuffer(buffer: PoolBuffer): void {
    this.buffer = buffer;
    this.#owner.onBuffer(this);
  }

  /** Goes on when the backend has answered, which may be now: whatever is no promise says that it is done. */
  follow(answer: void | PromiseLike<void>): void {
    if (isPromise(answer)) Promise.resolve(answer).then(this.#done, this.#failed);
    else this.#done();
  }

  /** Resolves when the backend that has it now is done with it. */
  leftBackend(): Promise<void> {
    this.#leaving ??= new Promise((resolve) => {
      this.#tellLeft = resolve;
    });
    return this.#leaving;
  }

  #leave(): void {
    this.isInBackend = false;
    if (this.#leaving === null) return;
    this.#leaving = null;
    this.#tellLeft();
  }

  /** A backend that throws at once has failed as one that rejects. */
  readonly #done = (): void => {
    this.#leave();
    this.#owner.onBackendDone(this);
  };

  readonly #failed = (error: unknown): void => {
    this.#leave();
    this.#owner.onBackendFailed(this, error);
  };

  fail(error: unknown): void {
    this.#failed(error);
  }
}

/** JavaScript's backends return what they like. */
const isPromise = (answer: unknown): answer is PromiseLike<void> =>
  typeof answer === 'object' && answer !== null && 'then' in answer;
