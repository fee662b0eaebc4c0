/** Files and disks that make trouble in the middle of a copy: each file is told by itself, and those beside it are copied. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CopyLink, slotsOf } from '../../../src/cli/copy/copy-link.js';
import { Place } from '../../../src/cli/copy/place.js';
import { receiveTree } from '../../../src/cli/copy/receive-tree.js';
import { sendTree } from '../../../src/cli/copy/send-tree.js';
import { connectTo, startServer } from '../../../testkit/session-pair.js';
import { within } from '../../../testkit/within.js';

const MIB = 1024 * 1024;
const BUFFER_BYTES = 16 * 64 * 1024;
const PLAN = slotsOf(BUFFER_BYTES);
const isLinux = process.platform === 'linux' || 'names and mounts as Linux has them';
const newDir = (): string => mkdtempSync(join(tmpdir(), 'queuepair-trouble-'));

/** Copies all of `from` into `to`; returns what the sender tells, in order of its words. `opening`: before a file is opened. */
async function copied(
  from: string,
  to: string,
  opening: (path: string) => void = () => {},
): Promise<string[]> {
  const target = await Place.at(to);
  const source = await Place.at(from);
  const receive = (connection: ConstructorParameters<typeof CopyLink>[0]): Promise<void> =>
    receiveTree(new CopyLink(connection), PLAN, target, '', {});
  const server = await startServer(receive, { bufferBytes: BUFFER_BYTES });
  const connection = await connectTo(server);
  const told: string[] = [];
  const open = async (path: string): Promise<FileHandle> => {
    opening(path);
    return source.open(path);
  };
  try {
    const tree = { entries: source.walk(''), open };
    const sending = sendTree(new CopyLink(connection), PLAN, tree, {
      onStored: (path) => told.push(`stored ${path}`),
      onFailed: (path, reason) => told.push(`failed ${path}: ${reason}`),
      onSkipped: (path, reason) => told.push(`skipped ${path}: ${reason}`),
    });
    await within(sending, 30_000);
  } finally {
    await connection.close();
    await server.close();
  }
  return told.sort();
}

test('a file that changes or vanishes while it is copied is told, and nothing of it takes its place', async () => {
  const [from, to] = [newDir(), newDir()];
  for (const name of ['changes', 'stays', 'vanishes']) writeFileSync(join(from, name), randomBytes(200_000));
  const told = await copied(from, to, (path) => {
    if (path === 'changes') appendFileSync(join(from, path), 'more');
    if (path === 'vanishes') rmSync(join(from, path));
  });
  assert.deepEqual(told, [
    'failed changes: was changed while it was copied',
    'failed vanishes: does not exist',
    'stored stays',
  ]);
  assert.deepEqual(
    readdirSync(to).filter((name) => !name.startsWith('.')),
    ['stays'],
  );
});

test('names of any text are copied, and a name that is no text is left out under its own reason', {
  skip: isLinux !== true && isLinux,
}, async () => {
  const [from, to] = [newDir(), newDir()];
  const names = ['line\nbreak', 'tab\t', '-rf', ' ', 'ü', '\u{1f600}', '\ufffd', 'x'.repeat(255)];
  for (const name of names) writeFileSync(join(from, name), name);
  linkSync(join(from, 'ü'), join(from, 'hard link'));
  writeFileSync(Buffer.concat([Buffer.from(`${from}/`), Buffer.from([0x61, 0xff])]), 'no text');
  writeFileSync(join(from, 'back\\slash'), '');
  const told = await copied(from, to);
  const expected = [...names, 'hard link'].map((name) => `stored ${name}`);
  const skipped = [
    'skipped a\ufffd: has a name that is no Unicode text',
    'skipped back\\slash: it has a character that names cannot have',
  ];
  assert.deepEqual(told, [...expected, ...skipped].sort());
  for (const name of names) assert.equal(readFileSync(join(to, name), 'utf8'), name);
  assert.equal(readFileSync(join(to, 'hard link'), 'utf8'), 'ü');
});

/** A disk of so many MiB; `undefined` where this user may not mount one. */
function mountDisk(mib: number): string | undefined {
  const at = newDir();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'queuepair-test', at], { stdio: 'ignore' });
    return at;
  } catch {
    return undefined;
  }
}

test('a file that does not fit leaves its space to those behind it, and a disk that is read-only is told of each', async (t) => {
  const disk = isLinux === true ? mountDisk(4) : undefined;
  if (disk === undefined) return t.skip('this user may not mount a disk');
  try {
    const from = newDir();
    writeFileSync(join(from, 'a small one'), randomBytes(100_000));
    writeFileSync(join(from, 'too large'), randomBytes(6 * MIB));
    mkdirSync(join(from, 'z'));
    writeFileSync(join(from, 'z', 'fits'), randomBytes(3 * MIB));
    const told = await copied(from, disk);
    const full = 'failed too large: does not fit: no space is left on its disk';
    assert.deepEqual(told, [full, 'stored a small one', 'stored z/fits']);
    assert.deepEqual(readdirSync(disk).sort(), ['a small one', 'z']);
    assert(readFileSync(join(disk, 'z', 'fits')).equals(readFileSync(join(from, 'z', 'fits'))));
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    writeFileSync(join(from, 'a small one'), 'changed');
    rmSync(join(from, 'too large'));
    const again = await copied(from, disk);
    assert.deepEqual(
      again.filter((line) => line.startsWith('failed a small')),
      ['failed a small one: is on a disk that is read-only'],
    );
  } finally {
    execFileSync('umount', [disk]);
  }
});
