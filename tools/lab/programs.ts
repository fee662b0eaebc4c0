/**
 * Runs `queuepair` with --json, and what plays other programs' protocols, on this side or in the machine. None of them
 * outlives the lab, and each is ended when it takes too long.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { lastLines, spawnBound } from './commands.js';
import type { Machine } from './machine.js';

/** What is run, with its name for people. */
interface Script {
  readonly name: string;
  readonly path: string;
}

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const QUEUEPAIR: Script = { name: 'queuepair', path: pathOf('../../src/cli/main.js') };
const PLAYER: Script = { name: 'player', path: pathOf('players/main.js') };
export const TIMEOUT_MILLIS = 120_000;
const LOOK_MILLIS = 500;

export type ProgramEvent = Readonly<Record<string, unknown>>;
export type ProgramArguments = readonly (string | number)[];

export interface Running {
  /** A server waits for its client. */
  readonly listening: Promise<void>;
  /** What it printed, once it has ended well. */
  readonly events: Promise<readonly ProgramEvent[]>;
  /** Asks it to end (SIGTERM). */
  stop(): Promise<void>;
}

/** Starts `queuepair ARGUMENTS` on this side. Neither promise has to be looked at. */
export const startQueuepair = (args: ProgramArguments): Running => start(QUEUEPAIR, args);

/** As {@link startQueuepair}, what plays another program (players/main.ts). */
export const startPlayer = (args: ProgramArguments): Running => start(PLAYER, args);

function start(script: Script, args: ProgramArguments): Running {
  const child = spawnBound(process.execPath, [script.path, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MILLIS);
  let output = '';
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const events = once(child, 'close').then(([code]) => {
    clearTimeout(timer);
    if (code !== 0) throw failure(script, args, code as number | null, errors);
    return parseEvents(output);
  });
  const listening = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (isListening(output)) resolve();
    });
    events.catch(reject);
  });
  listening.catch(() => {});
  return { listening, events, stop: async () => void child.kill('SIGTERM') };
}

let lastNumber = 0;

/** As {@link startQueuepair}, in the machine; through the command `prefix`, such as `taskset -c 0`. */
export const startQueuepairThere = (
  machine: Machine,
  args: ProgramArguments,
  prefix: readonly string[] = [],
): Running => startThere(machine, QUEUEPAIR, args, prefix);

/** As {@link startPlayer}, in the machine. */
export const startPlayerThere = (machine: Machine, args: ProgramArguments): Running =>
  startThere(machine, PLAYER, args, []);

function startThere(
  machine: Machine,
  script: Script,
  args: ProgramArguments,
  prefix: readonly string[],
): Running {
  const files = `/tmp/queuepair-${++lastNumber}`;
  const command = [...prefix, process.execPath, script.path, ...args.map(String)].map(quoted).join(' ');
  const ended = machine.run(
    `echo $$ > ${files}.pid; exec ${command} > ${files}.out 2> ${files}.err`,
    TIMEOUT_MILLIS,
  );
  const read = (suffix: string): Promise<string> => machine.runOrThrow(`cat ${files}.${suffix}`);
  const events = ended.then(async ({ code }) => {
    if (code !== 0) throw failure(script, args, code, await read('err'));
    return parseEvents(await read('out'));
  });
  let isOver = false;
  const onEnd = (): void => {
    isOver = true;
  };
  ended.then(onEnd, onEnd);
  const listens = async (): Promise<void> => {
    while (!isListening((await machine.run(`cat ${files}.out`)).output)) {
      // Each look starts programs in the machine, which needs its time for the server.
      await delay(LOOK_MILLIS);
      if (isOver) await events.then(() => Promise.reject(new Error(`${script.name} ${args[0]} ended early`)));
    }
  };
  // Who only runs a client never asks.
  let listening: Promise<void> | undefined;
  events.catch(() => {});
  return {
    get listening() {
      listening ??= listens();
      return listening;
    },
    events,
    stop: async () => void (await machine.runOrThrow(`kill -TERM $(cat ${files}.pid)`)),
  };
}

/** The number that a program's result has under a name. */
export async function resultOf({ events }: Pick<Running, 'events'>, name: string): Promise<number> {
  const value = (await events).find(({ event }) => event === 'result')?.[name];
  if (typeof value === 'number') return value;
  throw new Error(`queuepair printed no ${name}`);
}

const isListening = (output: string): boolean => output.includes('"event":"listening"');

const parseEvents = (output: string): ProgramEvent[] =>
  output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ProgramEvent);

const failure = (script: Script, args: ProgramArguments, code: number | null, errors: string): Error =>
  new Error(`${script.name} ${args[0]} ended with ${code ?? 'a signal'}: ${lastLines(errors, 2)}`);

/** For the shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
