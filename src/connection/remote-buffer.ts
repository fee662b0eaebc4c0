/** A piece of the peer's memory that this side may write or read by itself. */
import { type RKey, toRKey } from '../verbs/brands.js';
import { usageError } from '../verbs/errors.js';

export class RemoteBuffer {
  /** Virtual address at the peer. */
  readonly addr: bigint;
  readonly rkey: RKey;
  /** Bytes. */
  readonly length: number;

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an rkey or length out of range. */
  constructor(addr: bigint, rkey: number, length: number) {
    if (!Number.isSafeInteger(length) || length < 0) throw usageError(`${length} is not a length in bytes`);
    this.addr = addr;
    this.rkey = toRKey(rkey);
    this.length = length;
  }

  /**
   * The part that begins `offset` bytes in, to the end or `length` bytes long.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when the part is not inside.
   */
  at(offset: number, length: number = this.length - offset): RemoteBuffer {
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > this.length) {
      throw usageError(
        `bytes ${offset} to ${offset + length} are not inside the remote buffer of ${this.length}`,
      );
    }
    return new RemoteBuffer(this.addr + BigInt(offset), this.rkey, length);
  }
}
