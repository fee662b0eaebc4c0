/** The words of a command line, taken from the commands themselves, so that completion knows every option. */
import type { Command } from 'commander';

export interface OptionWords {
  /** `--json`, `-d`. */
  readonly names: readonly string[];
  readonly description: string;
  /** What follows it: nothing, a file or folder, one of some words, or something else. */
  readonly value: 'none' | 'file' | 'other' | readonly string[];
}

export interface CommandWords {
  /** Names on the way from the program, which has none: `['nvme', 'read']`. */
  readonly path: readonly string[];
  readonly description: string;
  readonly below: readonly string[];
  readonly options: readonly OptionWords[];
  /** Words that its arguments may be; empty when files or anything else. */
  readonly choices: readonly string[];
}

/** The program, its commands, and theirs. */
export function describeCommands(command: Command, path: readonly string[] = []): CommandWords[] {
  const visible = command.createHelp().visibleOptions(command);
  const own: CommandWords = {
    path,
    description: command.description(),
    below: command.commands.map((one) => one.name()),
    options: visible.map(({ long, short, description, flags, argChoices }) => ({
      names: [long, short].filter((name) => typeof name === 'string'),
      description,
      value: argChoices ?? valueKind(flags),
    })),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  };
  return [own, ...command.commands.flatMap((one) => describeCommands(one, [...path, one.name()]))];
}

function valueKind(flags: string): OptionWords['value'] {
  const [, value] = /[<[](\w+)/.exec(flags) ?? [];
  if (value === undefined) return 'none';
  return value === 'file' || value === 'dir' ? 'file' : 'other';
}
