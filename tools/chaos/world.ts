/** The processes of a chaos run, the proxies between them, and the ledger that they fill. */

import { setTimeout as delay } from 'node:timers/promises';
import { TcpCutter } from '../../testkit/tcp-cutter.js';
import { Actor } from './actor.js';
import { Ledger } from './ledger.js';
import type { ChaosOptions } from './options.js';
import type { Report } from './protocol.js';

export const CLIENTS = 3;
/** This client is never killed, so that its memory can be compared over the whole run. */
export const VETERAN = 0;
/** Messages in each direction that every client must get through after a fault. */
const HEALTHY_MESSAGES = 15;
/** A connection that does not go on for this long is stuck. */
const STUCK_MILLIS = 40_000;
const POLL_MILLIS = 10;

export class World {
  readonly ledger = new Ledger();
  readonly certificates: string;
  readonly seed: number;
  readonly clients: Actor[] = [];
  readonly proxies: TcpCutter[] = [];
  server!: Actor;
  readonly #device: string;
  #port = 0;
  #incarnation = 1;
  #replacing: Promise<void> = Promise.resolve();

  constructor(certificates: string, { seed, io }: Pick<ChaosOptions, 'seed' | 'io'>) {
    this.certificates = certificates;
    this.seed = seed;
    this.#device = `soft:127.0.0.1?port=0${io === undefined ? '' : `&io=${io}`}`;
  }

  async start(): Promise<void> {
    await this.startServer();
    for (let client = 0; client < CLIENTS; client++) {
      this.proxies.push(await TcpCutter.to({ host: '127.0.0.1', port: this.#port }));
      await this.startClient(client);
    }
    await this.untilHealthy();
  }

  async startServer(): Promise<void> {
    const setup = { ...this.#setup('server', 0), port: this.#port, incarnation: 0 };
    const { actor, port } = await Actor.start(setup, (report) => this.#onReport('server', report));
    this.server = actor;
    this.#port = port;
  }

  async startClient(client: number): Promise<void> {
    const port = (this.proxies[client] as TcpCutter).port;
    // Incarnations of a new process must not collide with those of the one before.
    const incarnation = this.#incarnation++ * 1_000_000;
    const setup = { ...this.#setup('client', client), port, incarnation };
    const { actor } = await Actor.start(setup, (report) => this.#onReport('client', report));
    this.clients[client] = actor;
  }

  killServer(): Promise<void> {
    return this.#replaceOneByOne(async () => {
      this.server.signal('SIGKILL');
      await this.server.gone;
      await this.startServer();
    });
  }

  killClient(client: number): Promise<void> {
    return this.#replaceOneByOne(async () => {
      const actor = this.clients[client] as Actor;
      actor.signal('SIGKILL');
      await actor.gone;
      await this.startClient(client);
    });
  }

  /**
   * Until every client gets messages through in both directions.
   *
   * @throws Error when one of them does not.
   */
  async untilHealthy(): Promise<void> {
    const from = this.clients.map((_, client) => this.ledger.progressOf(client));
    const deadline = performance.now() + STUCK_MILLIS;
    for (;;) {
      const stuck = from.findIndex((before, client) => {
        const now = this.ledger.progressOf(client);
        const steps = [now.received - before.received, now.acknowledged - before.acknowledged];
        return Math.min(...steps) < HEALTHY_MESSAGES;
      });
      if (stuck < 0) return;
      if (performance.now() > deadline) throw new Error(`client ${stuck} got nothing through any more`);
      await delay(POLL_MILLIS);
    }
  }

  /** Bytes in use after a garbage collection: of the server, and of the client that is never killed. */
  async measureMemory(): Promise<{ readonly server: number; readonly client: number }> {
    const veteran = this.clients[VETERAN] as Actor;
    const reports = [this.server.next('memory'), veteran.next('memory')];
    for (const actor of [this.server, veteran]) actor.order({ order: 'measure', clients: CLIENTS });
    const [server, client] = await Promise.all(reports);
    return { server: server?.heapBytes ?? 0, client: client?.heapBytes ?? 0 };
  }

  /** Lets everything come to its end; returns which objects were left over, and how many. */
  async finish(): Promise<Readonly<Record<string, number>>> {
    const left: Record<string, number> = {};
    const finishOne = async (actor: Actor): Promise<void> => {
      const { role, client } = actor.setup;
      const done = actor.next('done');
      actor.order({ order: 'finish' });
      const { leaked } = await within(done, `the ${role} ${client} did not come to its end`);
      for (const [kind, count] of Object.entries<number>({ ...leaked })) {
        if (count > 0) left[`${kind} of ${role} ${client}`] = count;
      }
      await within(actor.gone, `the ${role} ${client} has freed everything, but its process does not end`);
    };
    await Promise.all(this.clients.map(finishOne));
    await finishOne(this.server);
    await this.close();
    return left;
  }

  /** Ends what is left, also after a failure. */
  async close(): Promise<void> {
    for (const actor of [...this.clients, this.server]) if (actor.isAlive) actor.signal('SIGKILL');
    for (const proxy of this.proxies.splice(0)) await proxy[Symbol.asyncDispose]();
  }

  /** Two kills of one process at a time would start two in its place, of which one would be forgotten. */
  #replaceOneByOne(replace: () => Promise<void>): Promise<void> {
    const replaced = this.#replacing.then(replace);
    this.#replacing = replaced.catch(() => undefined);
    return replaced;
  }

  #setup(role: 'server' | 'client', client: number) {
    return { role, client, certificates: this.certificates, seed: this.seed, device: this.#device };
  }

  #onReport(side: 'server' | 'client', report: Report): void {
    if (report.event === 'progress') this.ledger.note(side, report.progress);
  }
}

/** @throws Error with this message when `promise` takes longer than a connection may take to end or to recover. */
async function within<Value>(promise: Promise<Value>, message: string): Promise<Value> {
  const cancel = new AbortController();
  const tooLate = delay(STUCK_MILLIS, undefined, { signal: cancel.signal }).then(() => {
    throw new Error(`${message} within ${STUCK_MILLIS / 1000} s`);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    cancel.abort();
    tooLate.catch(() => undefined);
  }
}
