/** Copies that go on with what an earlier one has left. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesBelow, cp, hashOf, newDir, sharing, summary } from '../../../testkit/copying.js';
import { devCerts, FREE_DEVICE, Program, runProgram } from '../../../testkit/program.js';

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
  for (let at = 0; at < bytes.length; at += piece)
    await partial.write(bytes.subarray(at, at + piece)).written;
  await partial.keep('killed');
  if (!isDamaged) return;
  const part = join(root, partNames('file').part);
  const damaged = readFileSync(part);
  damaged[damaged.length - 1] = ~(damaged.at(-1) ?? 0);
  writeFileSync(part, damaged);
}
