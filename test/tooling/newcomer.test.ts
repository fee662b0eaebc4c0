/** How the newcomer's script finds what examples need of the system. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemProgramsOf } from '../../tools/newcomer/system-programs.js';

function folderWith(folder: string, ...names: string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) writeFileSync(join(folder, name), '');
  return folder;
}

test('PostgreSQL is found by PATH, where Debian puts it, and only with all that the example starts', () => {
  const root = mkdtempSync(join(tmpdir(), 'queuepair-newcomer-test-'));
  const debian = join(root, 'postgresql');
  const none = folderWith(join(root, 'none'));
  assert.deepEqual(systemProgramsOf('postgres.mjs', none, debian), { folder: undefined });
  const half = folderWith(join(root, 'half'), 'postgres');
  const own = folderWith(join(root, 'own'), 'postgres', 'initdb');
  assert.deepEqual(systemProgramsOf('postgres.mjs', `${half}:${own}`, debian), { folder: own });
  const bin = folderWith(join(debian, '17', 'bin'), 'postgres', 'initdb');
  assert.deepEqual(systemProgramsOf('postgres.mjs', `${none}:${half}`, debian), { folder: bin });
  assert.equal(systemProgramsOf('echo.mjs', none, debian), undefined);
});
