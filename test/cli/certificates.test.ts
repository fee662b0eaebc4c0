/** Clients and servers that cannot prove who they are: refused, and both sides say and log why. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { KeyedCertificate } from '../../src/certificates/certificate-maker.js';
import { FREE_DEVICE, type RunningServer, runProgram, serve, stop, testDir } from '../../testkit/program.js';
import { testCertificates } from '../session/support.js';

const certificates = testCertificates();

/** Writes a certificate and its key; returns the flags that name them. */
async function flagsOf(name: keyof Awaited<typeof certificates>): Promise<string[]> {
  const { certPem, keyPem }: KeyedCertificate = (await certificates)[name];
  const [cert, key] = [join(testDir(), `${name}.pem`), join(testDir(), `${name}-key.pem`)];
  writeFileSync(cert, certPem);
  writeFileSync(key, keyPem, { mode: 0o600 });
  return ['--cert', cert, '--key', key];
}

async function authority(name: 'ca' | 'strangerCa'): Promise<string> {
  const path = join(testDir(), `${name}.pem`);
  writeFileSync(path, (await certificates)[name].certPem);
  return path;
}

const connect = ({ target }: RunningServer, ca: string, flags: string[]) =>
  runProgram(['connect', target, ...FREE_DEVICE, '--ca', ca, '--exec', 'quit', ...flags]);

/** A client that presents what our own would not: it looks at its certificate before it goes. */
async function connectRaw(server: RunningServer, options: ConnectionOptions): Promise<void> {
  const { ca } = await certificates;
  const { port } = server;
  const socket = connectTls({ port, ca: ca.certPem, ALPNProtocols: ['queuepair/1'], ...options });
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
}

test('a server refuses clients without a good certificate, and logs the reason of each', async () => {
  const ca = await authority('ca');
  const server = await serve(...(await flagsOf('server')), '--client-ca', ca, '--log-level', 'warn');
  const good = await connect(server, ca, await flagsOf('client'));
  assert.equal(good.code, 0, good.stderr);
  const { expiredClient, strangerClient, server: serverOwn } = await certificates;
  const shown = ({ certPem, keyPem }: KeyedCertificate): ConnectionOptions => ({
    cert: certPem,
    key: keyPem,
  });
  const cases: readonly [ConnectionOptions, RegExp][] = [
    [{}, /^the certificate of the client is missing$/],
    [shown(expiredClient), /^the certificate of the client has expired$/],
    [
      shown(strangerClient),
      /^the certificate of the client was signed by an authority that is not trusted here$/,
    ],
    [shown(serverOwn), /^the certificate of the client was not issued for this use$/],
    [{ maxVersion: 'TLSv1.2' }, /^the client offers no TLS 1\.3, which is required$/],
  ];
  for (const [options, reason] of cases) {
    await connectRaw(server, options);
    await server.program.event('refused', (event) => reason.test(String(event['reason'])));
  }
  const { events, stderr } = await stop(server);
  assert.equal(events.filter(({ event }) => event === 'connected').length, 1);
  const logged = stderr.split('\n').filter((line) => line !== '');
  assert.equal(logged.length, cases.length, stderr);
  const reasons = logged.map((line) => JSON.parse(line) as { msg: string; reason: string });
  for (const [, reason] of cases) {
    assert.equal(reasons.filter((line) => line.msg === 'refused' && reason.test(line.reason)).length, 1);
  }
});

test('a client without a good certificate is told so, by the server or before it goes', async () => {
  const ca = await authority('ca');
  const server = await serve(...(await flagsOf('server')), '--client-ca', ca);
  const missing = await connect(server, ca, []);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /refused our certificate: we showed none; give `cert` and `key`/);
  const expired = await connect(server, ca, await flagsOf('expiredClient'));
  assert.equal(expired.code, 1);
  assert.match(expired.stderr, /expired/);
  await stop(server);
});

test('a client refuses servers that it cannot verify, and says why', async () => {
  const ca = await authority('ca');
  const strangers = await authority('strangerCa');
  const cases: readonly [string[], string, RegExp][] = [
    [
      await flagsOf('elsewhereServer'),
      ca,
      /does not name that host: .* \(--servername NAME says by which of its names/,
    ],
    [await flagsOf('server'), strangers, /signed by an authority that is not trusted here/],
  ];
  for (const [flags, trusted, reason] of cases) {
    const server = await serve(...flags);
    const { code, stderr } = await connect(server, trusted, []);
    assert.equal(code, 1);
    assert.match(stderr, reason);
    const refused = await server.program.event('refused');
    assert.match(String(refused['reason']), /certificate|hung up/);
    await stop(server);
  }
});

test('a server whose own certificate has expired does not start', async () => {
  const { code, stderr } = await runProgram(['serve', '--port', '0', ...(await flagsOf('expiredServer'))]);
  assert.equal(code, 1);
  assert.match(stderr, /^queuepair: .*expiredServer\.pem holds a certificate that expired on .*\n$/);
});
