/** What `queuepair COMMAND --help` prints, without a process for each. */
import { CommanderError } from 'commander';
import { createProgram } from '../src/cli/program.js';
import type { ProgramCommand } from '../src/cli/program-command.js';

/** The names on the way to each command, the program's own and those of groups among them. */
export function commandPaths(command = createProgram(), path: readonly string[] = []): (readonly string[])[] {
  return [
    path,
    ...command.commands.flatMap((one) => commandPaths(one as ProgramCommand, [...path, one.name()])),
  ];
}

/** @throws CommanderError or WrongArguments where there is no such command. */
export async function helpOf(words: readonly string[]): Promise<string> {
  const program = createProgram();
  let text = '';
  const capture = (command: ProgramCommand): void => {
    command.configureOutput({
      writeOut: (more) => {
        text += more;
      },
    });
    for (const below of command.commands) capture(below as ProgramCommand);
  };
  capture(program);
  try {
    await program.parseAsync([...words, '--help'], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
  }
  return text;
}
