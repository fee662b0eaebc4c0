import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type DevCertificates,
  defaultCertificateDir,
  loadOrCreateDevCertificates,
  setAside,
} from '../../src/certificates/dev-certificates.js';
import { connectTls } from '../../src/session/tls-client.js';
import { arrival, noOpenSockets, startServer, testCertificates } from '../session/support.js';
import type { ChildAnswer, ChildOrder } from './dev-certificates-child.js';

const DAY_MILLIS = 86_400_000;
const FILES = ['ca-key.pem', 'ca.pem', 'client-key.pem', 'client.pem', 'server-key.pem', 'server.pem'];
const CHILDREN = 3;

let root = '';
let dir = '';
let count = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'queuepair-certs-'));
});
after(() => rm(root, { recursive: true, force: true }));

/** A path of its own for each test; nothing is there yet, not even its parent. */
function freshDir(): string {
  count += 1;
  dir = join(root, `test-${count}`, 'certs');
  return dir;
}

afterEach(async () => {
  if (dir === '') return;
  const beside = await readdir(join(dir, '..')).catch(() => []);
  assert.deepEqual(
    beside.filter((name) => name.startsWith('certs.new-')),
    [],
    'a draft was left behind',
  );
  dir = '';
});

const at = (days: number): Date => new Date(Date.now() + days * DAY_MILLIS);
const daysLeft = (pem: string): number =>
  (Date.parse(new X509Certificate(pem).validTo) - Date.now()) / DAY_MILLIS;

function assertFitsTogether({ caPem, server, client }: DevCertificates): void {
  const authority = new X509Certificate(caPem);
  assert.equal(authority.ca, true);
  for (const { certPem, keyPem } of [server, client]) {
    const certificate = new X509Certificate(certPem);
    assert.equal(certificate.ca, false);
    assert.ok(certificate.verify(authority.publicKey));
    assert.ok(keyPem.includes('BEGIN PRIVATE KEY'));
  }
}

test('the first use makes a set, later uses read the same one', async () => {
  const place = freshDir();
  const first = await loadOrCreateDevCertificates(place);
  assert.equal(first.created, true);
  assert.equal(first.dir, place);
  assertFitsTogether(first);
  const again = await loadOrCreateDevCertificates(place);
  assert.deepEqual(again, { ...first, created: false });
});

test('the directory is 0700 and each file in it 0600', { skip: process.platform === 'win32' }, async () => {
  const place = freshDir();
  await loadOrCreateDevCertificates(place);
  assert.equal((await stat(place)).mode & 0o777, 0o700);
  assert.deepEqual((await readdir(place)).sort(), FILES);
  for (const file of FILES) assert.equal((await stat(join(place, file))).mode & 0o777, 0o600, file);
});

test('the server certificate names this host and what was asked for, and lasts a year; the authority ten', async () => {
  const { caPem, server, client } = await loadOrCreateDevCertificates(freshDir(), [
    'Storage-7.Test',
    '192.0.2.7',
  ]);
  const certificate = new X509Certificate(server.certPem);
  for (const ip of ['127.0.0.1', '::1', '192.0.2.7']) assert.ok(certificate.checkIP(ip), ip);
  for (const name of ['localhost', 'storage-7.test']) {
    assert.ok(certificate.checkHost(name, { subject: 'never' }), name);
  }
  if (/^[a-z0-9.-]+$/i.test(hostname())) assert.ok(certificate.checkHost(hostname()));
  assert.equal(certificate.checkHost('elsewhere.test'), undefined);
  assert.equal(Math.round(daysLeft(server.certPem)), 365);
  assert.equal(Math.round(daysLeft(client.certPem)), 365);
  assert.equal(Math.round(daysLeft(caPem)), 3650);
});

test('a session can be made with them', async () => {
  const { caPem, server, client } = await loadOrCreateDevCertificates(freshDir());
  const { channel, arrive } = arrival();
  const listening = await startServer(await testCertificates(), {
    cert: server.certPem,
    key: server.keyPem,
    clientCa: caPem,
    onChannel: arrive,
  });
  const connected = await connectTls({
    host: 'localhost',
    port: listening.port,
    ca: caPem,
    cert: client.certPem,
    key: client.keyPem,
  });
  assert.equal((await channel).peer?.subject, 'CN=queuepair development client');
  await connected.close();
  await listening.server.close();
  await noOpenSockets();
});

test('the load of the certificate library leaves no trace in Reflect', async () => {
  await loadOrCreateDevCertificates(freshDir());
  assert.equal('getMetadata' in Reflect, false);
  assert.equal('defineMetadata' in Reflect, false);
});

test('a year later server and client are renewed, with the same authority and keys', async () => {
  const place = freshDir();
  const first = await loadOrCreateDevCertificates(place, ['kept.test']);
  const before = await loadOrCreateDevCertificates(place, [], at(363.9));
  assert.deepEqual(before, { ...first, created: false });
  const renewed = await loadOrCreateDevCertificates(place, [], at(364.1));
  assert.equal(renewed.created, true);
  assertFitsTogether(renewed);
  assert.equal(renewed.caPem, first.caPem);
  assert.equal(renewed.server.keyPem, first.server.keyPem);
  assert.equal(renewed.client.keyPem, first.client.keyPem);
  assert.equal(Math.round(daysLeft(renewed.server.certPem)), 729);
  assert.equal(Math.round(daysLeft(renewed.client.certPem)), 729);
  assert.ok(new X509Certificate(renewed.server.certPem).checkHost('kept.test'), 'a name got lost');
  assert.deepEqual((await readdir(place)).sort(), FILES);
  if (process.platform !== 'win32') assert.equal((await stat(join(place, 'server.pem'))).mode & 0o777, 0o600);
});

test('no certificate outlives its authority, and a lapsed authority is moved aside and made anew', async () => {
  const place = freshDir();
  const first = await loadOrCreateDevCertificates(place);
  const late = await loadOrCreateDevCertificates(place, [], at(3640));
  assert.equal(late.caPem, first.caPem);
  assert.ok(Math.abs(daysLeft(late.server.certPem) - daysLeft(first.caPem)) < 0.001);
  const next = await loadOrCreateDevCertificates(place, [], at(3649.5));
  assert.equal(next.created, true);
  assertFitsTogether(next);
  assert.notEqual(next.caPem, first.caPem);
  assert.notEqual(next.server.keyPem, first.server.keyPem);
  const aside = (await readdir(join(place, '..'))).filter((name) => name.startsWith('certs.lapsed-'));
  assert.equal(aside.length, 1);
  assert.equal(await readFile(join(place, '..', aside[0] ?? '', 'ca.pem'), 'utf8'), first.caPem);
});

test('who comes late to move a lapsed set aside cannot move the fresh one', async () => {
  const place = freshDir();
  const lapsed = await loadOrCreateDevCertificates(place);
  assert.equal(await setAside(place, lapsed.caPem), true);
  assert.equal(await setAside(place, lapsed.caPem), false, 'between the sets there is nothing to move');
  const fresh = await loadOrCreateDevCertificates(place);
  assert.notEqual(fresh.caPem, lapsed.caPem);
  assert.equal(await setAside(place, lapsed.caPem), false);
  assert.deepEqual(await loadOrCreateDevCertificates(place), { ...fresh, created: false });
});

test('a new name renews the server certificate only, and names of earlier calls stay', async () => {
  const place = freshDir();
  const first = await loadOrCreateDevCertificates(place, ['one.test']);
  const second = await loadOrCreateDevCertificates(place, ['two.test', '2001:db8::2']);
  assert.equal(second.created, true);
  assert.equal(second.caPem, first.caPem);
  assert.equal(second.client.certPem, first.client.certPem);
  const certificate = new X509Certificate(second.server.certPem);
  for (const name of ['one.test', 'two.test', 'localhost']) assert.ok(certificate.checkHost(name), name);
  assert.ok(certificate.checkIP('2001:db8::2'));
  for (const names of [['one.test'], ['two.test'], ['2001:db8:0::2']]) {
    assert.equal((await loadOrCreateDevCertificates(place, names)).created, false);
  }
});

test('a name that no certificate can hold is a usage error, before anything is written', async () => {
  const place = freshDir();
  for (const name of ['', 'a b', 'a,DNS:b', '-', 'ünit.test', 'x'.repeat(254), 'a..b', '*']) {
    await assert.rejects(loadOrCreateDevCertificates(place, [name]), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  }
  await assert.rejects(stat(place), { code: 'ENOENT' });
});

test('an empty directory is used', async () => {
  const place = freshDir();
  await mkdir(place, { recursive: true });
  assert.equal((await loadOrCreateDevCertificates(place)).created, true);
});

test('a directory that holds something else, or a broken set, is named and left alone', async () => {
  const foreign = freshDir();
  await mkdir(foreign, { recursive: true });
  await writeFile(join(foreign, 'thesis.txt'), 'years of work');
  await assert.rejects(loadOrCreateDevCertificates(foreign), {
    code: 'ERR_RDMA_CERTIFICATE',
    message: /is not empty but lacks ca\.pem, .*; remove that directory or give another one/,
  });
  assert.deepEqual(await readdir(foreign), ['thesis.txt']);

  const incomplete = freshDir();
  await loadOrCreateDevCertificates(incomplete);
  await rm(join(incomplete, 'client-key.pem'));
  await assert.rejects(loadOrCreateDevCertificates(incomplete), { message: /lacks client-key\.pem;/ });

  const mixed = freshDir();
  await loadOrCreateDevCertificates(mixed);
  const other = await loadOrCreateDevCertificates(join(mixed, '..', 'other'));
  await writeFile(join(mixed, 'server.pem'), other.server.certPem);
  await assert.rejects(loadOrCreateDevCertificates(mixed), {
    message: /server-key\.pem is not the key of the certificate in .*server\.pem/,
  });
  await writeFile(join(mixed, 'server-key.pem'), other.server.keyPem);
  await assert.rejects(loadOrCreateDevCertificates(mixed), {
    message: /server\.pem was not signed by ca\.pem/,
  });
});

test('a place that cannot be a directory is named', async () => {
  const file = join(root, 'file');
  await writeFile(file, '');
  const error = { code: 'ERR_RDMA_CERTIFICATE', message: /cannot be read: ENOTDIR/ };
  await assert.rejects(loadOrCreateDevCertificates(file), error);
  await assert.rejects(loadOrCreateDevCertificates(join(file, 'certs')), error);
});

test('the default directory follows the platform', () => {
  const path = (env: Record<string, string>, platform: NodeJS.Platform): string =>
    defaultCertificateDir(env, platform, '/home/u').replaceAll('\\', '/');
  assert.equal(path({}, 'linux'), '/home/u/.config/queuepair/certs');
  assert.equal(path({ XDG_CONFIG_HOME: '/xdg' }, 'linux'), '/xdg/queuepair/certs');
  assert.equal(path({ XDG_CONFIG_HOME: 'relative' }, 'linux'), '/home/u/.config/queuepair/certs');
  assert.equal(path({}, 'darwin'), '/home/u/Library/Application Support/queuepair/certs');
  assert.equal(path({ APPDATA: '/appdata' }, 'win32'), '/appdata/queuepair/certs');
});

test('processes that race end up with one set, and exactly one of them made it', async () => {
  const children = Array.from({ length: CHILDREN }, () =>
    fork(fileURLToPath(new URL('./dev-certificates-child.js', import.meta.url))),
  );
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    for (let round = 0; round < 3; round += 1) {
      const place = freshDir();
      const made = await askAll(children, { dir: place, names: [], nowMillis: Date.now() });
      assert.equal(made.filter(({ created }) => created).length, 1);
      await assertOneSet(place, made);

      const later = at(364.5).getTime();
      await assertOneSet(place, await askAll(children, { dir: place, names: [], nowMillis: later }));

      const muchLater = at(3649.5).getTime();
      const remade = await askAll(children, { dir: place, names: [], nowMillis: muchLater });
      await assertOneSet(place, remade);
      assert.notEqual(remade[0]?.set, made[0]?.set);
      const beside = await readdir(join(place, '..'));
      assert.equal(beside.length, 2, `the set and the lapsed one: ${beside.join(', ')}`);
    }
  } finally {
    const exits = children.map((child) => once(child, 'exit'));
    for (const child of children) child.disconnect();
    await Promise.all(exits);
  }
});

async function askAll(children: readonly ChildProcess[], order: ChildOrder): Promise<ChildAnswer[]> {
  const answers = children.map(async (child) => {
    const [answer] = (await once(child, 'message')) as [ChildAnswer];
    return answer;
  });
  for (const child of children) child.send(order);
  return await Promise.all(answers);
}

async function assertOneSet(place: string, answers: readonly ChildAnswer[]): Promise<void> {
  assert.deepEqual(
    answers.map(({ error }) => error),
    answers.map(() => undefined),
  );
  assert.equal(new Set(answers.map(({ set }) => set)).size, 1);
  assert.deepEqual((await readdir(place)).sort(), FILES);
}
