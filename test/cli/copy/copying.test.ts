/** Copies between processes and between ends of a connection: trees, holes, resumption, and what a share refuses. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  devCerts,
  type Ending,
  FREE_DEVICE,
  Program,
  type RunningServer,
  runProgram,
  serve,
  stop,
  testDir,
} from '../../../testkit/program.js';
import { TcpCutter } from '../../../testkit/tcp-cutter.js';

const PIECE_BYTES = 16 * 1024 * 1024;

const newDir = (name: string): string => mkdtempSync(join(testDir(), `${name}-`));

const cp = ({ port }: { readonly port: number }, ...args: string[]): Promise<Ending> =>
  runProgram(['cp', '--json', '--port', String(port), ...FREE_DEVICE, ...devCerts(), ...args]);

const summary = ({ events }: Ending) => events.find(({ event }) => event === 'summary');

/** Path, kind, mode, time and hash of all that is below, in order. */
function listing(root: string, below = ''): string[] {
  const names = readdirSync(join(root, below)).sort();
  return names.flatMap((name) => {
    const path = join(below, name);
    const stats = statSync(join(root, path));
    const about = `${path} ${(stats.mode & 0o777).toString(8)} ${Math.round(stats.mtimeMs)}`;
    if (stats.isDirectory()) return [`${about} directory`, ...listing(root, path)];
    return [`${about} ${stats.size} ${hashOf(join(root, path))}`];
  });
}

function hashOf(path: string): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  const piece = new Uint8Array(PIECE_BYTES);
  for (let bytes = readSync(file, piece); bytes > 0; bytes = readSync(file, piece))
    hash.update(piece.subarray(0, bytes));
  closeSync(file);
  return hash.digest('hex');
}

function makeTree(root: string, bigBytes: number): void {
  mkdirSync(join(root, 'a', 'deep'), { recursive: true });
  mkdirSync(join(root, 'empty-directory'));
  for (let at = 0; at < bigBytes; at += PIECE_BYTES) {
    appendFileSync(join(root, 'a', 'big'), randomBytes(Math.min(PIECE_BYTES, bigBytes - at)));
  }
  writeFileSync(join(root, 'a', 'deep', 'ü 😀'), 'small');
  writeFileSync(join(root, 'empty'), '');
  for (let i = 0; i < 40; i++) writeFileSync(join(root, 'a', `many-${i}`), randomBytes(i * 100));
  chmodSync(join(root, 'a', 'big'), 0o640);
  utimesSync(join(root, 'a', 'big'), 1e9, 1e9 + 0.25);
  utimesSync(join(root, 'a', 'deep'), 1e9, 1.1e9);
}

async function sharing<T>(
  flags: string[],
  use: (server: RunningServer, root: string) => Promise<T>,
): Promise<T> {
  const root = newDir('share');
  const server = await serve('--share', root, ...flags);
  const result = await use(server, root);
  await stop(server);
  return result;
}

test('a tree goes there and back with its bytes, modes and times, and a second copy moves nothing', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    const told = await server.program.event('sharing');
    assert.deepEqual([told['directory'], told['isWritable']], [root, true]);
    const [source, back] = [newDir('source'), newDir('back')];
    makeTree(source, 3_000_000);
    const there = await cp(server, `${source}/`, '127.0.0.1:new');
    assert.equal(there.code, 0, there.stderr);
    assert.deepEqual(listing(join(root, 'new')), listing(source));
    const again = await cp(server, source, '127.0.0.1:new');
    assert.equal(again.code, 0, again.stderr);
    const returned = await cp(server, '127.0.0.1:new', back);
    assert.equal(returned.code, 0, returned.stderr);
    const third = await cp(server, '127.0.0.1:new', back);
    assert.equal(third.code, 0);
    assert.equal(summary(third)?.['movedBytes'], 0);
    assert.deepEqual(listing(back), listing(source));
    const inside = await cp(server, '127.0.0.1:new', `${back}/`);
    assert.equal(inside.code, 0, inside.stderr);
    assert.deepEqual(listing(join(back, 'new')), listing(source));
  });
});

test('a copy becomes what the last path names, or goes into it when that is a directory or ends with a slash', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    for (const isUpload of [true, false]) {
      const [from, to] = isUpload ? [newDir('from'), root] : [root, newDir('to')];
      mkdirSync(join(from, 'tree'));
      writeFileSync(join(from, 'tree', 'leaf'), 'leaf');
      writeFileSync(join(from, 'file'), 'file');
      for (const name of ['dir', 'slash', 'merged', 'into', 'both']) mkdirSync(join(to, name));
      const source = (name: string): string => (isUpload ? join(from, name) : `127.0.0.1:${name}`);
      const target = (name: string): string => (isUpload ? `127.0.0.1:${name}` : `${to}/${name}`);
      const copies: readonly [string[], string, string][] = [
        [['file'], 'new', 'new'],
        [['file'], 'dir', 'dir/file'],
        [['file'], 'slash/', 'slash/file'],
        [['tree'], 'new-tree', 'new-tree/leaf'],
        [['tree'], 'merged', 'merged/leaf'],
        [['tree'], 'into/', 'into/tree/leaf'],
        [['file', 'tree'], 'both', 'both/tree/leaf'],
      ];
      for (const [names, given, becomes] of copies) {
        const { code, stderr } = await cp(server, ...names.map(source), target(given));
        assert.equal(code, 0, stderr);
        assert.equal(statSync(join(to, becomes)).size, 4, `${names.join()} ${given}`);
      }
      const none = await cp(server, source('file'), target('missing/'));
      assert.deepEqual([none.code, /missing\/? is no directory/.test(none.stderr)], [1, true], none.stderr);
      assert.equal(existsSync(join(to, 'missing')), false);
    }
  });
});

test('holes stay holes, and their zeros do not travel', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    const source = join(newDir('source'), 'sparse');
    writeFileSync(source, 'head');
    truncateSync(source, 64 * 1024 * 1024);
    const ending = await cp(server, source, '127.0.0.1:');
    assert.equal(ending.code, 0, ending.stderr);
    const there = statSync(join(root, 'sparse'));
    assert.equal(there.size, 64 * 1024 * 1024);
    assert(there.blocks * 512 < 1024 * 1024, `${there.blocks} blocks`);
    assert.equal(readFileSync(join(root, 'sparse')).subarray(0, 5).toString('latin1'), 'head\0');
    assert(Number(summary(ending)?.['movedBytes']) <= 1024 * 1024);
  });
});

test('a share lets nobody out of its directory, and nobody in who may only read', async () => {
  await sharing([], async (server, root) => {
    const outside = newDir('outside');
    writeFileSync(join(outside, 'secret'), 'secret');
    writeFileSync(join(root, 'open'), 'open');
    symlinkSync(outside, join(root, 'way-out'));
    symlinkSync(join(outside, 'secret'), join(root, 'link'));
    const target = newDir('target');
    const refused: readonly [string, RegExp, number][] = [
      ['../secret', /it has a part "\.\."/, 2],
      ['/etc/passwd', /it is absolute/, 2],
      ['way-out/secret', /way-out is a symbolic link, which is not followed/, 1],
      ['link', /link is a symbolic link, which is not followed/, 1],
      ['missing', /missing does not exist/, 1],
    ];
    for (const [path, reason, wanted] of refused) {
      const { code, stderr } = await cp(server, `127.0.0.1:${path}`, target);
      assert.equal(code, wanted, path);
      assert.match(stderr, reason);
    }
    const into = await cp(server, join(outside, 'secret'), '127.0.0.1:');
    assert.equal(into.code, 1);
    assert.match(into.stderr, /the share is read-only; the server allows changes with --share-writable/);
    const all = await cp(server, '127.0.0.1:', join(target, 'all'));
    assert.equal(all.code, 1, 'not all of it came');
    assert.deepEqual(
      all.events
        .filter(({ event }) => event === 'skipped')
        .map(({ path }) => path)
        .sort(),
      ['link', 'way-out'],
    );
    assert.deepEqual(readdirSync(join(target, 'all')), ['open']);
  });
});

test('a server that has no share says so, and one share that is no directory is not served', async () => {
  const server = await serve();
  const { code, stderr } = await cp(server, '127.0.0.1:x', newDir('target'));
  assert.equal(code, 1);
  assert.match(stderr, /shares nothing: start it with --share DIR/);
  await stop(server);
  const none = await runProgram(['serve', '--port', '0', '--share', '/no/such', ...devCerts()]);
  assert.match(none.stderr, /\/no\/such does not exist/);
});

/** `QUEUEPAIR_COPY_MIB=2048 npm test -- cli/copy` copies as much. */
const TREE_MIB = Number(process.env['QUEUEPAIR_COPY_MIB'] ?? 64);
const CUTS = 5;

for (const [way, recovery] of [
  ['there', '0'],
  ['back', '0'],
  ['there', '10000'],
] as const) {
  test(`a tree of ${TREE_MIB} MiB whose connection is cut ${CUTS} times comes ${way} whole, with recovery of ${recovery} ms`, async () => {
    await sharing(['--share-writable', '--recovery', recovery], async (server, root) => {
      const source = way === 'there' ? newDir('source') : root;
      const target = way === 'there' ? root : newDir('target');
      makeTree(source, (TREE_MIB - 16) * 1024 * 1024);
      writeFileSync(join(source, 'second'), randomBytes(16 * 1024 * 1024));
      await using cutter = await TcpCutter.to({ host: '127.0.0.1', port: server.port });
      const watched = join(target, 'copy');
      const cutting = cutWhileGrowing(cutter, watched, TREE_MIB * 1024 * 1024);
      const args = way === 'there' ? [source, '127.0.0.1:copy'] : ['127.0.0.1:', watched];
      const ending = await cp(cutter, '--recovery', recovery, ...args);
      const cuts = await cutting.stop();
      assert.equal(ending.code, 0, ending.stderr);
      assert.equal(cuts, CUTS);
      assert.equal(listing(watched).join('\n'), listing(source).join('\n'));
      const retries = summary(ending)?.['retries'];
      if (recovery === '0')
        assert(Number(retries) >= 1 && Number(retries) <= CUTS, `${String(retries)} new connections`);
      else assert.equal(retries, 0, 'the connection itself recovers');
    });
  });
}

/** Cuts whenever another sixth of the bytes is there, whether whole files or partial ones. */
function cutWhileGrowing(cutter: TcpCutter, directory: string, total: number): { stop(): Promise<number> } {
  let cuts = 0;
  const timer = setInterval(() => {
    if (cuts < CUTS && bytesBelow(directory) > ((cuts + 1) * total) / (CUTS + 1.5) && cutter.cut() > 0)
      cuts++;
  }, 2);
  return {
    stop: async () => {
      clearInterval(timer);
      return cuts;
    },
  };
}

function bytesBelow(directory: string): number {
  if (!existsSync(directory)) return 0;
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const stats = statSync(join(directory, name), { throwIfNoEntry: false });
    if (stats?.isFile() === true) bytes += stats.size;
  }
  return bytes;
}

test('Ctrl-C ends a copy at once with 130, and the next one goes on where it was; sealed bytes do, too', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    const source = join(newDir('source'), 'file');
    writeFileSync(source, randomBytes(48 * 1024 * 1024));
    const target = join(root, 'file');
    const flags = ['--json', '--encrypt', '--port', String(server.port), ...FREE_DEVICE, ...devCerts()];
    const first = new Program(['cp', ...flags, source, '127.0.0.1:']);
    while (bytesBelow(root) < 10 * 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, 2));
    first.kill('SIGINT');
    assert.equal((await first.ended).code, 130);
    assert.equal(existsSync(target), false, 'nothing takes its place before it is whole');
    const second = await runProgram(['cp', ...flags, source, '127.0.0.1:']);
    assert.equal(second.code, 0, second.stderr);
    assert(Number(summary(second)?.['movedBytes']) <= 40 * 1024 * 1024, 'what was there was used');
    assert.equal(hashOf(target), hashOf(source));
  });
});

test('what a copy that was killed has left is used by the next one, unless it was damaged or the source has changed', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    const source = join(newDir('source'), 'file');
    const bytes = randomBytes(40 * 1024 * 1024);
    for (const fate of ['kept', 'damaged', 'changed'] as const) {
      writeFileSync(source, bytes);
      await leavePart(root, source, bytes.subarray(0, 24 * 1024 * 1024), fate === 'damaged');
      if (fate === 'changed') writeFileSync(source, randomBytes(bytes.length));
      const ending = await cp(server, source, '127.0.0.1:file');
      assert.equal(ending.code, 0, ending.stderr);
      const moved = Number(summary(ending)?.['movedBytes']);
      const expected = { kept: 16, damaged: 24, changed: 40 }[fate] * 1024 * 1024;
      assert.equal(moved, expected, fate);
      assert.deepEqual(readFileSync(join(root, 'file')), readFileSync(source));
      assert.deepEqual(readdirSync(root), ['file'], 'nothing is left over');
    }
  });
});

/** As a copy leaves it that ends after these bytes. `isDamaged`: one of the last 8 MiB is another. */
async function leavePart(root: string, source: string, bytes: Uint8Array, isDamaged: boolean): Promise<void> {
  const { PartialFile } = await import('../../../src/cli/copy/partial-file.js');
  const { partNames } = await import('../../../src/cli/copy/copy-path.js');
  const { Folder } = await import('../../../src/cli/copy/folder.js');
  const { size, mtimeMs, mode } = statSync(source);
  const version = { size, mtimeMillis: Math.round(mtimeMs), mode: mode & 0o777 };
  const partial = new PartialFile({ folder: await Folder.root(root), name: 'file' }, version);
  const piece = 1024 * 1024;
  for (let at = 0; at < bytes.length; at += piece) await partial.write(bytes.subarray(at, at + piece));
  await partial.keep('killed');
  if (!isDamaged) return;
  const part = join(root, partNames('file').part);
  const damaged = readFileSync(part);
  damaged[damaged.length - 1] = ~(damaged.at(-1) ?? 0);
  writeFileSync(part, damaged);
}
