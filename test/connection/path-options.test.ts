/** What the options of a path become, and the times that follow from them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recoveryLimits } from '../../src/connection/terms/options.js';
import { answerMillis, pathSettings, quitMillis } from '../../src/connection/terms/path-options.js';

test('an orderly end waits for longer than the queue pair takes to notice a dead path, within bounds', () => {
  for (let timeout = 1; timeout < 32; timeout++) {
    for (let retryCount = 0; retryCount < 8; retryCount++) {
      const path = pathSettings({ timeout, retryCount });
      const notices = answerMillis(path);
      assert.equal(Math.round(notices * 1000), Math.round(4.096 * 2 ** timeout * (retryCount + 1)));
      const waits = recoveryLimits({ path: { timeout, retryCount } }).quitMillis;
      assert.ok(
        waits > notices || waits === 30_000,
        `timeout ${timeout}, retryCount ${retryCount}: ${waits} ms`,
      );
      assert.ok(waits >= 1500 && waits <= 30_000);
    }
  }
  assert.ok(recoveryLimits({}).quitMillis > answerMillis(pathSettings()));
});

test('a queue pair that waits for ever does not keep a connection from its end', () => {
  assert.equal(answerMillis({ timeout: 0, retryCount: 7 }), Number.POSITIVE_INFINITY);
  assert.equal(quitMillis({ timeout: 0, retryCount: 7 }), 30_000);
});
