/** Every tool explains itself, and says in one sentence what is wrong with its arguments. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { integerOption, listOption, namesOption, seedOption, WrongUsage } from '../../tools/command-line.js';

const TOOLS = ['attack', 'bench', 'chaos', 'fuzz', 'lab', 'mutation', 'sim'];

interface Ending {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const run = (tool: string, ...args: string[]): Promise<Ending> =>
  new Promise((resolve) => {
    const main = fileURLToPath(new URL(`../../tools/${tool}/main.js`, import.meta.url));
    const child = execFile(process.execPath, [main, ...args], (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    );
  });

for (const tool of TOOLS) {
  test(`${tool}: --help explains it on standard output`, async () => {
    const { code, out, err } = await run(tool, '--help');
    assert.deepEqual({ code, err }, { code: 0, err: '' });
    assert.match(out, /^usage: npm run /);
  });

  test(`${tool}: an option that it does not have is wrong usage`, async () => {
    const { code, out, err } = await run(tool, '--onyl', 'x');
    assert.deepEqual({ code, out }, { code: 2, out: '' });
    assert.match(err, /^[^\n]*--onyl[^\n]*\n\nusage: /);
  });
}

test('whole numbers are read, and others are refused with what is possible', () => {
  assert.equal(integerOption('jobs', '7', 1), 7);
  for (const text of ['', '0', '-1', '1.5', '1e3', 'x', ' 1', '99999999999999999999']) {
    assert.throws(() => integerOption('jobs', text, 1), WrongUsage, text);
  }
  assert.throws(
    () => integerOption('rounds', '11', 1, 10),
    /--rounds takes a whole number, 1 to 10, not '11'/,
  );
});

test('names may be given with commas and several times, and unknown ones are refused', () => {
  assert.deepEqual(listOption(['a,b', 'c', '']), ['a', 'b', 'c']);
  assert.deepEqual(namesOption(undefined, ['a'], 'fault'), []);
  assert.throws(() => namesOption(['a,d'], ['a', 'b'], 'fault'), /there is no fault 'd'; there are a, b/);
});

test('a seed is what was given, or another one each time', () => {
  assert.equal(seedOption('0'), 0);
  assert.notEqual(seedOption(undefined), seedOption(undefined));
});
