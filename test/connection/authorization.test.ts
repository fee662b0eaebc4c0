/** Who gets in, on which terms, with which certificates, and what is written down of it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  issueCertificate,
  type KeyedCertificate,
  makeAuthority,
} from '../../src/certificates/certificate-maker.js';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import type { AuditRecord } from '../../src/connection/options/audit-record.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import { connectTo, serverIsEmpty, startServer, testCertificates } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = await makeAuthority('clients of the test', validity);
const issue = (commonName: string) => issueCertificate(authority, { commonName, use: 'client', ...validity });
const identity = ({ certPem, keyPem }: KeyedCertificate): Partial<ConnectOptions> => ({
  cert: certPem,
  key: keyPem,
});
const [alice, mallory] = [identity(await issue('alice')), identity(await issue('mallory'))];
const MUTUAL = { clientCa: authority.certPem };

test('authorize sees who the client is, and refuses without saying why', async () => {
  const seen: (string | undefined)[] = [];
  const reasons: string[] = [];
  const server = await startServer(undefined, {
    ...MUTUAL,
    authorize: (peer, address) => {
      seen.push(`${peer?.subject} ${address}`);
      return peer?.subject === 'CN=alice';
    },
  });
  server.on('refused', ({ reason }) => reasons.push(reason));
  await assert.rejects(connectTo(server, mallory), {
    code: 'ERR_RDMA_REFUSED',
    message: /this client is not authorized/,
  });
  const connection = await connectTo(server, alice);
  assert.match(await new ServiceClient(connection).welcome(), /welcome/);
  assert.deepEqual(seen, ['CN=mallory 127.0.0.1', 'CN=alice 127.0.0.1']);
  assert.deepEqual(reasons, ['CN=mallory is not authorized']);
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('a name that looks like another to people is refused before anybody decides about it', async () => {
  const seen: string[] = [];
  const audit: AuditRecord[] = [];
  const server = await startServer(undefined, {
    ...MUTUAL,
    authorize: (peer) => seen.push(peer?.subject ?? '') > 0,
    onAudit: (record) => void audit.push(record),
  });
  for (const name of ['alice\u200b', '\u00adalice', 'al\u2060ice']) {
    await assert.rejects(connectTo(server, identity(await issue(name))), {
      refusal: 'name',
      message: /characters that people cannot see/,
    });
  }
  assert.deepEqual(seen, []);
  assert.deepEqual(
    audit.map((record) => record.event === 'refused' && [record.kind, record.peer?.subject]),
    [
      ['name', 'CN=alice'],
      ['name', 'CN= alice'],
      ['name', 'CN=al ice'],
    ],
  );
  await (await connectTo(server, alice)).close();
  assert.deepEqual(seen, ['CN=alice']);
  await server.close();
});

test('a decision that fails refuses, and tells the log but not the client', async () => {
  const reasons: string[] = [];
  const server = await startServer(undefined, {
    authorize: async () => {
      throw new Error('the directory at ldap.internal is down');
    },
  });
  server.on('refused', ({ reason }) => reasons.push(reason));
  await assert.rejects(connectTo(server), (error: Error) => !error.message.includes('ldap'));
  assert.match(reasons[0] ?? '', /ldap\.internal is down/);
  await serverIsEmpty(server);
  await server.close();
});

test('a client whose decision never comes is refused at its deadline, and keeps no server from its end', async () => {
  let decide = (_terms: boolean): void => {};
  let asked = 0;
  const kinds: string[] = [];
  const server = await startServer(undefined, {
    handshakeDeadlineMillis: 500,
    slots: 1,
    authorize: () => {
      asked++;
      return new Promise<boolean>((resolve) => {
        decide = resolve;
      });
    },
  });
  server.on('refused', ({ kind }) => kinds.push(kind));
  await assert.rejects(connectTo(server), { code: 'ERR_RDMA_REFUSED', refusal: 'timeout' });
  while (kinds.length === 0) await new Promise(setImmediate);
  assert.deepEqual(kinds, ['timeout']);
  // It comes too late for the first, who holds nothing, and in time for the second.
  decide(true);
  const second = connectTo(server, { handshakeDeadlineMillis: 10_000 });
  while (asked < 2) await new Promise(setImmediate);
  assert.equal(server.slots.used, 0);
  decide(true);
  const connection = await second;
  assert.match(await new ServiceClient(connection).welcome(), /welcome/);
  await connection.close();
  const third = assert.rejects(connectTo(server));
  while (asked < 3) await new Promise(setImmediate);
  await within(server.close(500), 10_000);
  await third;
  assert.deepEqual(kinds, ['timeout', 'closing']);
});

test('options and terms that cannot be are refused by name', async () => {
  await assert.rejects(startServer(undefined, { slotBytes: 24 }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message: /slotBytes must be an integer from 64/,
  });
  const reasons: string[] = [];
  const server = await startServer(undefined, { authorize: () => ({ receiveSlots: 0 }) });
  server.on('refused', ({ reason }) => reasons.push(reason));
  await assert.rejects(connectTo(server), { code: 'ERR_RDMA_REFUSED' });
  assert.match(reasons[0] ?? '', /receiveSlots must be/);
  await assert.rejects(connectTo(server, { bufferBytes: -1 }), /bufferBytes must be/);
  await serverIsEmpty(server);
  await server.close();
});

test('terms give a client its own buffer, message limit, encryption and number of connections', async () => {
  const server = await startServer(undefined, {
    ...MUTUAL,
    authorize: async () => ({
      bufferBytes: 5000,
      maxMessageBytes: 100,
      encryption: 'aes-256-gcm',
      maxConnections: 1,
    }),
  });
  const connection = await connectTo(server, alice);
  assert.equal(connection.remoteBuffer?.length, 5000);
  assert.equal(connection.isEncrypted, true);
  await assert.rejects(connectTo(server, alice), { message: /has its 1 connections already/ });
  const other = await connectTo(server, mallory);
  await other.close();
  assert.equal(connection.maxMessageBytes, 100);
  await assert.rejects(connection.send(randomBytes(101)), { code: 'ERR_RDMA_MESSAGE_TOO_LARGE' });
  await connection.close();
  await serverIsEmpty(server);
  const again = await connectTo(server, alice);
  await again.close();
  await server.close();
});

test('a client with the right to read only gets a remote access error for its write, and nothing is changed', async () => {
  const server = await startServer(undefined, {
    authorize: () => ({ rights: { read: true, write: false } }),
  });
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  const remote = connection.remoteBuffer?.at(0, 64) ?? assert.fail();
  // REM_INV_REQ_ERR: already the queue pair lacks the right.
  await assert.rejects(connection.write(remote, randomBytes(64)), {
    code: 'ERR_RDMA_COMPLETION',
    status: 'REM_INV_REQ_ERR',
  });
  assert.deepEqual(await connection.read(remote), new Uint8Array(64));
  await connection.close();
  await server.close();
});

test('certificates rotate while connections go on', async () => {
  const server = await startServer();
  const old = await connectTo(server);
  const newAuthority = await makeAuthority('the next authority', validity);
  const next = await issueCertificate(newAuthority, {
    commonName: 'server',
    use: 'server',
    names: ['127.0.0.1'],
    ...validity,
  });
  assert.throws(() => server.setCertificates({ cert: 'rubbish', key: next.keyPem }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
  });
  assert.throws(() => server.setCertificates({ cert: next.certPem, key: authority.keyPem }), {
    code: 'ERR_RDMA_CERTIFICATE',
  });
  await (await connectTo(server)).close();
  server.setCertificates({ cert: next.certPem, key: next.keyPem });
  await assert.rejects(connectTo(server), { code: 'ERR_RDMA_TLS' });
  const connection = await connectTo(server, { ca: newAuthority.certPem });
  for (const each of [old, connection]) {
    const client = new ServiceClient(each);
    await client.welcome();
    assert.equal(Buffer.from(await client.echo('on')).toString(), 'on');
    await each.close();
  }
  await server.close();
});

test('the next client authority decides after a rotation, and mutual TLS cannot be lost by one', async () => {
  const certificates = await testCertificates();
  const { certPem: cert, keyPem: key } = certificates.server;
  const server = await startServer(undefined, MUTUAL);
  await (await connectTo(server, alice)).close();
  assert.throws(() => server.setCertificates({ cert, key }), /cannot stop doing so/);
  const others = await makeAuthority('other clients', validity);
  server.setCertificates({ cert, key, clientCa: others.certPem });
  await assert.rejects(connectTo(server, alice));
  const bob = await issueCertificate(others, { commonName: 'bob', use: 'client', ...validity });
  await (await connectTo(server, identity(bob))).close();
  await serverIsEmpty(server);
  await server.close();
});

test('the audit tells who came, was refused and went, and holds no secret', async () => {
  const records: AuditRecord[] = [];
  const secrets: number[] = [];
  const server = await startServer(undefined, {
    ...MUTUAL,
    authorize: (peer) => peer?.subject === 'CN=alice',
    onAudit: (record) => void records.push(record),
    revealPsns: true,
    onStep: ({ details }) => {
      for (const name of ['localPsn', 'remotePsn', 'sqPsn', 'rqPsn']) {
        if (typeof details[name] === 'number') secrets.push(details[name]);
      }
    },
  });
  await assert.rejects(connectTo(server, mallory));
  await assert.rejects(connectTo(server));
  const connection = await connectTo(server, alice);
  secrets.push(connection.remoteBuffer?.rkey ?? 0);
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
  assert.deepEqual(
    records.map(({ event, peer }) => `${event} ${peer?.subject ?? '-'}`),
    ['refused CN=mallory', 'refused -', 'connected CN=alice', 'ended CN=alice'],
  );
  assert.ok(secrets.length >= 3);
  const text = JSON.stringify(records);
  for (const secret of secrets) {
    assert.equal(new RegExp(`\\b${secret}\\b`).test(text), false, 'a secret is in the audit');
  }
  for (const { time, address } of records) {
    assert.ok(!Number.isNaN(Date.parse(time)));
    assert.equal(address, '127.0.0.1');
  }
});
