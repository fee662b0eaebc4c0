/** scripts/build-addon.mjs: when the addon is compiled again. The compiler is a stub that leaves an empty file. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TemporaryProject } from './temporary-project.js';

/** As `make`: says which objects it found from before. */
const NODE_GYP_STUB = `
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
writeFileSync('reused', String(existsSync('build/Release/object.o')));
mkdirSync('build/Release', { recursive: true });
writeFileSync('build/Release/object.o', '');
writeFileSync('build/Release/queuepair.node', '');
`;

type Compiled = 'not at all' | 'with the objects from before' | 'from nothing';

class Addon {
  readonly project: TemporaryProject;
  readonly environment: Record<string, string>;

  constructor(t: TestContext) {
    this.project = new TemporaryProject(t);
    this.project.write('src/a.ts', 'export const a: number = 1;\n');
    this.project.write('native/binding.gyp', '{}\n');
    this.project.write('node-gyp.mjs', NODE_GYP_STUB);
    for (const tool of ['g++', 'make', 'python3']) this.project.write(`bin/${tool}`, '');
    this.environment = {
      PATH: join(this.project.path, 'bin'),
      CPATH: join(this.project.path, 'include'),
      npm_config_node_gyp: join(this.project.path, 'node-gyp.mjs'),
    };
  }

  async setUp(): Promise<Compiled> {
    const { code, stderr } = await this.project.node(['scripts/setup.mjs'], this.environment);
    assert.equal(code, 0, stderr);
    if (!stderr.includes('building the native addon…')) return 'not at all';
    assert.ok(this.project.has('build/native/queuepair.node'), stderr);
    return this.project.read('native/reused') === 'true' ? 'with the objects from before' : 'from nothing';
  }
}

test('it is compiled from nothing when an optional header comes or goes, and not at all otherwise', async (t) => {
  const addon = new Addon(t);
  assert.equal(await addon.setUp(), 'from nothing', 'at first');
  assert.equal(await addon.setUp(), 'not at all', 'nothing changed');
  for (const header of ['include/infiniband/verbs.h', 'include/rdma/rdma_cma.h']) {
    addon.project.write(header, '');
    assert.equal(await addon.setUp(), 'from nothing', `${header} came`);
    assert.equal(await addon.setUp(), 'not at all', `${header} is still there`);
    addon.project.write(header, '// of another version\n');
    assert.equal(await addon.setUp(), 'from nothing', `${header} is another`);
    addon.project.remove(header);
    assert.equal(await addon.setUp(), 'from nothing', `${header} went`);
  }
});

test('another compiler and other flags compile it from nothing, a changed source only what depends on it', async (t) => {
  const addon = new Addon(t);
  await addon.setUp();
  addon.project.write('bin/g++', '# of another version\n');
  assert.equal(await addon.setUp(), 'from nothing', 'another compiler');
  addon.environment['CXXFLAGS'] = '-O0';
  assert.equal(await addon.setUp(), 'from nothing', 'other flags');
  addon.project.write('native/a.cc', '');
  assert.equal(await addon.setUp(), 'with the objects from before', 'another source');
  assert.equal(await addon.setUp(), 'not at all', 'nothing changed');
});

test('objects of unknown origin are not used, and a lost compiler loses no addon', async (t) => {
  const addon = new Addon(t);
  addon.project.write('native/build/Release/object.o', '');
  assert.equal(await addon.setUp(), 'from nothing', 'objects that nobody knows');
  addon.project.remove('bin/g++');
  assert.equal(await addon.setUp(), 'not at all', 'no compiler');
  assert.ok(addon.project.has('build/native/queuepair.node'));
});
