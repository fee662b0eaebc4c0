/** What a copy does on the disk when a peer, another program or another user makes it hard. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { slotsOf } from '../../../src/cli/copy/copy-link.js';
import { partNames } from '../../../src/cli/copy/copy-path.js';
import { MAX_SLOTS } from '../../../src/cli/copy/copy-wire.js';
import { PartialFile } from '../../../src/cli/copy/partial-file.js';
import { Place } from '../../../src/cli/copy/place.js';
import { why } from '../../../src/cli/copy/place-error.js';
import { totalOf } from '../../../src/cli/copy/send-tree.js';
import { devCerts, FREE_DEVICE, runProgram, serve, stop, testDir } from '../../../testkit/program.js';

const newDir = (): string => mkdtempSync(join(tmpdir(), 'queuepair-disk-'));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const MIB = 1024 * 1024;

test('a hole of 2^53 bytes lets other work go on, and ends with its copy', async () => {
  const version = { size: Number.MAX_SAFE_INTEGER, mtimeMillis: 0, mode: 0o600 };
  const one = new PartialFile({ directory: newDir(), name: 'a' }, version);
  let turns = 0;
  const goOn = (): void => {
    if (++turns === 3) throw new Error('nobody waits');
  };
  await assert.rejects(one.skip(version.size, goOn), /nobody waits/);
  await one.keep('the test has ended');
  const other = new PartialFile({ directory: newDir(), name: 'a' }, version);
  const skipped = assert.rejects(other.skip(version.size), /taken over/);
  await nextTurn();
  await other.keep('taken over');
  await skipped;
});

test('of two programs that write the same file one fails, and what the other has stored stays as it was', async () => {
  const target = { directory: newDir(), name: 'a' };
  const version = { size: 8, mtimeMillis: 0, mode: 0o600 };
  const [first, second] = [new PartialFile(target, version), new PartialFile(target, version)];
  await first.write(Buffer.from('1111'));
  await second.write(Buffer.from('22222222'));
  await second.finish(sha256(Buffer.from('22222222')));
  await first.write(Buffer.from('1111'));
  await assert.rejects(first.finish(sha256(Buffer.from('11111111'))), /another copy, which has taken over/);
  await first.keep('failed');
  assert.equal(readFileSync(join(target.directory, 'a'), 'latin1'), '22222222');
});

test('a copy that takes over begins when the one before has let go of the file', async () => {
  const target = { directory: newDir(), name: 'a' };
  const version = { size: 8, mtimeMillis: 0, mode: 0o600 };
  let letGo = (): void => {};
  const before = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const partial = new PartialFile(target, version, before);
  const written = partial.write(Buffer.from('12345678'));
  await nextTurn();
  assert.deepEqual(readdirSync(target.directory), []);
  letGo();
  await written;
  await partial.finish(sha256(Buffer.from('12345678')));
  assert.deepEqual(readdirSync(target.directory), ['a']);
});

test('a partial file that has another name as well is not written, and a pipe in the place of one holds nothing up', async () => {
  const directory = newDir();
  const version = { size: 9 * MIB, mtimeMillis: 0, mode: 0o600 };
  const names = partNames('a');
  const left = new PartialFile({ directory, name: 'a' }, version);
  await left.write(new Uint8Array(8 * MIB).fill(1));
  await left.keep('cut');
  linkSync(join(directory, names.part), join(directory, 'of-somebody'));
  const next = new PartialFile({ directory, name: 'a' }, version);
  await next.resume();
  assert.equal(next.bytes, 0);
  await next.write(new Uint8Array(MIB).fill(2));
  await next.keep('cut');
  assert.equal(statSync(join(directory, 'of-somebody')).size, 8 * MIB);
  const pipes = newDir();
  execFileSync('mkfifo', [join(pipes, names.part), join(pipes, names.journal)]);
  const partial = new PartialFile({ directory: pipes, name: 'a' }, version);
  await partial.resume();
  await partial.write(new Uint8Array(1));
  await partial.keep('cut');
  assert(statSync(join(pipes, names.journal)).isFile());
});

test('a walk through a deep tree takes a bounded number of descriptors', async () => {
  const root = newDir();
  mkdirSync(join(root, ...new Array<string>(150).fill('d')), { recursive: true });
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  let [directories, most] = [0, 0];
  for await (const { kind } of (await Place.at(root)).walk('')) {
    if (kind === 'directory') directories++;
    most = Math.max(most, open() - before);
  }
  assert.equal(directories, 151);
  assert(most <= 40, `${most} descriptors`);
});

test('a walk for the total ends when nobody waits for it', async () => {
  const root = newDir();
  for (let i = 0; i < 20; i++) writeFileSync(join(root, `f${i}`), 'x');
  const place = await Place.at(root);
  assert.deepEqual(await totalOf(place.walk('')), { type: 'total', files: 20, bytes: 20 });
  let entries = 0;
  const goOn = (): void => {
    if (++entries === 5) throw new Error('nobody waits');
  };
  await assert.rejects(totalOf(place.walk(''), goOn), /nobody waits/);
  assert.equal(entries, 5);
});

test('what a peer hears of a failure holds no path of this machine', () => {
  const error = Object.assign(new Error("EBUSY: resource busy or locked, rename '/srv/secret/a'"), {
    code: 'EBUSY',
    errno: -16,
  });
  assert.equal(why(error), 'cannot be used: resource busy or locked');
});

test('a large buffer is divided into as many slots as a message can name', () => {
  assert.equal(slotsOf(2 ** 31).slots, MAX_SLOTS);
});

test('directories that cannot be made are told, and those that are there keep their setgid and sticky bits', async () => {
  const [root, source] = [mkdtempSync(join(testDir(), 'share-')), mkdtempSync(join(testDir(), 'source-'))];
  mkdirSync(join(root, 'shared', 'all'), { recursive: true });
  writeFileSync(join(root, 'shared', 'empty'), 'a file');
  chmodSync(join(root, 'shared', 'all'), 0o3777);
  mkdirSync(join(source, 'empty'));
  mkdirSync(join(source, 'all'), { mode: 0o755 });
  const server = await serve('--share', root, '--share-writable');
  const flags = ['cp', '--json', '--port', String(server.port), ...FREE_DEVICE, ...devCerts()];
  const { code, events } = await runProgram([...flags, source, '127.0.0.1:shared']);
  const failed = events.filter(({ event }) => event === 'failed').map(({ path, reason }) => [path, reason]);
  await stop(server);
  assert.equal(code, 1);
  assert.deepEqual(failed, [['empty', 'is no directory there']]);
  assert.equal(statSync(join(root, 'shared', 'all')).mode & 0o7777, 0o3755);
});
