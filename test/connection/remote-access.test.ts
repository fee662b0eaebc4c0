/** What `read` and `write` hand on of a program's memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemoteAccess } from '../../src/connection/remote-access.js';
import { RemoteBuffer } from '../../src/connection/remote-buffer.js';
import type { Transfer } from '../../src/connection/transfer.js';

const REMOTE = new RemoteBuffer(0x1000n, 1, 64);

function accessTo(transfers: Transfer[]): RemoteAccess {
  const run = async (transfer: Transfer): Promise<void> => void transfers.push(transfer);
  return new RemoteAccess({ isEnding: () => false, run });
}

for (const [what, options] of [
  ['a signal', { signal: new AbortController().signal }],
  ['a time', { timeoutMillis: 60_000 }],
] as const) {
  test(`a write that may be given up by ${what} is one of a copy: its memory is free when the program turns away`, async () => {
    const transfers: Transfer[] = [];
    const data = Buffer.from('written');
    await accessTo(transfers).write(REMOTE, data, options);
    data.fill(0);
    assert.equal(String(Buffer.from(transfers[0]?.bytes ?? [])), 'written');
  });
}

test('a write that ends by itself alone is one of the memory of the program, but where that can shrink', async () => {
  const transfers: Transfer[] = [];
  const access = accessTo(transfers);
  const data = new Uint8Array(8);
  await access.write(REMOTE, data, {});
  assert.equal(transfers[0]?.bytes.buffer, data.buffer);
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
  const shrinking = new Uint8Array(new Resizable(8, { maxByteLength: 16 }));
  await access.write(REMOTE, shrinking, {});
  assert.notEqual(transfers[1]?.bytes.buffer, shrinking.buffer);
});

for (const { what, isRead, hasBegun, code } of [
  { what: 'a write that was posted', isRead: false, hasBegun: true, code: 'ERR_RDMA_OUTCOME_UNKNOWN' },
  { what: 'a write that waits', isRead: false, hasBegun: false, code: 'ERR_RDMA_ABORTED' },
  { what: 'a read that was posted', isRead: true, hasBegun: true, code: 'ERR_RDMA_ABORTED' },
]) {
  test(`${what} and is given up ends with ${code}`, async () => {
    const transfers: Transfer[] = [];
    const access = new RemoteAccess({
      isEnding: () => false,
      run: (transfer) => {
        transfers.push(transfer);
        transfer.hasBegun = hasBegun;
        return new Promise(() => {});
      },
    });
    const given = new AbortController();
    const options = { signal: given.signal };
    const ended = isRead ? access.read(REMOTE, 8, options) : access.write(REMOTE, new Uint8Array(8), options);
    given.abort();
    await assert.rejects(ended, { code });
    assert.equal(transfers[0]?.isGivenUp, true);
    assert.deepEqual([access.reads, access.writes], [0, 0]);
  });
}
