/**
 * One `read` or `write` of a program on its way through queues, device and session. The program may give it up at any
 * time: where it waits it is taken out at once; what the device or the peer has of it goes on to its end, and nobody hears
 * of that.
 *
 * Invariant: `bytes` belong to the transfer until it has ended, whether it was given up or not.
 */
import { RdmaError } from '../../verbs/errors.js';
import type { MemoryRange } from './remote-buffer.js';

/** What a program asks for. */
export interface TransferOrder {
  readonly kind: 'write' | 'read';
  /** Of the peer. */
  readonly remote: MemoryRange;
  /** What is written, or where to put what is read. */
  readonly bytes: Uint8Array;
  /** Whether it may be carried out twice. */
  readonly repeatable: boolean;
}

/**
 * What became of a transfer that a program gives up: nothing of it was posted and nothing will be; it was posted, and the
 * peer's memory may change; or it has ended, and was answered before.
 */
export type GivenUp = 'withdrawn' | 'begun' | 'ended';

/** Where transfers wait. */
export interface TransferHolder {
  /** Takes out a transfer that waits here and ends it with `error`; one that does not wait here stays as it is. */
  withdraw(transfer: Transfer, error: RdmaError): void;
}

export class Transfer {
  readonly isWrite: boolean;
  readonly remote: MemoryRange;
  readonly bytes: Uint8Array;
  readonly repeatable: boolean;
  /** Where it waits, or waited last. */
  holder: TransferHolder | null = null;
  /** It was posted: the peer's memory may have changed. */
  hasBegun = false;
  #isGivenUp = false;

  constructor({ kind, remote, bytes, repeatable }: TransferOrder) {
    this.isWrite = kind === 'write';
    this.remote = remote;
    this.bytes = bytes;
    this.repeatable = repeatable;
  }

  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  giveUp(): void {
    this.#isGivenUp = true;
    this.holder?.withdraw(this, givenUp());
  }
}

/** How a transfer ends of which nobody wants to know any more. */
export const givenUp = (): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', 'the program has given the operation up');
