/** Which GID index a packet leaves from: decided by addresses, on tables as real ports have them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chooseGid, gidEntries, gidsFromSysfs } from '../../src/ibverbs/gid-table.js';
import type { GidEntry } from '../../src/verbs/device.js';

const entry = (index: number, gid: string, type: GidEntry['type'] = 'RoCE v2'): GidEntry => ({
  index,
  gid,
  type,
});
const TABLE = [
  entry(0, 'fe80::1', 'RoCE v1'),
  entry(1, 'fe80::1'),
  entry(2, '::ffff:192.0.2.1', 'RoCE v1'),
  entry(3, '::ffff:192.0.2.1'),
  entry(6, '::ffff:198.51.100.7'),
  entry(8, '2001:db8:1::1'),
  entry(9, '2001:db8:2::1'),
];
const indexFor = async (dgid: string): Promise<number> => (await chooseGid(TABLE, dgid, 'rxe9')).index;

test('the entry of the same IP version and network is taken, RoCE v2, whatever its index', async () => {
  assert.equal(await indexFor('::ffff:192.0.2.200'), 3);
  assert.equal(await indexFor('198.51.100.9'), 6);
  assert.equal(await indexFor('2001:db8:2::77'), 9);
  assert.equal(await indexFor('2001:db8:1::77'), 8);
  assert.equal(await indexFor('fe80::2'), 1);
});

test('a peer at an address of our own is reached from that address', async () => {
  assert.equal(await indexFor('::ffff:198.51.100.7'), 6);
  assert.equal(await indexFor('2001:db8:2::1'), 9);
});

test('where no entry fits, the error shows the table; a wrong address is named', async () => {
  const v4Only = TABLE.filter(({ gid }) => gid.startsWith('::ffff:'));
  await assert.rejects(chooseGid(v4Only, '2001:db8::5', 'rxe9'), {
    code: 'ERR_RDMA_ADDRESS',
    message: /2001:db8::5.*3: ::ffff:192\.0\.2\.1 \(RoCE v2\)/,
  });
  await assert.rejects(chooseGid([entry(0, '::ffff:192.0.2.1', 'RoCE v1')], '192.0.2.2', 'x'), {
    code: 'ERR_RDMA_ADDRESS',
  });
  await assert.rejects(chooseGid(TABLE, '192.0.2.999', 'x'), { message: /192\.0\.2\.999/ });
});

test('the table of the addon becomes entries of one port', () => {
  const gids = new Uint8Array(32);
  gids.set([0xfe, 0x80], 0);
  gids.set([0xff, 0xff, 10, 0, 0, 1], 16 + 10);
  const facts = Float64Array.of(0, 1, 1, 3, 5, 2, 2, 3);
  assert.deepEqual(gidEntries(2, gids, facts, 1), [entry(0, 'fe80::', 'RoCE v1')]);
  assert.deepEqual(gidEntries(2, gids, facts, 2), [entry(5, '::ffff:10.0.0.1')]);
});

test('sysfs gives the same, for libraries that cannot list the table', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-gids-'));
  try {
    for (const name of ['gids', 'gid_attrs/types']) mkdirSync(join(folder, name), { recursive: true });
    const write = (index: number, gid: string, type?: string): void => {
      writeFileSync(join(folder, 'gids', String(index)), `${gid}\n`);
      if (type !== undefined) writeFileSync(join(folder, 'gid_attrs', 'types', String(index)), `${type}\n`);
    };
    write(0, 'fe80:0000:0000:0000:0000:0000:0000:0001', 'IB/RoCE v1');
    write(1, '0000:0000:0000:0000:0000:ffff:c000:0201', 'RoCE v2');
    write(2, '0000:0000:0000:0000:0000:0000:0000:0000');
    write(10, 'fe80:0000:0000:0000:0000:0000:0000:0002');
    assert.deepEqual(await gidsFromSysfs(folder), [
      entry(0, 'fe80::1', 'RoCE v1'),
      entry(1, '::ffff:192.0.2.1'),
      entry(10, 'fe80::2', 'IB'),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
