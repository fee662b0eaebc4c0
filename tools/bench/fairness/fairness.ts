/**
 * Whether clients of one server get the same of it. The server is one process and the clients another, each client with a device of its
 * own. All want as much as they can get for a while; what each got is compared by Jain's index, which is 1 when all are equal and
 * 1/n when one of n has all.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWithUs, killGroup } from '../../end-with-us.js';

export type FairnessCase = 'equal' | 'greedy';

export interface FairnessOrder {
  readonly host: string;
  readonly port: number;
  readonly certificates: string;
  readonly case: FairnessCase;
  readonly encrypted: boolean;
  readonly clients: number;
  readonly millis: number;
}

/** What each client got. */
export interface FairnessAnswer {
  readonly port?: number;
  readonly roundTrips?: readonly number[];
  readonly failed?: string;
}

export interface FairnessRow {
  readonly case: FairnessCase;
  readonly encrypted: boolean;
  /** Of those that are alike: all, or all but the greedy one. */
  readonly jain: number;
  readonly roundTripsPerSecond: readonly number[];
}

export interface FairnessSettings {
  readonly host: string;
  readonly certificates: string;
  readonly haste: number;
  readonly json: boolean;
  readonly tell: (progress: string) => void;
}

export const FAIRNESS = 'fairness';
export const FAIRNESS_TITLE =
  'fairness: eight clients that want all they can get, and seven modest ones beside a greedy one';
const CLIENTS = 8;
const MILLIS = 4000;
const GOAL = 0.95;

/** @throws RangeError without values. */
export function jainIndex(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('nobody to compare');
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value ** 2, 0);
  return squares === 0 ? 1 : sum ** 2 / (values.length * squares);
}

/** Returns whether every case gave a value. */
export async function runFairness(
  settings: FairnessSettings,
  print: (line: string) => void,
): Promise<boolean> {
  let isWhole = true;
  for (const which of ['equal', 'greedy'] as const) {
    for (const encrypted of [false, true]) {
      const name = `${which}, ${encrypted ? 'encrypted' : 'clear'}`;
      settings.tell(`${FAIRNESS}: ${name}`);
      try {
        const row = await measure(which, encrypted, settings);
        for (const line of settings.json ? jsonRow(row) : textRow(name, row)) print(line);
      } catch (error) {
        isWhole = false;
        const reason = error instanceof Error ? error.message : String(error);
        const failed = { event: 'failed', name: FAIRNESS, case: which, encrypted, reason };
        print(settings.json ? JSON.stringify(failed) : `  ${name} FAILED: ${reason}`);
      }
    }
  }
  return isWhole;
}

async function measure(
  which: FairnessCase,
  encrypted: boolean,
  { host, certificates, haste }: FairnessSettings,
): Promise<FairnessRow> {
  const order = { host, certificates, case: which, encrypted, clients: CLIENTS, millis: MILLIS / haste };
  const server = new Peer('server', { ...order, port: 0 });
  let clients: Peer | undefined;
  try {
    const { port = 0 } = await server.answer();
    clients = new Peer('clients', { ...order, port });
    const { roundTrips = [] } = await clients.answer();
    const roundTripsPerSecond = roundTrips.map((count) => (count * 1000) / order.millis);
    const alike = which === 'equal' ? roundTripsPerSecond : roundTripsPerSecond.slice(1);
    return { case: which, encrypted, jain: jainIndex(alike), roundTripsPerSecond };
  } finally {
    clients?.end();
    server.end();
  }
}

/** A process that does one order and answers once. */
class Peer {
  readonly #child: ChildProcess;
  readonly #forget: () => void;
  readonly #answer: Promise<FairnessAnswer>;

  constructor(role: 'server' | 'clients', order: FairnessOrder) {
    const file = fileURLToPath(new URL('./peer.js', import.meta.url));
    this.#child = fork(file, [role, JSON.stringify(order)], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#forget = endWithUs(() => killGroup(this.#child.pid));
    const message = once(this.#child, 'message').then(([answer]) => answer as FairnessAnswer);
    const exit = once(this.#child, 'exit').then(() => ({ failed: `the process of the ${role} ended` }));
    this.#answer = Promise.race([message, exit]);
  }

  async answer(): Promise<FairnessAnswer> {
    const answer = await this.#answer;
    if (answer.failed !== undefined) throw new Error(answer.failed);
    return answer;
  }

  end(): void {
    killGroup(this.#child.pid);
    this.#forget();
  }
}

function jsonRow({ jain, roundTripsPerSecond, ...rest }: FairnessRow): string[] {
  const rounded = roundTripsPerSecond.map((value) => Math.round(value));
  const row = { name: FAIRNESS, ...rest, jain: Number(jain.toFixed(4)), roundTripsPerSecond: rounded };
  const what = `${rest.case}, ${rest.encrypted ? 'encrypted' : 'clear'}`;
  const goal = `Jain's index ≥ ${GOAL} (${what})`;
  const verdict = { event: 'goal', name: FAIRNESS, goal, met: jain >= GOAL, detail: jain.toFixed(4) };
  return [JSON.stringify(row), JSON.stringify(verdict)];
}

function textRow(name: string, { jain, roundTripsPerSecond }: FairnessRow): string[] {
  const verdict = jain >= GOAL ? 'met' : 'NOT met';
  const rates = roundTripsPerSecond.map((value) => value.toFixed(0)).join(', ');
  return [
    `  ${name}: Jain's index ${jain.toFixed(4)}, goal ${GOAL} ${verdict}; round trips a second: ${rates}`,
  ];
}
