/** What shells are told of the program's words: all of its commands and options, and nothing else. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { runProgram, testDir } from '../../testkit/program.js';

const noBash = spawnSync('bash', ['--version']).error !== undefined && 'bash is not installed';
let script = '';

before(async () => {
  const { code, stdout } = await runProgram(['completion', 'bash']);
  assert.equal(code, 0);
  script = join(testDir(), 'completion.bash');
  writeFileSync(script, stdout);
});

/** What bash offers behind these words; the last one is being typed. */
function offered(...words: string[]): string[] {
  const line = `source ${script}; COMP_WORDS=(queuepair "$@"); COMP_CWORD=$#; _queuepair; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = execFileSync('bash', ['-c', line, 'bash', ...words], { encoding: 'utf8', cwd: testDir() });
  return text.split('\n').filter((word) => word !== '');
}

test('bash completes commands, those below them, options and their values', { skip: noBash }, () => {
  assert.deepEqual(offered('se'), ['serve']);
  assert.deepEqual(offered('nvme', 're'), ['read']);
  assert.deepEqual(offered('serve', '--share'), ['--share', '--share-writable']);
  assert(offered('nvme', 'read', '--').includes('--offset'));
  assert(!offered('serve', '--').includes('--offset'));
  assert.deepEqual(offered('connect', 'host', '--peer-address', ''), ['session', 'any']);
  assert.deepEqual(offered('serve', '--port', ''), [], 'a number is not completed');
  assert(offered('serve', '--cert', 'comp').includes('completion.bash'), 'a file is');
  assert.deepEqual(offered('completion', 'f'), ['fish']);
});

test('every command of the help is completed, in every shell', { skip: noBash }, async () => {
  const { stdout } = await runProgram(['--help']);
  const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) .*$/gm)].map(([, name = '']) => name);
  assert(commands.length > 10);
  const known = offered('');
  for (const command of commands.filter((name) => name !== 'help')) assert(known.includes(command), command);
  const fish = (await runProgram(['completion', 'fish'])).stdout;
  for (const command of known.filter((word) => /^[a-z]/.test(word)))
    assert.match(fish, new RegExp(`-a ${command}( |$)`, 'm'));
  assert.match(fish, /from nvme; and __fish_seen_subcommand_from read' -l offset -x/);
  const zsh = (await runProgram(['completion', 'zsh'])).stdout;
  assert.match(zsh, /bashcompinit/);
});

test('a shell that is not known is wrong usage', async () => {
  const { code, stderr } = await runProgram(['completion', 'csh']);
  assert.equal(code, 2);
  assert.match(stderr, /<shell> cannot be .csh.: it is one of bash, zsh, fish/);
});
