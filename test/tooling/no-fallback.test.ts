/**
 * rdma_cm proves nobody's name, so connections of `queuepair` never come to be by it: not when the session fails, and not by
 * somebody else's code. Nothing of sessions and connections leads to `src/cm`, or asks a device for its manager.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { reachedFrom, readImports } from './import-graph.js';
import { packageRoot } from './temporary-project.js';

const ROOMS = /^(connection|session|endpoint)\//;

const src = join(packageRoot(), 'src');
const imports = readImports(src);
const guarded = [...imports.keys()].filter((file) => ROOMS.test(file));

test('connections, sessions and endpoints lead to no file of src/cm', () => {
  assert.ok(guarded.length > 20);
  const leading = guarded.filter((file) =>
    [...reachedFrom(file, imports)].some((other) => other.startsWith('cm/')),
  );
  assert.deepEqual(leading, [], 'connect and listen of queuepair never fall back to rdma_cm');
});

test('connections, sessions and endpoints ask no device for its communication manager', () => {
  const asking = guarded.filter((file) =>
    readFileSync(join(src, file), 'utf8').includes('connectionManager'),
  );
  assert.deepEqual(asking, [], 'connect and listen of queuepair never fall back to rdma_cm');
});
