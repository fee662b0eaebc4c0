/** What README shows as JavaScript runs as pasted: in a folder where `queuepair` is this build. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from './temporary-project.js';

const LIMIT_MILLIS = 60_000;
const BLOCK = /^```js\n([\s\S]*?)^```/gm;

const root = packageRoot();
const folder = mkdtempSync(join(tmpdir(), 'queuepair-readme-'));
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules', 'queuepair'), 'dir');
after(() => rmSync(folder, { recursive: true, force: true }));

function start(file: string, ...args: string[]): ChildProcess {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawn(process.execPath, [file, ...args], { cwd: folder, env, timeout: LIMIT_MILLIS });
}

/** Collects until it ends. */
async function outcome(
  child: ChildProcess,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (piece) => (stdout += String(piece)));
  child.stderr?.on('data', (piece) => (stderr += String(piece)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(BLOCK)].map(
  ([, code = '']) => code,
);

test('README has JavaScript to try', () => assert.ok(blocks.length > 0));

for (const [index, code] of blocks.entries()) {
  test(`JavaScript of README, block ${index + 1}, runs as pasted`, async () => {
    const file = join(folder, `block-${index + 1}.mjs`);
    writeFileSync(file, code);
    const { code: exit, stderr, stdout } = await outcome(start(file));
    assert.equal(exit, 0, stderr);
    assert.match(stdout, /\S/);
  });
}
