/** Transfers for tests that carry them out without a connection. */
import { RemoteBuffer } from '../src/connection/remote-buffer.js';
import { Transfer } from '../src/connection/transfer.js';
import { WrOpcode } from '../src/verbs/work-request.js';

export const writeTo = (addr: bigint, data: Uint8Array, repeatable = false): Transfer =>
  new Transfer(WrOpcode.RDMA_WRITE, new RemoteBuffer(addr, 1, data.length), data, repeatable);

export const readFrom = (addr: bigint, into: Uint8Array): Transfer =>
  new Transfer(WrOpcode.RDMA_READ, new RemoteBuffer(addr, 1, into.length), into, true);
