/** What `read` and `write` hand on of a program's memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { GivenUp, TransferOrder } from '../../src/connection/memory/transfer.js';
import { RemoteAccess } from '../../src/connection/program/remote-access.js';

const REMOTE = new RemoteBuffer(0x1000n, 1, 64);

/** Everything is carried out at once. */
function accessTo(orders: TransferOrder[]): RemoteAccess {
  const transfer = async (_request: number, order: TransferOrder): Promise<void> => void orders.push(order);
  return new RemoteAccess({ isEnding: false }, { transfer, cancel: async () => 'ended' });
}

for (const [what, options] of [
  ['a signal', { signal: new AbortController().signal }],
  ['a time', { timeoutMillis: 60_000 }],
] as const) {
  test(`a write that may be given up by ${what} is one of a copy: its memory is free when the program turns away`, async () => {
    const orders: TransferOrder[] = [];
    const data = Buffer.from('written');
    await accessTo(orders).write(REMOTE, data, options);
    data.fill(0);
    assert.equal(String(Buffer.from(orders[0]?.bytes ?? [])), 'written');
  });
}

test('a write that ends by itself alone is one of the memory of the program, but where that can shrink', async () => {
  const orders: TransferOrder[] = [];
  const access = accessTo(orders);
  const data = new Uint8Array(8);
  await access.write(REMOTE, data, {});
  assert.equal(orders[0]?.bytes.buffer, data.buffer);
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
  const shrinking = new Uint8Array(new Resizable(8, { maxByteLength: 16 }));
  await access.write(REMOTE, shrinking, {});
  assert.notEqual(orders[1]?.bytes.buffer, shrinking.buffer);
});

for (const { what, isRead, givenUp, code } of [
  { what: 'a write that was posted', isRead: false, givenUp: 'begun', code: 'ERR_RDMA_OUTCOME_UNKNOWN' },
  { what: 'a write that waits', isRead: false, givenUp: 'withdrawn', code: 'ERR_RDMA_ABORTED' },
  { what: 'a read that was posted', isRead: true, givenUp: 'begun', code: 'ERR_RDMA_ABORTED' },
] as const) {
  test(`${what} and is given up ends with ${code}, whether its own end or the answer comes first`, async () => {
    for (const isLate of [true, false]) {
      const { access, asked, end } = accessThatWaits(async () => {
        if (!isLate) end();
        return givenUp;
      });
      const given = new AbortController();
      const options = { signal: given.signal };
      const ended = isRead
        ? access.read(REMOTE, 8, options)
        : access.write(REMOTE, new Uint8Array(8), options);
      given.abort();
      await assert.rejects(ended, { code });
      end();
      assert.deepEqual(asked, ['transfer 1', 'cancel 1']);
      assert.deepEqual([access.reads, access.writes], [0, 0]);
    }
  });
}

test('a write that had ended when the program gave it up ends as it did', async () => {
  const { access, end } = accessThatWaits(async () => 'ended');
  const given = new AbortController();
  const ended = access.write(REMOTE, new Uint8Array(8), { signal: given.signal });
  given.abort();
  end();
  await ended;
  assert.equal(access.writes, 1);
});

/** Nothing ends before `end` is called; then all has been carried out. */
function accessThatWaits(cancel: () => Promise<GivenUp>) {
  const asked: string[] = [];
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const plane = {
    transfer: (request: number): Promise<void> => {
      asked.push(`transfer ${request}`);
      return ended;
    },
    cancel: (request: number): Promise<GivenUp> => {
      asked.push(`cancel ${request}`);
      return cancel();
    },
  };
  return { access: new RemoteAccess({ isEnding: false }, plane), asked, end };
}
