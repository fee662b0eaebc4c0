/** A piece of the peer's memory that this side may write or read by itself. */
import { type RKey, toRKey } from '../verbs/brands.js';
import { usageError } from '../verbs/errors.js';

/** Address, key and length, big-endian. */
const ENCODED_BYTES = 20;

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
   * What `encode` made at the peer, from a message of it.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for bytes that `encode` did not make.
   */
  static decode(bytes: Uint8Array): RemoteBuffer {
    if (bytes.length !== ENCODED_BYTES) {
      throw usageError(`a remote buffer is encoded in ${ENCODED_BYTES} bytes, not ${bytes.length}`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const buffer = new RemoteBuffer(view.getBigUint64(0), view.getUint32(8), Number(view.getBigUint64(12)));
    if (buffer.addr + BigInt(buffer.length) > 1n << 64n)
      throw usageError('a remote buffer ends beyond its memory');
    return buffer;
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
  at(offset: number, length: number = this.length - offset): RemoteBuffer {
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > this.length) {
      throw usageError(
        `bytes ${offset} to ${offset + length} are not inside the remote buffer of ${this.length}`,
      );
    }
    return new RemoteBuffer(this.addr + BigInt(offset), this.rkey, length);
  }
}
