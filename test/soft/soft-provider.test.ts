/** Where a soft device is opened whose name leaves the address open: near the address that the peer reaches. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { lookAround, openDevice } from '../../src/open-device.js';

async function gidOf(name: string | undefined, near?: string): Promise<string | undefined> {
  const device = await openDevice(name, near === undefined ? {} : { near });
  const [entry] = await device.queryGids();
  await device.close();
  return entry?.gid;
}

test('a soft device without an address is opened near the one that the peer reaches', async () => {
  assert.equal(await gidOf(undefined), '::ffff:127.0.0.1');
  assert.equal(await gidOf(undefined, '127.0.0.9'), '::ffff:127.0.0.9');
  assert.equal(await gidOf('soft?port=0', '127.0.0.9'), '::ffff:127.0.0.9');
  assert.equal(
    await gidOf('soft?port=0', '::ffff:127.0.0.9'),
    '::ffff:127.0.0.9',
    'as dual-stack sockets say it',
  );
  assert.equal(await gidOf('soft?port=0', '::1'), '::1');
  assert.equal(await gidOf('soft?port=0', 'localhost'), '::ffff:127.0.0.1', 'a name says no address');
});

test('a soft device with an address stays there', async () => {
  assert.equal(await gidOf('soft:127.0.0.8?port=0', '127.0.0.9'), '::ffff:127.0.0.8');
});

test('near all addresses means near one that others reach, where there is one', async () => {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const external = all.find(({ internal, family }) => !internal && family === 'IPv4');
  const expected = external === undefined ? '127.0.0.1' : external.address;
  assert.equal(await gidOf('soft?port=0', '0.0.0.0'), `::ffff:${expected}`);
});

test('every kind of device says what there is of it, or why there is none', async () => {
  const kinds = await lookAround();
  assert.deepEqual(
    kinds.map(({ kind }) => kind),
    ['soft', 'ibverbs'],
  );
  assert.deepEqual(kinds[0]?.names, ['soft']);
  for (const { kind, names, missing } of kinds) {
    assert.ok(missing === undefined || names.length === 0, kind);
  }
});
