/** What a peer may tell of its queue pair, and that path options reach the queue pair. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepReporter } from '../../src/connection/common/steps.js';
import type { SessionEnd } from '../../src/connection/data-path/data-plane.js';
import { PeerCheck } from '../../src/connection/data-path/peer-check.js';
import { bringUp } from '../../src/connection/link/transitions.js';
import { pathSettings } from '../../src/connection/terms/path-options.js';
import { openDevice } from '../../src/open-device.js';
import { generatePsn } from '../../src/session/psn-source.js';
import { bindParameters } from '../../src/session/session-secrets.js';
import { toPsn, toQpn } from '../../src/verbs/brands.js';
import type { PeerPath } from '../../src/verbs/peer-path.js';
import { openChannel } from '../../testkit/raw-client.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

const HERE = '::ffff:127.0.0.1';
const path = (qpn: number, changes: Partial<PeerPath> = {}): PeerPath => ({
  qpn: toQpn(qpn),
  gid: HERE,
  udpPort: 4791,
  psn: toPsn(1),
  mtu: 1024,
  rdAtomic: 16,
  ...changes,
});
const endOf = (role: 'server' | 'client', session: number): SessionEnd => ({
  role,
  secret: Buffer.alloc(32, session),
});

function checks(
  isExclusive: boolean,
  ...ends: readonly [number, 'server' | 'client', number][]
): PeerCheck[] {
  return ends.map(([qpn, role, session]) => {
    const check = new PeerCheck();
    check.note({ path: path(qpn), gids: [HERE, 'fe80::1'], isExclusive }, endOf(role, session));
    return check;
  });
}

const reasonOf = (check: PeerCheck | undefined, peer: PeerPath, address: string | null = '127.0.0.1') =>
  check?.fault(peer, address)?.reason;

test('two ends of one session may be on one device, whatever the address of the session', () => {
  const [server, client] = checks(true, [100, 'server', 1], [101, 'client', 1]);
  assert.equal(reasonOf(server, path(101)), undefined);
  assert.equal(reasonOf(client, path(100), '192.0.2.1'), undefined);
  server?.release();
  assert.equal(reasonOf(client, path(100)), 'own_queue_pair', 'a queue pair that is gone is nobody');
  assert.equal(PeerCheck.noted, 1);
  client?.release();
  assert.equal(PeerCheck.noted, 0);
});

test('an end cannot be tied to itself, to its own side, to another session or to nobody', () => {
  const all = checks(true, [100, 'server', 1], [101, 'client', 1], [102, 'server', 2], [103, 'client', 2]);
  const [server] = all;
  assert.equal(reasonOf(server, path(100)), 'own_queue_pair');
  assert.equal(
    reasonOf(server, path(102)),
    'own_queue_pair',
    'crossed with another connection of the server',
  );
  assert.equal(reasonOf(server, path(103)), 'own_queue_pair');
  assert.equal(reasonOf(server, path(555)), 'own_queue_pair', 'no connection, but no other process either');
  assert.equal(
    reasonOf(server, path(100, { gid: 'FE80:0::1' })),
    'own_queue_pair',
    'another of its addresses',
  );
  assert.equal(reasonOf(server, path(100, { udpPort: 5000 })), undefined, 'a device of another process');
  for (const check of all) check.release();
});

test('on a device that other processes share, a number that is not ours may be theirs', () => {
  const [server] = checks(false, [100, 'server', 1]);
  assert.equal(reasonOf(server, path(555)), undefined);
  assert.equal(reasonOf(server, path(100)), 'own_queue_pair');
  server?.release();
});

test('numbers and addresses that no peer can have are refused, and addresses that this one cannot have', () => {
  const [server] = checks(true, [100, 'server', 1]);
  const at = (gid: string): PeerPath => path(7, { gid, udpPort: 9 });
  for (const qpn of [0, 1, 0xffffff]) assert.equal(reasonOf(server, path(qpn)), 'reserved_qpn');
  for (const gid of [
    '::',
    'ff02::1',
    'FF0E::7',
    '::ffff:0.0.0.0',
    '::ffff:224.0.0.1',
    '::ffff:255.255.255.255',
  ])
    for (const address of ['127.0.0.1', null])
      assert.equal(reasonOf(server, at(gid), address), 'impossible_gid');
  assert.equal(reasonOf(server, at('::ffff:192.0.2.9')), 'foreign_gid');
  assert.equal(reasonOf(server, at('::ffff:192.0.2.9'), null), undefined);
  assert.equal(reasonOf(server, at('::ffff:192.0.2.9'), '::FFFF:192.0.2.9'), undefined);
  assert.equal(reasonOf(server, at('fe80::5'), 'fe80::5%eth0'), undefined);
  // The loopback addresses are those of one host, and of no other.
  for (const [gid, address] of [
    ['::ffff:127.0.0.2', '127.0.0.1'],
    ['::1', '127.0.0.1'],
    ['::ffff:127.0.0.1', '::1'],
    ['::ffff:127.8.8.8', '::ffff:127.0.0.1'],
  ] as const)
    assert.equal(reasonOf(server, at(gid), address), undefined);
  for (const [gid, address] of [
    ['::ffff:127.0.0.2', '192.0.2.1'],
    ['::ffff:192.0.2.1', '127.0.0.1'],
    ['::2', '::1'],
  ] as const)
    assert.equal(reasonOf(server, at(gid), address), 'foreign_gid');
  server?.release();
});

test('a client that tells the own queue pair of the server is refused before it is tied to anything', async () => {
  await using server = await startServer();
  const refusals: string[] = [];
  server.on('refused', ({ reason }) => refusals.push(reason));
  const channel = await openChannel(server);
  const psn = generatePsn();
  channel.send({ type: 'psn', psn });
  let told = await channel.receive();
  while (told.type !== 'parameters') told = await channel.receive();
  const parameters = { path: told.path, terms: { ...told.terms, resumeToken: undefined } };
  const binding = bindParameters(channel, 'client', psn, parameters);
  channel.send({ type: 'parameters', ...parameters, binding });
  await assert.rejects(channel.receive(), { code: 'ERR_RDMA_REFUSED', message: /own_queue_pair/ });
  await serverIsEmpty(server);
  assert.match(refusals.join(), /broke the session protocol \(own_queue_pair\)/);
});

test('a server and its client may share one device', async () => {
  await using device = await openDevice(FREE_DEVICE);
  await using server = await startServer(undefined, { device });
  const connection = await connectTo(server, { device });
  assert.notEqual(await connection.receive(), undefined);
  await connection.close();
});

test('the options of the path reach the queue pair, and wrong ones are named', async () => {
  await using device = await openDevice(FREE_DEVICE);
  await using pd = await device.allocPd();
  await using cq = await device.createCq({ capacity: 1 });
  await using qp = await pd.createQp({ sendCq: cq, recvCq: cq });
  const own = path(qp.qpn, { mtu: (await device.queryPort()).activeMtu });
  const wanted = { trafficClass: 104, hopLimit: 7, timeout: 18, retryCount: 3, minRnrTimer: 5, gidIndex: 0 };
  const rights = { read: true, write: false };
  const options = { path: pathSettings(wanted), rights, revealPsns: false };
  await bringUp(qp, own, path(77, { mtu: 512 }), options, new StepReporter(0, undefined));
  const { av, timeout, retryCount, minRnrTimer, pathMtu } = await qp.query();
  const { trafficClass, hopLimit } = av ?? {};
  assert.deepEqual(
    { trafficClass, hopLimit, timeout, retryCount, minRnrTimer, gidIndex: av?.sgidIndex },
    wanted,
  );
  assert.equal(pathMtu, 512);
  await using server = await startServer();
  await assert.rejects(connectTo(server, { path: { timeout: 32 } }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message: /path\.timeout must be an integer from 1 to 31/,
  });
  await assert.rejects(connectTo(server, { path: { mtu: 1500 as 1024 } }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message: /path\.mtu must be one of 256, 512, 1024, 2048, 4096/,
  });
  await assert.rejects(connectTo(server, { path: { gidIndex: 9 } }), { code: 'ERR_RDMA_NO_DEVICE' });
});
