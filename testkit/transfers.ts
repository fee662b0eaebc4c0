/** Transfers for tests that carry them out without a connection. */
import { RemoteBuffer } from '../src/connection/memory/remote-buffer.js';
import { Transfer } from '../src/connection/memory/transfer.js';

export const writeTo = (addr: bigint, data: Uint8Array, repeatable = false): Transfer =>
  new Transfer({ kind: 'write', remote: new RemoteBuffer(addr, 1, data.length), bytes: data, repeatable });

export const readFrom = (addr: bigint, into: Uint8Array): Transfer =>
  new Transfer({
    kind: 'read',
    remote: new RemoteBuffer(addr, 1, into.length),
    bytes: into,
    repeatable: true,
  });
