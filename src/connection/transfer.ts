/**
 * One `read` or `write` of a program on its way through queues, device and session. The program may give it up at any
 * time: where it waits it is taken out at once; what the device or the peer has of it goes on to its end, and nobody hears
 * of that.
 *
 * Invariant: `bytes` belong to the transfer until it has ended, whether it was given up or not.
 */
import { RdmaError } from '../verbs/errors.js';
import { WrOpcode } from '../verbs/work-request.js';
import type { RemoteBuffer } from './remote-buffer.js';

export type TransferOpcode = typeof WrOpcode.RDMA_WRITE | typeof WrOpcode.RDMA_READ;

/** Where transfers wait. */
export interface TransferHolder {
  /** Takes out a transfer that waits here and ends it with `error`; one that does not wait here stays as it is. */
  withdraw(transfer: Transfer, error: RdmaError): void;
}

export class Transfer {
  readonly opcode: TransferOpcode;
  readonly remote: RemoteBuffer;
  /** What is written, or where to put what is read. */
  readonly bytes: Uint8Array;
  /** Whether it may be carried out twice. */
  readonly repeatable: boolean;
  /** Where it waits, or waited last. */
  holder: TransferHolder | null = null;
  /** It was posted: the peer's memory may have changed. */
  hasBegun = false;
  #isGivenUp = false;

  constructor(opcode: TransferOpcode, remote: RemoteBuffer, bytes: Uint8Array, repeatable: boolean) {
    this.opcode = opcode;
    this.remote = remote;
    this.bytes = bytes;
    this.repeatable = repeatable;
  }

  get isWrite(): boolean {
    return this.opcode === WrOpcode.RDMA_WRITE;
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
