/** The conformance suite's part about messages, once more over UDP: by themselves its devices exchange packets through memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../src/native/addon.js';

const addon = loadAddon();
const PARTS = ['reliable', 'unreliable', 'failures', 'windows', 'shared-receive', 'states'];
const LIMIT_MILLIS = 120_000;

for (const part of PARTS) {
  test(`conformance over UDP: ${part}`, { skip: typeof addon === 'string' ? addon : false }, () => {
    const path = fileURLToPath(new URL(`../conformance/${part}.test.js`, import.meta.url));
    // Under NODE_TEST_CONTEXT a test takes itself for a part of this one.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--test', path], {
      env: { ...env, QUEUEPAIR_CONFORMANCE_DEVICE: 'soft:127.0.0.1?port=0&io=native' },
      encoding: 'utf8',
      timeout: LIMIT_MILLIS,
    });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });
}
