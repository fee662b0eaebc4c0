/** What a copy does on the disk when a peer, another program or another user makes it hard. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { slotsOf } from '../../../src/cli/copy/copy-link.js';
import { partNames } from '../../../src/cli/copy/copy-path.js';
import { MAX_SLOTS } from '../../../src/cli/copy/copy-wire.js';
import { Folder } from '../../../src/cli/copy/folder.js';
import { hasEnded, thisProcess } from '../../../src/cli/copy/part-owner.js';
import { PartialFile, type Version } from '../../../src/cli/copy/partial-file.js';
import { Place } from '../../../src/cli/copy/place.js';
import { why } from '../../../src/cli/copy/place-error.js';
import { totalOf } from '../../../src/cli/copy/send-tree.js';
import { devCerts, FREE_DEVICE, runProgram, serve, stop, testDir } from '../../../testkit/program.js';

const newDir = (): string => mkdtempSync(join(tmpdir(), 'queuepair-disk-'));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const MIB = 1024 * 1024;

/** That of the file `a`. */
const partialIn = async (directory: string, version: Version): Promise<PartialFile> =>
  new PartialFile({ folder: await Folder.root(directory), name: 'a' }, version);

test('a hole of 2^53 bytes lets other work go on, and ends with its copy', async () => {
  const version = { size: Number.MAX_SAFE_INTEGER, mtimeMillis: 0, mode: 0o600 };
  const one = await partialIn(newDir(), version);
  let turns = 0;
  const goOn = (): void => {
    if (++turns === 3) throw new Error('nobody waits');
  };
  await assert.rejects(one.skip(version.size, goOn), /nobody waits/);
  await one.keep('the test has ended');
  const other = await partialIn(newDir(), version);
  const skipped = assert.rejects(other.skip(version.size), /taken over/);
  await nextTurn();
  await other.keep('taken over');
  await skipped;
});

test('bytes that come are hashed in slices between which other work has its turn, and go to the disk together', async () => {
  const version = { size: 4 * MIB, mtimeMillis: 0, mode: 0o600 };
  const directory = newDir();
  const partial = await partialIn(directory, version);
  const bytes = randomBytes(version.size);
  let turns = 0;
  const hashed = { isDone: false };
  const counting = (async () => {
    while (!hashed.isDone) {
      await nextTurn();
      turns++;
    }
  })();
  const pieces = [bytes.subarray(0, MIB), bytes.subarray(MIB, 3 * MIB), bytes.subarray(3 * MIB)];
  const written: Promise<void>[] = [];
  for (const piece of pieces) {
    const writing = partial.write(piece);
    written.push(writing.written);
    await writing.hashed;
  }
  hashed.isDone = true;
  await counting;
  assert(turns >= 16, `${turns} turns`);
  await Promise.all(written);
  await partial.finish(sha256(bytes));
  assert(readFileSync(join(directory, 'a')).equals(bytes));
});

test('of two programs that write the same file one fails, and what the other has stored stays as it was', async () => {
  const directory = newDir();
  const version = { size: 8, mtimeMillis: 0, mode: 0o600 };
  const [first, second] = [await partialIn(directory, version), await partialIn(directory, version)];
  await first.write(Buffer.from('1111')).written;
  await second.write(Buffer.from('22222222')).written;
  await second.finish(sha256(Buffer.from('22222222')));
  await first.write(Buffer.from('1111')).written;
  await assert.rejects(first.finish(sha256(Buffer.from('11111111'))), /another copy, which has taken over/);
  await first.keep('failed');
  assert.equal(readFileSync(join(directory, 'a'), 'latin1'), '22222222');
});

test('a copy that another program still writes is not written into: the later one goes on in a file of its own', async () => {
  const directory = newDir();
  const version = { size: 10 * MIB, mtimeMillis: 0, mode: 0o600 };
  const first = await partialIn(directory, version);
  await first.write(new Uint8Array(8 * MIB).fill(1)).written;
  await first.write(new Uint8Array(MIB).fill(1)).written;
  const second = await partialIn(directory, version);
  await second.resume();
  assert.equal(second.bytes, 8 * MIB, 'what is there is used all the same');
  await first.write(new Uint8Array(MIB).fill(1)).written;
  await second.write(new Uint8Array(2 * MIB).fill(2)).written;
  const wanted = Buffer.concat([Buffer.alloc(8 * MIB, 1), Buffer.alloc(2 * MIB, 2)]);
  await assert.rejects(first.finish(sha256(Buffer.alloc(10 * MIB, 1))), /another copy, which has taken over/);
  await first.keep('failed');
  await second.finish(sha256(wanted));
  assert(readFileSync(join(directory, 'a')).equals(wanted));
  assert.deepEqual(readdirSync(directory), ['a']);
});

test('of two programs that find what a killed one has left, one goes on in it and the other does not touch it', async () => {
  const directory = newDir();
  const version = { size: 9 * MIB, mtimeMillis: 0, mode: 0o600 };
  const killed = await partialIn(directory, version);
  await killed.write(new Uint8Array(8 * MIB).fill(1)).written;
  await killed.keep('killed');
  const inode = statSync(join(directory, partNames('a').part)).ino;
  const both = [await partialIn(directory, version), await partialIn(directory, version)] as const;
  await Promise.all(both.map((one) => one.resume()));
  const [winner, loser] = both[0].bytes > 0 ? both : [both[1], both[0]];
  assert.deepEqual([winner.bytes, loser.bytes], [8 * MIB, 0]);
  assert.equal(statSync(join(directory, partNames('a').part)).ino, inode, 'nothing was copied');
  await loser.write(new Uint8Array(9 * MIB).fill(2)).written;
  await winner.write(new Uint8Array(100).fill(1)).written;
  await assert.rejects(winner.finish(sha256(Buffer.alloc(0))), /another copy, which has taken over/);
  await winner.keep('failed');
  await loser.finish(sha256(Buffer.alloc(9 * MIB, 2)));
  assert(readFileSync(join(directory, 'a')).equals(Buffer.alloc(9 * MIB, 2)));
});

test('what a process of another machine, or one that is there, has left is copied; what a dead one has left is taken up', async () => {
  const self = await thisProcess();
  const dead = { ...self, startedAt: '1' };
  const elsewhere = { ...self, machine: 'another machine', pid: 1 };
  assert.deepEqual(
    [await hasEnded(dead), await hasEnded(elsewhere), await hasEnded(self)],
    [true, false, false],
  );
  for (const [owner, isTakenUp] of [
    [dead, true],
    [elsewhere, false],
  ] as const) {
    const directory = newDir();
    const version = { size: 9 * MIB, mtimeMillis: 0, mode: 0o600 };
    const before = await partialIn(directory, version);
    await before.write(new Uint8Array(8 * MIB).fill(1)).written;
    await before.keep('cut');
    const { part, journal } = partNames('a');
    const text = readFileSync(join(directory, journal), 'utf8');
    writeFileSync(join(directory, journal), text.replace(/"machine".*\}/, JSON.stringify(owner).slice(1)));
    const inode = statSync(join(directory, part)).ino;
    const next = await partialIn(directory, version);
    await next.resume();
    assert.equal(next.bytes, 8 * MIB);
    assert.equal(statSync(join(directory, part)).ino === inode, isTakenUp);
    await next.keep('cut');
  }
});

test('a directory above that becomes a symbolic link while a file arrives leads it nowhere else', {
  skip: process.platform !== 'linux' && 'handles of directories have paths on Linux alone',
}, async () => {
  const [root, outside] = [newDir(), newDir()];
  mkdirSync(join(root, 'a'));
  const place = await Place.at(root);
  const partial = new PartialFile(await place.locate('a/file'), { size: 4, mtimeMillis: 0, mode: 0o600 });
  await partial.write(Buffer.from('1234')).written;
  renameSync(join(root, 'a'), join(root, 'moved'));
  symlinkSync(outside, join(root, 'a'));
  await partial.finish(sha256(Buffer.from('1234')));
  assert.deepEqual(readdirSync(outside), []);
  assert.deepEqual(readdirSync(join(root, 'moved')), ['file']);
  writeFileSync(join(outside, 'secret'), 'secret');
  await assert.rejects(place.open('a/secret'), /a is a symbolic link, which is not followed/);
});

test('a copy that takes over begins when the one before has let go of the file', async () => {
  const directory = newDir();
  const version = { size: 8, mtimeMillis: 0, mode: 0o600 };
  let letGo = (): void => {};
  const before = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const partial = new PartialFile({ folder: await Folder.root(directory), name: 'a' }, version, before);
  const { written } = partial.write(Buffer.from('12345678'));
  await nextTurn();
  assert.deepEqual(readdirSync(directory), []);
  letGo();
  await written;
  await partial.finish(sha256(Buffer.from('12345678')));
  assert.deepEqual(readdirSync(directory), ['a']);
});

test('a partial file that has another name as well is not written, and a pipe in the place of one holds nothing up', async () => {
  const directory = newDir();
  const version = { size: 9 * MIB, mtimeMillis: 0, mode: 0o600 };
  const names = partNames('a');
  const left = await partialIn(directory, version);
  await left.write(new Uint8Array(8 * MIB).fill(1)).written;
  await left.keep('cut');
  linkSync(join(directory, names.part), join(directory, 'of-somebody'));
  const next = await partialIn(directory, version);
  await next.resume();
  assert.equal(next.bytes, 0);
  await next.write(new Uint8Array(MIB).fill(2)).written;
  await next.keep('cut');
  assert.equal(statSync(join(directory, 'of-somebody')).size, 8 * MIB);
  const pipes = newDir();
  execFileSync('mkfifo', [join(pipes, names.part), join(pipes, names.journal)]);
  const partial = await partialIn(pipes, version);
  await partial.resume();
  await partial.write(new Uint8Array(1)).written;
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
  assert.deepEqual(failed, [[`${basename(source)}/empty`, 'is no directory there']]);
  assert.equal(statSync(join(root, 'shared', 'all')).mode & 0o7777, 0o3755);
});
