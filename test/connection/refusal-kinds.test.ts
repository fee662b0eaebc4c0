/** Every refusal has one kind, from where it happens to `refused`, the audit, the metrics and the client's error. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import type { AuditRecord } from '../../src/connection/options/audit-record.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Server } from '../../src/connection/server/server.js';
import { serverMetrics } from '../../src/observe/server-metrics.js';
import { ALPN_PROTOCOL } from '../../src/session/tls-protocol.js';
import type { TlsRefusal } from '../../src/session/tls-refusal.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import type { RefusalKind } from '../../src/verbs/refusal-kind.js';
import { openChannel } from '../../testkit/raw-client.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = await makeAuthority('clients of the test', validity);
const { certPem, keyPem } = await issueCertificate(authority, {
  commonName: 'alice',
  use: 'client',
  ...validity,
});
const ALICE = { cert: certPem, key: keyPem };

interface Case {
  readonly kind: RefusalKind;
  readonly options?: Partial<ListenOptions>;
  /** Provokes the refusal; returns what the client got, where our own client was the one. */
  readonly provoke: (server: Server) => Promise<unknown>;
}

const rejection = async (promise: Promise<unknown>): Promise<RdmaError> =>
  promise.then(
    () => assert.fail('the client got in'),
    (error: RdmaError) => error,
  );

/** Sends bytes over TCP and waits for the end. */
const raw = (bytes: string) => async (server: Server) => {
  const socket = connectTcp(server.address.port, server.address.host);
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  socket.write(bytes);
  await closed;
};

async function withOneInside(server: Server, options = {}): Promise<RdmaError> {
  const first = await connectTo(server, options);
  const error = await rejection(connectTo(server, options));
  await first.close();
  return error;
}

const CASES: Readonly<Record<string, Case>> = {
  'a client without a certificate': {
    kind: 'certificate',
    options: { clientCa: authority.certPem },
    provoke: (server) => rejection(connectTo(server)),
  },
  'a client that nobody authorized, whatever the sentence says of certificates': {
    kind: 'not-authorized',
    options: { authorize: () => false },
    provoke: (server) => rejection(connectTo(server)),
  },
  'a client beyond the slots': {
    kind: 'no-slot',
    options: { slots: 1 },
    provoke: (server) => withOneInside(server),
  },
  'a new client of a server that is drained': {
    kind: 'draining',
    async provoke(server) {
      const first = await connectTo(server);
      server.drain();
      const error = await rejection(connectTo(server));
      assert.equal(server.connections.size, 1);
      await first.close();
      return error;
    },
  },
  'a client beyond the connections of its identity': {
    kind: 'quota',
    options: { clientCa: authority.certPem, admission: { maxPerIdentity: 1 } },
    provoke: (server) => withOneInside(server, ALICE),
  },
  'an address beyond its connections': {
    kind: 'overload',
    options: { admission: { maxPerAddress: 1 } },
    async provoke(server) {
      const first = await connectTo(server);
      await raw('')(server);
      await first.close();
    },
  },
  'an address beyond its connections a second': {
    kind: 'overload',
    options: { admission: { burst: 1, connectsPerSecond: 1 } },
    async provoke(server) {
      const first = await connectTo(server);
      await raw('')(server);
      await first.close();
    },
  },
  'a client of TLS 1.2': {
    kind: 'tls-version',
    async provoke({ address }) {
      const socket = connectTls({ ...address, maxVersion: 'TLSv1.2', ALPNProtocols: [ALPN_PROTOCOL] });
      await once(socket, 'error');
    },
  },
  'a browser': { kind: 'no-tls', provoke: raw('GET / HTTP/1.1\r\n\r\n') },
  'a client that hangs up in TLS': {
    kind: 'left',
    async provoke({ address }) {
      const socket = connectTcp(address.port, address.host);
      await once(socket, 'connect');
      socket.destroy();
    },
  },
  'a client that is silent in TLS': {
    kind: 'timeout',
    options: { handshakeDeadlineMillis: 100 },
    async provoke({ address }) {
      const socket = connectTcp(address.port, address.host);
      await once(socket, 'close');
    },
  },
  'a client that is silent after TLS': {
    kind: 'timeout',
    options: { handshakeDeadlineMillis: 100 },
    async provoke(server) {
      return rejection((await openChannel(server)).receive());
    },
  },
  'a client that breaks the protocol': {
    kind: 'protocol',
    async provoke(server) {
      const channel = await openChannel(server);
      channel.send({ type: 'ready' });
      return rejection(
        (async () => {
          // The PSN of the server comes first.
          for (;;) await channel.receive();
        })(),
      );
    },
  },
  'a session that takes up nothing': {
    kind: 'resumption',
    async provoke(server) {
      const channel = await openChannel(server);
      channel.send({ type: 'resume', token: '0'.repeat(64) });
      return rejection(channel.receive());
    },
  },
  'a client that leaves with an error frame of its own choice': {
    kind: 'left',
    async provoke(server) {
      const channel = await openChannel(server);
      channel.send({ type: 'error', code: 'certificate', message: 'all 10 slots are in use' });
      await channel.close();
    },
  },
  'a client that says bye in words of another kind': {
    kind: 'left',
    async provoke(server) {
      await (await openChannel(server)).close('certificate');
    },
  },
};

for (const [name, { kind, options = {}, provoke }] of Object.entries(CASES)) {
  test(`${name} is ${kind}`, async () => {
    const records: AuditRecord[] = [];
    const server = await startServer(async (connection) => void (await connection.receive()), {
      ...options,
      onAudit: (record) => void records.push(record),
    });
    const metrics = await serverMetrics(server);
    const refused = once(server, 'refused') as Promise<[TlsRefusal]>;
    const error = await provoke(server);
    const [refusal] = await refused;
    assert.equal(refusal.kind, kind, refusal.reason);
    if (error !== undefined) assert.equal((error as RdmaError).refusal, kind, String(error));
    const written = records.filter(({ event }) => event === 'refused');
    assert.deepEqual(
      written.map((record) => 'kind' in record && record.kind),
      [kind],
    );
    const counted = (await metrics.text()).match(/^queuepair_refusals_total\{.*\} [1-9].*$/gm);
    assert.deepEqual(counted, [`queuepair_refusals_total{kind="${kind}"} 1`]);
    await serverIsEmpty(server);
    await server.close();
  });
}

test('a client can try again when there was no slot, without reading a sentence', async () => {
  const server = await startServer(async (connection) => void (await connection.receive()), { slots: 1 });
  const first = await connectTo(server);
  let attempts = 0;
  const second = await (async () => {
    for (;;) {
      attempts++;
      try {
        return await connectTo(server);
      } catch (error) {
        if ((error as RdmaError).refusal !== 'no-slot') throw error;
        await first.close();
      }
    }
  })();
  assert.ok(attempts >= 2);
  await second.close();
  await server.close();
});
