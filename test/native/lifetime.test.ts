/** The native port's memory, by danger: each runs in a process of its own, which a fault of the addon would kill. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../src/native/addon.js';
import type { NativePort } from '../../src/soft/native-port.js';

const DANGER = fileURLToPath(new URL('./danger.js', import.meta.url));
const LIMIT_MILLIS = 60_000;
const addon = loadAddon();
const skip = typeof addon === 'string' ? addon : false;

/** Runs it with a seed that a failure names. */
function survive(name: string, kind: NativePort['kind'] = 'native', seed = randomInt(1, 2 ** 31)): void {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', DANGER, name, String(seed), kind],
    {
      env,
      encoding: 'utf8',
      timeout: LIMIT_MILLIS,
    },
  );
  assert.deepEqual({ status, signal }, { status: 0, signal: null }, `'${name}' ${seed} ${kind}: ${stderr}`);
}

test('a process may exit at any moment, while both of its ports are busy', { skip }, () => {
  for (let i = 0; i < 4; i++) survive('exit while busy');
});

test('a port that is closed inside its own delivery delivers nothing more, and others go on', {
  skip,
}, () => {
  survive('close while busy');
});

test('regions and flows that come and go under the collector are sent right and forgotten', { skip }, () => {
  survive('collect under load');
});

test('memory that a program gave away after registering it is not read', { skip }, () => {
  survive('memory given away');
});

test('worker threads have ports of their own, and are ended while those are busy', { skip }, () => {
  survive('worker threads');
});

test('ports that exchange packets through memory survive the same', { skip }, () => {
  for (let i = 0; i < 4; i++) survive('exit while busy', 'shm');
  for (const name of ['close while busy', 'collect under load', 'memory given away', 'worker threads']) {
    survive(name, 'shm');
  }
});
