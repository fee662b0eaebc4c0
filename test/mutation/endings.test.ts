/** However a run of the mutation harness ends, it leaves neither processes nor folders behind. */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { within } from '../../testkit/within.js';
import { createToy } from './toy.js';

const RUN = fileURLToPath(new URL('endless-run.js', import.meta.url));
const skip = process.platform === 'win32' && 'there are no process groups';

interface Run {
  readonly child: ChildProcessByStdio<null, Readable, null>;
  readonly judge: number;
  /** Where the run makes its folders. */
  readonly folder: string;
}

/** Resolves when the judge runs. */
async function endlessRun(t: TestContext): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-endless-'));
  const note = `${folder}.pid`;
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
    rmSync(note, { force: true });
  });
  const child = spawn(process.execPath, [RUN, createToy(t)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TMPDIR: folder, ENDLESS_PID: note },
  });
  t.after(() => child.kill('SIGKILL'));
  child.stdout.resume();
  const judge = await within(noted(note));
  t.after(() => isAlive(judge) && process.kill(judge, 'SIGKILL'));
  assert.equal(readdirSync(folder).length, 1, 'the copy of the build');
  return { child, judge, folder };
}

async function noted(path: string): Promise<number> {
  for (;;) {
    try {
      const pid = Number(readFileSync(path, 'utf8'));
      if (pid > 0) return pid;
    } catch {
      // Not yet.
    }
    await delay(20);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function assertNothingLeft({ judge, folder }: Run): Promise<void> {
  const gone = async (): Promise<void> => {
    while (isAlive(judge)) await delay(20);
  };
  await within(gone());
  assert.deepEqual(readdirSync(folder), []);
}

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal} ends the judges as well, and removes the copies`, { skip }, async (t) => {
    const run = await endlessRun(t);
    run.child.kill(signal);
    const [code] = await within(once(run.child, 'exit'));
    assert.equal(code, expected);
    await assertNothingLeft(run);
  });
}

test('so does standard output that nobody reads any more', { skip }, async (t) => {
  const run = await endlessRun(t);
  run.child.stdout.destroy();
  const [code] = await within(once(run.child, 'exit'));
  assert.equal(code, 1);
  await assertNothingLeft(run);
});
