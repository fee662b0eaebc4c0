/**
 * Runs `queuepair` with --json, and what plays other programs' protocols, on this side or in the machine. None of them
 * outlives the lab, and each is ended when it takes too long.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Bundles, Environment } from './bundle.js';
import { lastLines, spawnBound, withoutFrames } from './commands.js';
import type { Machine } from './machine.js';

/** What is run, with its name for people. */
interface Script {
  readonly name: string;
  path: string;
}

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const QUEUEPAIR: Script = { name: 'queuepair', path: pathOf('../../src/cli/main.js') };
const PLAYER: Script = { name: 'player', path: pathOf('players/main.js') };
export const TIMEOUT_MILLIS = 120_000;
let environment: Environment = {};

/** From now on, programs are started from these files. */
export function useBundles({ queuepair, player, environment: needed }: Bundles): void {
  QUEUEPAIR.path = queuepair;
  PLAYER.path = player;
  environment = needed;
}

export type ProgramEvent = Readonly<Record<string, unknown>>;
export type ProgramArguments = readonly (string | number)[];

export interface Running {
  /** A server waits for its client. */
  readonly listening: Promise<unknown>;
  /** What it printed, once it has ended well. */
  readonly events: Promise<readonly ProgramEvent[]>;
  /** Resolves once it has printed an event of this name; rejects when it ends without. */
  when(event: string): Promise<ProgramEvent>;
  /** Asks it to end (SIGTERM). */
  stop(): Promise<void>;
  /** Ends it without asking (SIGKILL). Resolves when it is gone; `events` rejects. */
  kill(): Promise<void>;
}

/** An error that nobody caught, with its cause and what both of them say of themselves. */
const ERROR_LINES = 20;
const GOOD_ENDINGS: readonly number[] = [0];

/** Starts `queuepair ARGUMENTS` on this side. Neither promise has to be looked at. `endings`: exit codes of one that ended well. */
export const startQueuepair = (
  args: ProgramArguments,
  timeoutMillis = TIMEOUT_MILLIS,
  endings = GOOD_ENDINGS,
): Running => start(QUEUEPAIR, args, timeoutMillis, endings);

/** As {@link startQueuepair}, what plays another program (players/main.ts). */
export const startPlayer = (args: ProgramArguments): Running =>
  start(PLAYER, args, TIMEOUT_MILLIS, GOOD_ENDINGS);

function start(
  script: Script,
  args: ProgramArguments,
  timeoutMillis: number,
  endings: readonly number[],
): Running {
  const child = spawnBound(process.execPath, [script.path, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMillis);
  const lines = new EventLines();
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => lines.add(text));
  const closed = once(child, 'close');
  const events = closed.then(([code]) => {
    clearTimeout(timer);
    if (!endings.includes(code as number)) throw failure(script, args, code as number | null, errors);
    return lines.events;
  });
  return running(lines, events, {
    stop: async () => void child.kill('SIGTERM'),
    kill: async () => {
      child.kill('SIGKILL');
      await closed;
    },
  });
}

let lastNumber = 0;

/** As {@link startQueuepair}, in the machine; through the command `prefix`, such as `taskset -c 0`. */
export const startQueuepairThere = (
  machine: Machine,
  args: ProgramArguments,
  prefix: readonly string[] = [],
  endings = GOOD_ENDINGS,
  timeoutMillis = TIMEOUT_MILLIS,
): Running => startThere(machine, QUEUEPAIR, args, prefix, endings, timeoutMillis);

/** As {@link startPlayer}, in the machine. */
export const startPlayerThere = (machine: Machine, args: ProgramArguments): Running =>
  startThere(machine, PLAYER, args, [], GOOD_ENDINGS, TIMEOUT_MILLIS);

function startThere(
  machine: Machine,
  script: Script,
  args: ProgramArguments,
  prefix: readonly string[],
  endings: readonly number[],
  timeoutMillis: number,
): Running {
  const files = `/tmp/queuepair-${++lastNumber}`;
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const command = ['env', ...variables, ...prefix, process.execPath, script.path, ...args.map(String)]
    .map(quoted)
    .join(' ');
  const lines = new EventLines();
  const ended = machine.run(
    `echo $$ > ${files}.pid; exec ${command} 2> ${files}.err`,
    timeoutMillis,
    (piece) => lines.add(piece),
  );
  const events = ended.then(async ({ code }) => {
    if (!endings.includes(code))
      throw failure(script, args, code, await machine.runOrThrow(`cat ${files}.err`));
    return lines.events;
  });
  const signal = (name: string): Promise<string> => machine.runOrThrow(`kill -${name} $(cat ${files}.pid)`);
  return running(lines, events, {
    stop: async () => void (await signal('TERM')),
    kill: async () => {
      await signal('KILL');
      await ended;
    },
  });
}

function running(
  lines: EventLines,
  events: Promise<readonly ProgramEvent[]>,
  signals: Pick<Running, 'stop' | 'kill'>,
): Running {
  events.then(
    () => lines.end(new Error('ended early')),
    (error: Error) => lines.end(error),
  );
  const listening = lines.when('listening');
  // Who only runs a client never asks.
  for (const promise of [listening, events]) promise.catch(() => {});
  return { listening, events, when: (name) => lines.when(name), ...signals };
}

/** What a program has printed: one JSON object a line. */
class EventLines {
  readonly events: ProgramEvent[] = [];
  #rest = '';
  #ending: Error | undefined;
  #waiting: { readonly name: string; onEvent(event: ProgramEvent): void; onEnd(error: Error): void }[] = [];

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.#tell(JSON.parse(line) as ProgramEvent);
  }

  end(error: Error): void {
    this.#ending = error;
    for (const { onEnd } of this.#waiting.splice(0)) onEnd(error);
  }

  when(name: string): Promise<ProgramEvent> {
    const found = this.events.find(({ event }) => event === name);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      if (this.#ending !== undefined) reject(this.#ending);
      else this.#waiting.push({ name, onEvent: resolve, onEnd: reject });
    });
  }

  #tell(event: ProgramEvent): void {
    this.events.push(event);
    const isMeant = ({ name }: { readonly name: string }): boolean => name === event['event'];
    for (const { onEvent } of this.#waiting.filter(isMeant)) onEvent(event);
    this.#waiting = this.#waiting.filter((waiting) => !isMeant(waiting));
  }
}

/** The number that a program's result has under a name. */
export async function resultOf({ events }: Pick<Running, 'events'>, name: string): Promise<number> {
  const value = (await events).find(({ event }) => event === 'result')?.[name];
  if (typeof value === 'number') return value;
  throw new Error(`queuepair printed no ${name}`);
}

const failure = (script: Script, args: ProgramArguments, code: number | null, errors: string): Error =>
  new Error(
    `${script.name} ${args[0]} ended with ${code ?? 'a signal'}: ${lastLines(withoutFrames(errors), ERROR_LINES)}`,
  );

/** For the shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
