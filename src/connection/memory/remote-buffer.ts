/** A piece of the peer's memory that this side may write or read by itself. */
import { type RKey, toRKey } from '../../verbs/brands.js';
import { usageError } from '../../verbs/errors.js';
import { nameOf } from '../../verbs/option-check.js';
import { bytesOf, type Memory } from '../common/memory-argument.js';

/** Address, key and length, big-endian. */
const ENCODED_BYTES = 20;
/** Addresses end here. */
const END = 1n << 64n;

/** Where memory is and the key to it, as plain data. */
export interface MemoryRange {
  readonly addr: bigint;
  readonly rkey: RKey;
  readonly length: number;
}

export class RemoteBuffer implements MemoryRange {
  /** Virtual address at the peer. */
  readonly addr: bigint;
  readonly rkey: RKey;
  /** Bytes. */
  readonly length: number;

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an address, rkey or length that cannot be. */
  constructor(addr: bigint, rkey: number, length: number) {
    if (typeof addr !== 'bigint' || addr < 0n) {
      throw usageError(`addr must be a bigint of 0 or more, not ${nameOf(addr)}`);
    }
    if (!Number.isInteger(rkey)) throw usageError(`rkey must be an integer of 32 bits, not ${nameOf(rkey)}`);
    if (!Number.isSafeInteger(length) || length < 0) {
      throw usageError(`length must be a number of bytes, not ${nameOf(length)}`);
    }
    if (addr + BigInt(length) > END) throw usageError('a remote buffer ends beyond its memory');
    this.addr = addr;
    this.rkey = toRKey(rkey);
    this.length = length;
  }

  /**
   * What `encode` made at the peer, from a message of it.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for bytes that `encode` did not make.
   */
  static decode(encoded: Memory): RemoteBuffer {
    const bytes = bytesOf(encoded, 'encoded');
    if (bytes.length !== ENCODED_BYTES) {
      throw usageError(`a remote buffer is encoded in ${ENCODED_BYTES} bytes, not ${bytes.length}`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return new RemoteBuffer(view.getBigUint64(0), view.getUint32(8), Number(view.getBigUint64(12)));
  }

  /** For a message to the peer who may use it. It holds a key: send it over the connection and nowhere else. */
  encode(): Uint8Array {
    const bytes = new Uint8Array(ENCODED_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, this.addr);
    view.setUint32(8, this.rkey);
    view.setBigUint64(12, BigInt(this.length));
    return bytes;
  }

  /**
   * The part that begins `offset` bytes in, to the end or `length` bytes long.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when the part is not inside.
   */
  at(offset: number, length?: number): RemoteBuffer {
    if (!Number.isSafeInteger(offset)) {
      throw usageError(`offset must be a number of bytes, not ${nameOf(offset)}`);
    }
    return this.#part(offset, length === undefined ? this.length - offset : length);
  }

  #part(offset: number, length: number): RemoteBuffer {
    if (!Number.isSafeInteger(length)) {
      throw usageError(`length must be a number of bytes, not ${nameOf(length)}`);
    }
    if (offset < 0 || length < 0 || offset + length > this.length) {
      throw usageError(
        `bytes ${offset} to ${offset + length} are not inside the remote buffer of ${this.length}`,
      );
    }
    return new RemoteBuffer(this.addr + BigInt(offset), this.rkey, length);
  }
}
