/** scripts/package/manifest.mjs: what the package.json of the package holds, and when npm would publish it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../src/cli/package-root.js';

type Manifest = Readonly<Record<string, unknown>>;
interface Script {
  manifest(own: Manifest, entries: readonly { name: string; source: string }[]): Manifest;
}

const script = join(packageRoot(), 'scripts', 'package', 'manifest.mjs');
const { manifest } = (await import(pathToFileURL(script).href)) as Script;
const own = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as Manifest;
const ENTRIES = [{ name: '.', source: 'index' }];

/** As the publisher sets them. */
const PLACES = {
  repository: { type: 'git', url: 'git+https://git.example.com/someone/queuepair.git' },
  homepage: 'https://queuepair.example.com',
  bugs: { url: 'https://git.example.com/someone/queuepair/issues' },
};

test('a package that does not say where its project is cannot be published', () => {
  for (const name of Object.keys(PLACES)) {
    const { [name]: _, ...incomplete } = { ...own, ...PLACES } as Manifest;
    assert.equal(manifest(incomplete, ENTRIES)['private'], true, name);
  }
});

test('with those three it can, and carries them', () => {
  const made = manifest({ ...own, ...PLACES }, ENTRIES);
  assert.equal('private' in made, false);
  for (const [name, value] of Object.entries(PLACES)) assert.deepEqual(made[name], value);
});

test('it has no dependencies, no development and one script', () => {
  const made = manifest(own, ENTRIES);
  assert.deepEqual(made['scripts'], { install: 'node scripts/install.mjs' });
  assert.deepEqual([made['dependencies'], made['devDependencies']], [undefined, undefined]);
  assert.deepEqual(made['exports'], {
    '.': { types: './dist/types/index.d.ts', default: './dist/index.js' },
    './package.json': './package.json',
  });
});
