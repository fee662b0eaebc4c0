import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import {
  distinguishedName,
  hiddenName,
  peerIdentity,
  shownName,
  subjectAltNames,
} from '../../src/session/peer-identity.js';
import { connectRaw, days, sharedServer } from './support.js';

const shared = sharedServer();
/** Node 20 kept 3.5 KiB of each, and so 35 MB. */
const CALLS = 10_000;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

async function altNames(names: readonly string[]): Promise<string[]> {
  const authority = await makeAuthority('names', days(-1, 1));
  const request = { commonName: 'x', use: 'client', names, ...days(-1, 1) } as const;
  return subjectAltNames(new X509Certificate((await issueCertificate(authority, request)).certPem));
}

test('alternative names come with their kind, one entry each', async () => {
  assert.deepEqual(await altNames(['a.test', '192.0.2.7', '*.b.test']), [
    'DNS:a.test',
    'IP:192.0.2.7',
    'DNS:*.b.test',
  ]);
  assert.deepEqual(await altNames([]), []);
});

test('a name that contains a separator stays one name, and cannot pose as another', async () => {
  const evil = 'evil.test, DNS:good.test';
  assert.deepEqual(await altNames([evil, 'own.test']), [`DNS:${evil}`, 'DNS:own.test']);
  const quoted = 'a", DNS:"good.test';
  assert.deepEqual(await altNames([quoted, 'own.test']), [`DNS:${quoted}`, 'DNS:own.test']);
});

test('an IPv6 address has its canonical text', async () => {
  assert.deepEqual(await altNames(['2001:db8:0:0:0:0:0:1', '::1']), ['IP:2001:db8::1', 'IP:::1']);
});

test('a name that people would see otherwise than it is, is hidden', () => {
  const identity = (subject: string, ...sans: string[]) => ({ subject, sans, fingerprint256: '' });
  for (const name of ['CN=storage-7', 'CN=Zoë, O=Süd GmbH', 'CN=日本']) {
    assert.equal(hiddenName(identity(name, 'DNS:a.test')), undefined, name);
  }
  for (const char of ['\u200b', '\u00ad', '\u2028', '\u202e', '\u0000', '\u00a0', '  ']) {
    for (const name of [`CN=storage${char}-7`, `CN=storage-7${char}`, `CN=${char}storage-7`]) {
      assert.notEqual(hiddenName(identity(name)), undefined, JSON.stringify(name));
      assert.notEqual(hiddenName(identity('CN=x', `DNS:${name}`)), undefined, JSON.stringify(name));
    }
  }
  assert.notEqual(hiddenName(identity(`CN=${'x'.repeat(300)}`)), undefined);
});

test('a distinguished name is one clean line', () => {
  assert.equal(distinguishedName('C=DE\nO=Example\nCN=storage-7'), 'C=DE, O=Example, CN=storage-7');
  assert.equal(shownName(distinguishedName('CN=\u001b[31mred')), 'CN= [31mred');
  assert.equal(distinguishedName(undefined), '');
});

test('who a peer is is told of each socket, and keeps no memory of what was asked', async () => {
  const { socket } = await connectRaw(shared.port, shared.certificates);
  const { peer } = await shared.channel;
  assert.equal(peer?.subject, 'CN=test client');
  const server = peerIdentity(socket);
  assert.match(server?.fingerprint256 ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.notEqual(server?.fingerprint256, peer?.fingerprint256);
  const ask = (): void => {
    for (let i = 0; i < CALLS; i++) assert.equal(peerIdentity(socket), server);
    collect();
  };
  ask();
  const before = process.memoryUsage.rss();
  ask();
  const grown = (process.memoryUsage.rss() - before) / CALLS;
  assert.ok(grown < 1000, `${grown.toFixed(0)} bytes are left of each call`);
  socket.end();
});
