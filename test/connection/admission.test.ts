/** Caps of a server on what one client and one address may have, and that an honest client gets in beside a greedy one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import { connect } from '../../src/connection/client/client.js';
import { systemClock } from '../../src/connection/common/clock.js';
import type { Lifeline } from '../../src/connection/lifeline/lifeline.js';
import type { Resumptions } from '../../src/connection/lifeline/resumption.js';
import { IdentityRates } from '../../src/connection/rates/identity-rates.js';
import { Admission } from '../../src/connection/server/admission.js';
import { Slots } from '../../src/connection/server/slots.js';
import { withDefaults } from '../../src/connection/terms/options.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import {
  connectTo,
  FREE_DEVICE,
  serverIsEmpty,
  startServer,
  testCertificates,
} from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = await makeAuthority('clients', validity);

async function issue(commonName: string): Promise<{ cert: string; key: string }> {
  const { certPem, keyPem } = await issueCertificate(authority, { commonName, use: 'client', ...validity });
  return { cert: certPem, key: keyPem };
}

test('one certificate has no more connections than admission says, another still gets in', async () => {
  const [greedy, modest] = [await issue('greedy'), await issue('modest')];
  const server = await startServer(undefined, {
    clientCa: authority.certPem,
    admission: { maxPerIdentity: 2 },
  });
  const first = await connectTo(server, greedy);
  const second = await connectTo(server, greedy);
  await assert.rejects(connectTo(server, greedy), { message: /has its 2 connections already/ });
  const other = await connectTo(server, modest);
  await first.close();
  const third = await connectTo(server, greedy);
  for (const connection of [second, other, third]) await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('clients without certificates are not taken for one', async () => {
  const server = await startServer(undefined, { admission: { maxPerIdentity: 1 } });
  const connections = [await connectTo(server), await connectTo(server)];
  for (const connection of connections) await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('an address with all its connections is refused more, without a trace of them on the device', async () => {
  const server = await startServer(undefined, {
    admission: { maxPerAddress: 5 },
    handshakeDeadlineMillis: 60_000,
  });
  const reasons: string[] = [];
  server.on('refused', ({ reason }) => reasons.push(reason));
  const { host, port } = server.address;
  const open = async (localAddress: string): Promise<Socket> => {
    const socket = connectTcp({ host, port, localAddress });
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const held: Socket[] = [];
  for (let i = 0; i < 5; i++) held.push(await open('127.0.0.9'));
  const late = await open('127.0.0.9');
  await once(late, 'close');
  assert.match(reasons[0] ?? '', /more than 5 connections at once/);
  const { qps, pds, cqs, mrs } = server.census();
  assert.deepEqual([qps, pds, cqs, mrs], [0, 0, 0, 0]);
  // From 127.0.0.1, which has none yet.
  const honest = await connectTo(server);
  await honest.close();
  for (const socket of held) socket.destroy();
  await serverIsEmpty(server);
  await server.close();
});

test('a client about whom the decision falls when the server has begun to close does not get in', async () => {
  let decide: (terms: boolean) => void = () => {};
  let asked: () => void = () => {};
  const wasAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const served: string[] = [];
  const server = await startServer(
    async (connection) => {
      served.push(connection.peer?.subject ?? '');
      await finished;
    },
    {
      clientCa: authority.certPem,
      authorize: (peer) => {
        if (peer?.subject === 'CN=early') return true;
        asked();
        return new Promise((resolve) => {
          decide = resolve;
        });
      },
    },
  );
  const early = await connectTo(server, await issue('early'));
  const late = connectTo(server, await issue('late'));
  late.catch(() => {});
  await wasAsked;
  // It waits for the handler of the first client, and so the session of the second one is still open.
  const closed = server.close(60_000);
  decide(true);
  await assert.rejects(late, { code: 'ERR_RDMA_REFUSED', refusal: 'closing' });
  finish();
  await closed;
  assert.deepEqual(served, ['CN=early']);
  await early.closed;
});

test('a client that got no slot is not counted for its identity', async () => {
  const [holder, waiting] = [await issue('holder'), await issue('waiting')];
  const server = await startServer(undefined, {
    clientCa: authority.certPem,
    slots: 1,
    admission: { maxPerIdentity: 1 },
  });
  const first = await connectTo(server, holder);
  for (let attempt = 1; attempt <= 3; attempt++) {
    await assert.rejects(connectTo(server, waiting), { refusal: 'no-slot' }, `attempt ${attempt}`);
  }
  await first.close();
  await serverIsEmpty(server);
  await (await connectTo(server, waiting)).close();
  await server.close();
});

test('a drained server keeps its clients, also one whose session is cut, and takes new ones when it is told to', async () => {
  const server = await startServer();
  const tcp = await TcpCutter.to(server.address);
  const { caPem } = await testCertificates();
  const inside = await connect({ host: '127.0.0.1', port: tcp.port, ca: caPem, device: FREE_DEVICE });
  server.drain();
  assert.equal(server.isDraining, true);
  const recovered = recoveryOf(inside);
  tcp.cut();
  await recovered;
  await assert.rejects(connectTo(server), { refusal: 'draining', retryable: true });
  server.drain(false);
  const next = await connectTo(server);
  for (const connection of [inside, next]) await connection.close();
  await serverIsEmpty(server);
  await server.close();
  await tcp[Symbol.asyncDispose]();
});

for (const [what, leave, refusal] of [
  ['is closed', (admission: Admission) => admission.close(), 'closing'],
  [
    'is drained',
    (admission: Admission) => {
      admission.isDraining = true;
    },
    'draining',
  ],
] as const)
  test(`a client that waits for the slot of one that is lost does not get in when the server ${what} meanwhile, and holds nothing`, async () => {
    const slots = new Slots(1);
    slots.take();
    let free = (): void => {};
    const closed = new Promise<void>((resolve) => {
      free = () => {
        slots.free(0);
        resolve();
      };
    });
    const lost = { abort() {}, closed } as unknown as Lifeline;
    const admission = new Admission({
      slots,
      resumptions: { absentee: () => lost, awaiting: () => undefined } as unknown as Resumptions,
      authorize: undefined,
      limits: withDefaults({}),
      maxPerIdentity: undefined,
      identityRates: new IdentityRates(systemClock),
      rates: undefined,
    });
    const admitted = admission.admit({ peer: null, remoteAddress: '192.0.2.7', remotePort: 5 });
    const refused = assert.rejects(admitted, { refusal });
    await turn();
    leave(admission);
    free();
    await refused;
    assert.equal(slots.used, 0);
  });
