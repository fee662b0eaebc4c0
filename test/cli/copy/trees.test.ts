/** Copies of trees between processes: where they go, what is kept, and holes. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cp, listing, makeTree, newDir, sharing, summary } from '../../../testkit/copying.js';

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

test('what several sources have in common is told of each, and a link that was typed gives its own name', async () => {
  await sharing(['--share-writable'], async (server, root) => {
    for (const name of ['one', 'two']) {
      mkdirSync(join(root, name));
      symlinkSync('nowhere', join(root, name, 'link'));
    }
    const target = newDir('target');
    const both = await cp(server, '127.0.0.1:one', '127.0.0.1:two', target);
    const skipped = both.events.filter(({ event }) => event === 'skipped').map(({ path }) => path);
    assert.deepEqual(skipped, ['one/link', 'two/link']);
    assert.equal(summary(both)?.['skipped'], 2);
    writeFileSync(join(target, 'version-3'), 'bytes');
    symlinkSync('version-3', join(target, 'latest'));
    const typed = await cp(server, join(target, 'latest'), '127.0.0.1:');
    assert.equal(typed.code, 0, typed.stderr);
    assert.deepEqual(typed.events.find(({ event }) => event === 'stored')?.['path'], 'latest');
    assert.equal(readFileSync(join(root, 'latest'), 'utf8'), 'bytes');
  });
});
