/** The folders of src/connection are layers: a file imports from its own folder and from those before it, types as well. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readImports } from './import-graph.js';
import { packageRoot } from './temporary-project.js';

/** From the lowest up. ARCHITECTURE.md says what each is for. */
const FOLDERS = [
  'common',
  'rates',
  'terms',
  'fragments',
  'streams',
  'messages',
  'link',
  'memory',
  'data-path',
  'lifeline',
  'program',
  'options',
  'workers',
  'client',
  'server',
] as const;

const room = join(packageRoot(), 'src', 'connection');

/** Each import of a higher folder, as `file imports file`. */
function findClimbs(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const rank = (file: string): number => FOLDERS.findIndex((folder) => file.startsWith(`${folder}/`));
  return [...imports].flatMap(([file, found]) =>
    found.filter((path) => rank(path) > rank(file)).map((path) => `${file} imports ${path}`),
  );
}

test('src/connection has the folders that its order names, and no file beside them', () => {
  assert.deepEqual(readdirSync(room).sort(), [...FOLDERS].sort());
});

test('no file of src/connection imports from a folder above its own', () => {
  assert.deepEqual(findClimbs(readImports(room)), [], 'move what both need down, or the file up');
});

test('an import of a higher folder is found, one of a lower folder is not', () => {
  const imports = new Map([
    ['common/clock.ts', ['program/connection.ts']],
    ['program/connection.ts', ['common/clock.ts', 'program/grant.ts']],
  ]);
  assert.deepEqual(findClimbs(imports), ['common/clock.ts imports program/connection.ts']);
});
