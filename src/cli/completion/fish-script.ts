/** Completion for fish. */
import type { CommandWords, OptionWords } from './command-words.js';

const SEEN = '__fish_seen_subcommand_from';

export function fishScript(commands: readonly CommandWords[]): string {
  const [program] = commands;
  const groups = commands
    .filter(({ path, below }) => path.length > 0 && below.length > 0)
    .map(({ path }) => path[0]);
  const lines = commands.flatMap((command) => {
    const condition = conditionOf(command, groups.join(' '));
    const below = commands.filter(
      ({ path }) => path.length === command.path.length + 1 && isBelow(path, command.path),
    );
    const open = below.length === 0 ? condition : `${condition}; and not ${SEEN} ${command.below.join(' ')}`;
    return [
      ...below.map(({ path, description }) =>
        line(command === program ? '__fish_use_subcommand' : open, `-f -a ${path.at(-1)}`, description),
      ),
      ...command.choices.map((choice) => line(condition, `-f -a ${choice}`, '')),
      ...(command === program
        ? []
        : command.options.map((option) => line(condition, optionText(option), option.description))),
    ];
  });
  return `# Completion of queuepair for fish.\n${lines.join('\n')}\n`;
}

/** A name may stand for a command of the program and for one of a group. */
function conditionOf({ path }: CommandWords, groups: string): string {
  if (path.length === 1) {
    const isGroup = groups.split(' ').includes(path[0] ?? '');
    const others = isGroup || groups === '' ? '' : `; and not ${SEEN} ${groups}`;
    return `${SEEN} ${path[0]}${others}`;
  }
  return path.map((word) => `${SEEN} ${word}`).join('; and ');
}

const isBelow = (path: readonly string[], above: readonly string[]): boolean =>
  above.every((word, i) => path[i] === word);

function optionText({ names, value }: OptionWords): string {
  const flags = names
    .map((one) => (one.startsWith('--') ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`))
    .join(' ');
  if (value === 'none') return flags;
  if (value === 'file') return `${flags} -r -F`;
  return value === 'other' ? `${flags} -x` : `${flags} -x -a '${value.join(' ')}'`;
}

const line = (condition: string, what: string, description: string): string =>
  `complete -c queuepair -n '${condition}' ${what}${description === '' ? '' : ` -d '${description.replaceAll("'", '’')}'`}`;
