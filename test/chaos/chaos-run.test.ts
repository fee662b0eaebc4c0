/** A short chaos run end to end: its last line is what other people's scripts read. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../src/native/addon.js';

const addon = loadAddon();
const MAIN = fileURLToPath(new URL('../../tools/chaos/main.js', import.meta.url));

async function chaos(...args: string[]): Promise<{ code: number | null; lines: string[]; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, lines: stdout.trim().split('\n'), stderr };
}

test('faults of every cheap kind lose, double, reorder and leak nothing', async () => {
  const kinds = 'fail-queue-pairs,fail-queue-pairs-of-both,cut-session,kill-client,lose-packets';
  const { code, lines, stderr } = await chaos('--faults', '10', '--only', kinds, '--json');
  assert.equal(code, 0, stderr);
  assert.equal(
    lines.at(-1),
    JSON.stringify({ faults: 10, lost: 0, duplicated: 0, reordered: 0, leaked: 0 }),
    stderr,
  );
  const details = JSON.parse(lines[0] ?? '') as { messages: number; streams: number; corrupted: number };
  assert.ok(details.messages > 100, `${details.messages} messages`);
  assert.ok(details.streams > 10, `${details.streams} streams`);
  assert.equal(details.corrupted, 0);
});

test('packets through memory lose, double, reorder and leak nothing either', {
  skip: typeof addon === 'string' ? addon : false,
}, async () => {
  const kinds = 'fail-queue-pairs,cut-session,kill-client,lose-packets';
  const { code, lines, stderr } = await chaos(...['--faults', '8', '--only', kinds, '--io', 'shm', '--json']);
  assert.equal(code, 0, stderr);
  assert.equal(
    lines.at(-1),
    JSON.stringify({ faults: 8, lost: 0, duplicated: 0, reordered: 0, leaked: 0 }),
    stderr,
  );
});

test('workers that die lose, double and reorder nothing, leave nothing, and clients are told the truth', async () => {
  const { code, lines, stderr } = await chaos('--workers', '--faults', '6', '--json');
  assert.equal(code, 0, stderr);
  assert.equal(
    lines.at(-1),
    JSON.stringify({ kills: 6, lost: 0, duplicated: 0, reordered: 0, leaked: 0 }),
    stderr,
  );
  const details = JSON.parse(lines[0] ?? '') as Record<string, number>;
  assert.ok((details['answered'] ?? 0) > 50, lines[0]);
  assert.ok((details['streamBytes'] ?? 0) > 0, lines[0]);
  assert.deepEqual([details['untrue'], details['damaged'], details['corrupted']], [0, 0, 0]);
});

test('wrong usage exits with 2 and says what is right', async () => {
  const { code, stderr } = await chaos('--only', 'earthquake');
  assert.equal(code, 2);
  assert.match(stderr, /no fault 'earthquake'[\s\S]*usage:/);
});
