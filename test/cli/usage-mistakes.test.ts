/** Each way to mistype, with every command: one sentence of ours that says what to type instead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/program.js';
import type { ProgramCommand } from '../../src/cli/program-command.js';
import { WrongArguments } from '../../src/cli/wrong-arguments.js';
import { commandPaths } from '../../testkit/program-help.js';

/** The program, with commands that must not run. */
function harmless(): ProgramCommand {
  const program = createProgram();
  const disarm = (command: ProgramCommand): void => {
    if (command.commands.length === 0) command.action(() => assert.fail(`${command.topic} ran`));
    for (const below of command.commands) disarm(below as ProgramCommand);
  };
  disarm(program);
  return program;
}

function commandAt(path: readonly string[]): ProgramCommand {
  let command = harmless();
  for (const name of path) command = command.commands.find((one) => one.name() === name) as ProgramCommand;
  return command;
}

/** Words that commander's own sentences have. */
const NOT_OURS = /^error|missing required|argument missing|is invalid|not specified|Expected|unknown/;

async function sentence(args: readonly string[]): Promise<string> {
  const typed = args.join(' ');
  const error = await harmless()
    .parseAsync(args, { from: 'user' })
    .then(
      () => assert.fail(`${typed} was taken`),
      (reason: unknown) => reason,
    );
  assert(error instanceof WrongArguments, `${typed}: ${String(error)}`);
  assert(error.topic?.startsWith('queuepair'), `${typed} names no command to read on about`);
  const { message } = error;
  assert.match(message, /^[^\n]{10,400}[^.\n]$/, `${typed}: one sentence`);
  assert.doesNotMatch(message, NOT_OURS, typed);
  return message;
}

/** Those that do something. */
const PATHS = commandPaths().filter((path) => commandAt(path).commands.length === 0);

/** What the command needs to be complete, so that nothing else is wrong. */
function completed(path: readonly string[]): string[] {
  const command = commandAt(path);
  const words = command.registeredArguments
    .filter(({ required }) => required)
    .map(
      (argument) =>
        argument.argChoices?.[0] ?? (/^(host|target)/.test(argument.name()) ? '127.0.0.1:9' : 'x'),
    );
  const options = command.options
    .filter(({ mandatory }) => mandatory)
    .flatMap(({ long }) => [long ?? '', 'tcp:127.0.0.1:9']);
  return [...path, ...options, ...words];
}

test('there are commands to try, each with options', () => {
  assert(PATHS.length > 15, String(PATHS.length));
});

for (const path of PATHS) {
  const name = path.join(' ');
  const command = commandAt(path);

  test(`${name}: an option that there is not`, async () => {
    assert.equal(
      await sentence([...completed(path), '--nonsense']),
      `${command.name()} has no option '--nonsense'`,
    );
    assert.equal(await sentence([...completed(path), '-%']), `${command.name()} has no option '-%'`);
  });

  test(`${name}: an option with a letter missing names the one that was meant`, async () => {
    const names = command.options.flatMap(({ long }) => (typeof long === 'string' ? [long] : []));
    for (const long of names) {
      const typed = `${long.slice(0, 4)}${long.slice(5)}`;
      // `--peer-address` and `--per-address` are both there.
      if (long.length < 6 || names.includes(typed)) continue;
      assert.match(await sentence([...completed(path), typed]), /; did you mean --[a-z-]+\?$/, typed);
    }
  });

  test(`${name}: an option without its value, and with one that cannot be`, async () => {
    for (const { long, required, description, argChoices } of command.options) {
      if (!required || long === undefined || long === null) continue;
      const message = await sentence([...completed(path), long]);
      assert(message.startsWith(`${long} needs a value: `) && message.endsWith(description), message);
      if (argChoices === undefined) continue;
      assert(
        (await sentence([...completed(path), long, 'nonsense'])).startsWith(
          `${long} cannot be 'nonsense': it is one of `,
        ),
      );
    }
  });

  test(`${name}: an argument too few or too many`, async () => {
    const { registeredArguments } = command;
    const needed = registeredArguments.filter(({ required }) => required);
    if (needed.length > 0) {
      const options = completed(path).slice(path.length, completed(path).length - needed.length);
      const [first] = needed;
      const message = await sentence([...path, ...options]);
      assert(
        message.startsWith(`${command.name()} needs <${first?.name()}>: ${first?.description}`),
        message,
      );
    }
    if (registeredArguments.some(({ variadic }) => variadic)) return;
    const optional = registeredArguments.filter(({ required }) => !required).map(() => '127.0.0.1:9');
    const message = await sentence([...completed(path), ...optional, 'more']);
    assert.match(message, /takes (no arguments|<.+> and nothing more): 'more' is one too many$/);
  });
}

test('commands that there are not, and those that want another one behind them', async () => {
  assert.equal(await sentence(['srve']), "there is no command 'srve'; did you mean serve?");
  assert.equal(await sentence(['nonsense']), "there is no command 'nonsense'");
  assert.equal(await sentence(['help', 'nonsense']), "there is no command 'nonsense'");
  assert.match(await sentence(['nvme']), /^say what nvme shall do: serve, /);
  assert.match(await sentence(['nvme', 'raed']), /^there is no command 'nvme raed'; did you mean read\?$/);
  assert.match(
    await sentence(['nvme', 'nonsense']),
    /^there is no command 'nvme nonsense'; there are serve, /,
  );
  assert.equal(
    await sentence(['--json']),
    "queuepair has no option '--json'; write it behind the command it is for, as in queuepair demo --json",
  );
});

test('an option that must be there', async () => {
  assert.match(await sentence(['proxy']), /^proxy needs --listen <end>: [a-z]/);
});

test('what was typed is shown without what it could do to a terminal', async () => {
  const message = await sentence(['serve', '--port', '\u001b[31m1\n2']);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there.
  assert.doesNotMatch(message, /[\u0000-\u001f]/);
});
