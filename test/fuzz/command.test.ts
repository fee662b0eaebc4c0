/** The command: what it prints, how it exits, and that what it saves replays. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const TOYS = fileURLToPath(new URL('./toys/main.js', import.meta.url));
const FUZZER = fileURLToPath(new URL('../../tools/fuzz/main.js', import.meta.url));
const artifacts = mkdtempSync(join(tmpdir(), 'queuepair-fuzz-'));
after(() => rmSync(artifacts, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly lines: Record<string, unknown>[];
  readonly stderr: string;
}

function run(program: string, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, '--artifacts', artifacts, ...args],
      (_, stdout, stderr) => {
        const lines = stdout.split('\n').filter((line) => line !== '');
        resolve({ code: child.exitCode ?? -1, lines: lines.map((line) => JSON.parse(line)), stderr });
      },
    );
  });
}

const toy = (name: string, ...args: string[]): Promise<Outcome> =>
  run(TOYS, '--target', name, '--seed', '3', '--json', ...args);

test('a run without faults exits with 0, and its last line has the count, the seed and no crashes', async () => {
  const { code, lines, stderr } = await toy('calm', '--count', '1000');
  assert.equal(code, 0);
  const last = lines.at(-1) ?? {};
  assert.equal(last['crashes'], 0);
  assert.equal(last['seed'], 3);
  assert.ok((last['count'] as number) >= 1000);
  assert.match(stderr, /^seed 3$/m);
});

test('a crash makes it exit with 1, and the command that is printed runs into it again', async () => {
  const { code, lines, stderr } = await toy('odd', '--count', '500');
  assert.equal(code, 1);
  const crash = lines.find(({ event }) => event === 'crash');
  assert.match(crash?.['message'] as string, /^Finding: the first byte is \d+$/);
  assert.ok((lines.at(-1)?.['crashes'] as number) >= 1);

  const printed = /^replay: npm run fuzz -- (.*)$/m.exec(stderr)?.[1]?.split(' ') ?? [];
  assert.deepEqual(printed.slice(0, 3), ['--target', 'odd', '--replay']);
  for (const source of [printed[3] as string, crash?.['input'] as string]) {
    const again = await run(TOYS, '--target', 'odd', '--replay', source);
    assert.equal(again.code, 1);
    assert.match(again.stderr, new RegExp(`crash in target odd: ${crash?.['message']}`));
  }
  const harmless = await run(TOYS, '--target', 'odd', '--replay', '00');
  assert.equal(harmless.code, 0);
  assert.match(harmless.stderr, /came through/);
});

for (const [name, message] of [
  ['loop', /did not come back within 700 ms/],
  ['waits', /waits for ever/],
] as const) {
  test(`an input that never ends (${name}) is found and saved`, async () => {
    const { code, lines } = await toy(name, '--count', '100000', '--threads', '1', '--hang-millis', '700');
    assert.equal(code, 1);
    const crash = lines.find(({ event }) => event === 'crash');
    assert.match(crash?.['message'] as string, message);
    assert.match(crash?.['input'] as string, /^ff/);
    assert.ok(readdirSync(artifacts).some((file) => file.startsWith(`${name}-`)));
  });
}

test('an input that waits for ever does so when it is replayed', async () => {
  const { code, stderr } = await run(TOYS, '--target', 'waits', '--replay', 'ff', '--hang-millis', '300');
  assert.equal(code, 1);
  assert.match(stderr, /waits for ever/);
});

test('errors that reach nobody count against the input that ran', async () => {
  const { code, lines } = await toy('stray', '--count', '3000', '--threads', '1');
  assert.equal(code, 1);
  const crashes = lines.filter(({ event }) => event === 'crash');
  const messages = crashes.map(({ message }) => message as string).sort();
  assert.deepEqual(messages, [
    'Error: unhandled rejection: nobody waits for this',
    'Finding: uncaught exception: nobody catches this',
  ]);
  for (const { input } of crashes) {
    const again = await run(TOYS, '--target', 'stray', '--replay', input as string);
    assert.equal(again.code, 1);
  }
});

test('memory that inputs leave behind is noticed', async () => {
  const { code, lines } = await toy('leak', '--count', '2000', '--threads', '1');
  assert.equal(code, 1);
  const crash = lines.find(({ event }) => event === 'crash');
  assert.match(crash?.['message'] as string, /the heap grew by \d/);
});

test('wrong arguments are explained', async () => {
  for (const args of [
    ['--target', 'nothing'],
    ['--replay', '00'],
  ]) {
    const { code, stderr } = await run(TOYS, ...args);
    assert.equal(code, 2);
    assert.match(stderr, /^usage: npm run fuzz/m);
  }
});

test('the targets of this project come through a short run, all of them', async () => {
  const { code, lines, stderr } = await run(FUZZER, '--count', '4000', '--seed', '11', '--json');
  const last = lines.at(-1) ?? {};
  assert.equal(code, 0, stderr);
  assert.equal(last['crashes'], 0);
  const targets = last['targets'] as Record<string, { count: number }>;
  assert.deepEqual(Object.keys(targets).sort(), [
    'cm',
    'copy',
    'frames',
    'lifeline',
    'messages',
    'nvme',
    'rsocket',
    'sealed',
    'verbs',
    'wire',
    'wire-noicrc',
  ]);
  for (const { count } of Object.values(targets)) assert.ok(count >= 100);
});
