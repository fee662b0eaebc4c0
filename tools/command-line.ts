/**
 * What the command lines of all tools have in common: how values are read, what `--help` and wrong usage do, and which
 * exit codes there are. Each tool says which options it has, to `parseArgs`.
 */
import { randomInt } from 'node:crypto';

const EXIT_USAGE = 2;
const MAX_SEED = 2 ** 32;

/** The arguments make no sense; the message says which. */
export class WrongUsage extends Error {}

/**
 * Runs a tool with the arguments of this process and sets its exit code: that of `main`, 0 for `--help`, 2 for wrong
 * usage, which is explained on standard error.
 */
export async function runTool(
  usage: string,
  main: (args: readonly string[]) => Promise<number>,
): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(usage);
    return;
  }
  try {
    process.exitCode = await main(args);
  } catch (error) {
    if (!isWrongUsage(error)) throw error;
    process.stderr.write(`${error.message}\n\n${usage}`);
    process.exitCode = EXIT_USAGE;
  }
}

/** Ours, or of `parseArgs`. */
function isWrongUsage(error: unknown): error is Error {
  if (error instanceof WrongUsage) return true;
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}

/** @throws WrongUsage. */
export function integerOption(
  name: string,
  text: string,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`;
  throw new WrongUsage(`--${name} takes a whole number, ${range}, not '${text}'`);
}

/** Of `--seed`; without one a random one, which the tool prints. */
export const seedOption = (text: string | undefined): number =>
  text === undefined ? randomInt(MAX_SEED) : integerOption('seed', text, 0);

/** Names of `--only`, which may be given several times, each with commas. */
export const listOption = (lists: readonly string[] | undefined): readonly string[] =>
  (lists ?? []).flatMap((list) => list.split(',')).filter((name) => name !== '');

/** As {@link listOption}. `known` are those that there are, and `what` one of them. */
export function namesOption(
  lists: readonly string[] | undefined,
  known: readonly string[],
  what: string,
): readonly string[] {
  const names = listOption(lists);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  throw new WrongUsage(`there is no ${what} '${unknown}'; there are ${known.join(', ')}`);
}
