/** scripts/build-addon.mjs: when the addon is compiled again. The compiler is a stub that leaves an empty file. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { TemporaryProject } from './temporary-project.js';

const NODE_GYP_STUB = `
import { mkdirSync, writeFileSync } from 'node:fs';
mkdirSync('build/Release', { recursive: true });
writeFileSync('build/Release/queuepair.node', '');
`;

test('it is compiled again when libibverbs gets its header, or loses it, and not otherwise', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');
  project.write('native/binding.gyp', '{}\n');
  project.write('node-gyp.mjs', NODE_GYP_STUB);
  for (const tool of ['g++', 'make', 'python3']) project.write(`bin/${tool}`, '');
  const environment = {
    PATH: join(project.path, 'bin'),
    CPATH: join(project.path, 'include'),
    npm_config_node_gyp: join(project.path, 'node-gyp.mjs'),
  };
  const compiles = async (): Promise<boolean> => {
    const { code, stderr } = await project.node(['scripts/setup.mjs'], environment);
    assert.equal(code, 0, stderr);
    return stderr.includes('building the native addon…');
  };

  assert.equal(await compiles(), true, 'at first');
  assert.ok(project.has('build/native/queuepair.node'));
  assert.equal(await compiles(), false, 'nothing changed');
  project.write('include/infiniband/verbs.h', '');
  assert.equal(await compiles(), true, 'the header came');
  assert.equal(await compiles(), false, 'it is still there');
  project.remove('include/infiniband');
  assert.equal(await compiles(), true, 'it went');
});
