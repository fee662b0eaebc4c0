/** Encryption, the audit and new certificates, on the command line. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KeyedCertificate } from '../../src/certificates/certificate-maker.js';
import { clientFlags, FREE_DEVICE, runProgram, serve, stop, testDir } from '../../testkit/program.js';
import { testCertificates } from '../session/support.js';

test('--encrypt on either side seals the connection, and stats say so', async () => {
  for (const [ofServer, ofClient] of [
    [['--encrypt'], []],
    [[], ['--encrypt']],
    [[], []],
  ] as const) {
    const server = await serve(...ofServer);
    const client = await runProgram([
      ...clientFlags(server),
      ...ofClient,
      '--json',
      '--exec',
      'send hi; write abc; read; stats; quit',
    ]);
    assert.equal(client.code, 0, client.stderr);
    const of = (name: string) => client.events.find(({ event }) => event === name);
    assert.equal(of('stats')?.['encrypted'], ofServer.length + ofClient.length > 0);
    assert.equal(of('read')?.['base64'], Buffer.from('abc').toString('base64'));
    await stop(server);
  }
});

const elsewhere = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

test('--peer-address any lets in a client whose device has another address than its session', {
  skip: elsewhere === undefined && 'this machine has no address but loopback',
}, async () => {
  for (const [rule, ofServer] of [
    ['session', []],
    ['any', ['--peer-address', 'any']],
  ] as const) {
    const server = await serve(...ofServer);
    const flags = [...clientFlags(server), '--device', `soft:${elsewhere}?port=0`, '--json'];
    const client = await runProgram([...flags, '--exec', 'send hi; write abc; read; quit']);
    assert.equal(client.code, rule === 'any' ? 0 : 1, client.stderr);
    if (rule === 'session') assert.match(client.stderr, /foreign_gid: .*--peer-address any/);
    await stop(server);
  }
  const wrong = await runProgram(['connect', '127.0.0.1', '--peer-address', 'all']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /session, any/);
});

test('--audit appends a record for everybody, in a file of its owner alone', async () => {
  const audit = join(testDir(), 'audit.jsonl');
  const server = await serve('--audit', audit, '--slots', '1');
  for (let i = 0; i < 2; i++) {
    const client = await runProgram([...clientFlags(server), '--exec', 'quit']);
    assert.equal(client.code, 0, client.stderr);
  }
  await stop(server);
  assert.equal(statSync(audit).mode & 0o777, 0o600);
  const records = readFileSync(audit, 'utf8').trimEnd().split('\n');
  const events = records.map((line) => (JSON.parse(line) as { event: string }).event);
  assert.deepEqual(events, ['connected', 'ended', 'connected', 'ended']);
});

test('an audit that cannot be written is wrong usage, in one line', async () => {
  for (const [path, sentence] of [
    [testDir(), /^queuepair: cannot write the audit: the file .* is a directory\n$/],
    [join(testDir(), 'no', 'such'), /^queuepair: cannot write the audit: the file .* does not exist\n$/],
  ] as const) {
    const { code, stderr } = await runProgram(['serve', '--port', '0', '--audit', path]);
    assert.notEqual(code, 0);
    assert.match(stderr, sentence);
  }
});

test('SIGHUP reads the certificates again, and keeps the old ones when the new are unusable', async () => {
  const certificates = await testCertificates();
  const dir = testDir();
  const file = (name: string) => join(dir, name);
  const put = ({ certPem, keyPem }: KeyedCertificate): void => {
    writeFileSync(file('cert.pem'), certPem);
    writeFileSync(file('key.pem'), keyPem, { mode: 0o600 });
  };
  writeFileSync(file('ca.pem'), certificates.ca.certPem);
  writeFileSync(file('stranger-ca.pem'), certificates.strangerCa.certPem);
  put(certificates.server);
  const server = await serve('--cert', file('cert.pem'), '--key', file('key.pem'));
  const connect = (ca: string) =>
    runProgram(['connect', server.target, ...FREE_DEVICE, '--ca', file(ca), '--exec', 'quit']);
  assert.equal((await connect('ca.pem')).code, 0);

  const renewed = (failed: boolean) =>
    server.program.event('certificates-renewed', ({ error }) => (error !== null) === failed);
  copyFileSync(file('key.pem'), file('cert.pem'));
  server.program.kill('SIGHUP');
  await renewed(true);
  assert.equal((await connect('ca.pem')).code, 0);

  put(certificates.strangerServer);
  server.program.kill('SIGHUP');
  await renewed(false);
  assert.equal((await connect('ca.pem')).code, 1);
  assert.equal((await connect('stranger-ca.pem')).code, 0);
  await stop(server);
});
