/**
 * `npm run chaos -- --workers`: a server with workers and clients that give orders, while one worker after the other dies. At the
 * end every order has an answer, no message was taken twice, and nothing that a client was told was untrue.
 */
import { BroadcastChannel } from 'node:worker_threads';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { connect } from '../../../src/connection/client/client.js';
import { listen, type Server } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { Device } from '../../../src/verbs/device.js';
import { Random } from '../../../testkit/random.js';
import type { ChaosOptions } from '../options.js';
import { ChaosClient, type Judgements } from './client.js';
import { CHANNEL, DEATHS, type DeathOrder, SharedLedger } from './shared-ledger.js';

const WORKERS = 2;
const CLIENTS = 4;
const LONGEST_LIFE_MILLIS = 150;
/** What the processes have to do within it, after a death, on a machine that does other things. */
const PATIENCE_MILLIS = 60_000;
const HANDLER = new URL('./handler.js', import.meta.url);

export interface WorkersOutcome {
  readonly kills: number;
  /** Orders that nobody answered. */
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly leaked: number;
}

export interface WorkersResult {
  readonly outcome: WorkersOutcome;
  readonly details: Judgements & { readonly corrupted: number; readonly struck: Record<string, number> };
  readonly failure: string | undefined;
}

export async function strikeWorkers(options: ChaosOptions, certificates: string): Promise<WorkersResult> {
  const run = await WorkersRun.start(options, certificates);
  return run.play();
}

class WorkersRun {
  readonly #options: ChaosOptions;
  readonly #server: Server;
  readonly #device: Device;
  readonly #ledger: SharedLedger;
  readonly #clients: readonly ChaosClient[];
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #struck: Record<string, number> = {};
  readonly #random: Random;
  readonly #judgements: Judgements = {
    orders: 0,
    answered: 0,
    unknown: 0,
    unsent: 0,
    duplicated: 0,
    untrue: 0,
    damaged: 0,
    connections: 0,
    streamBytes: 0,
  };
  #attempts = 0;
  #deaths = 0;
  #failure: string | undefined;

  static async start(options: ChaosOptions, folder: string): Promise<WorkersRun> {
    const ledger = SharedLedger.create();
    const certificates = await loadOrCreateDevCertificates(folder);
    const { caPem, server } = certificates;
    const name = `soft:127.0.0.1?port=0${options.io === undefined ? '' : `&io=${options.io}`}`;
    const service = await listen({
      ...{ port: 0, cert: server.certPem, key: server.keyPem, clientCa: caPem, device: name },
      workers: WORKERS,
      handler: HANDLER,
      // So few that messages wait to leave: of some nothing has when a worker dies.
      receiveSlots: 4,
      slotBytes: 4096,
      handshakeDeadlineMillis: PATIENCE_MILLIS,
      admission: { maxPerAddress: 100, connectsPerSecond: 1000, burst: 1000 },
    });
    return new WorkersRun(options, service, await openDevice(name), certificates, ledger);
  }

  private constructor(
    options: ChaosOptions,
    server: Server,
    device: Device,
    { caPem, client }: Awaited<ReturnType<typeof loadOrCreateDevCertificates>>,
    ledger: SharedLedger,
  ) {
    this.#options = options;
    this.#server = server;
    this.#device = device;
    this.#ledger = ledger;
    this.#random = new Random(options.seed);
    server.on('workerLost', () => {
      this.#deaths++;
    });
    const target = { port: server.address.port, ca: caPem, cert: client.certPem, key: client.keyPem, device };
    this.#clients = Array.from(
      { length: CLIENTS },
      () =>
        new ChaosClient({
          connect: () => connect({ ...target, handshakeDeadlineMillis: PATIENCE_MILLIS }),
          ledger,
          judgements: this.#judgements,
          random: this.#random.fork(),
          nextAttempt: () => this.#attempts++,
        }),
    );
  }

  async play(): Promise<WorkersResult> {
    const running = Promise.all(this.#clients.map((client) => client.run()));
    try {
      await Promise.race([running, this.#strike()]);
      for (const client of this.#clients) client.stop();
      await within(running, 'not every order was answered');
    } catch (error) {
      this.#failure = (error as Error).message;
      this.#server.abort();
    }
    this.#channel.close();
    await within(this.#server.close(), 'the server did not close').catch((error: Error) => {
      this.#failure ??= error.message;
    });
    return this.#result();
  }

  async #strike(): Promise<void> {
    for (let kill = 1; kill <= this.#options.faults; kill++) {
      await within(this.#untilHealthy(), `clients were not served again after ${kill - 1} deaths`);
      await pause(this.#random.below(LONGEST_LIFE_MILLIS));
      const served = this.#server.workers.filter(({ connections }) => connections > 0);
      const { threadId } = this.#random.pick(served);
      const death = this.#random.pick(DEATHS);
      this.#struck[death] = (this.#struck[death] ?? 0) + 1;
      if (threadId !== null) this.#channel.postMessage({ threadId, death } satisfies DeathOrder);
      await within(
        until(() => this.#deaths >= kill),
        `the worker did not die of "${death}"`,
      );
      process.stderr.write(
        `\r${kill} of ${this.#options.faults} deaths, ${this.#judgements.answered} answers `,
      );
    }
    process.stderr.write('\n');
  }

  /** All workers are there, and every client has had an answer since the death before. */
  async #untilHealthy(): Promise<void> {
    await until(() => this.#server.workers.every(({ device }) => device !== null));
    const before = this.#judgements.answered;
    await until(
      () => this.#server.connections.size === CLIENTS && this.#judgements.answered >= before + CLIENTS,
    );
  }

  async #result(): Promise<WorkersResult> {
    const { duplicated, damaged, untrue } = this.#judgements;
    const lost = this.#clients.reduce((sum, { unanswered }) => sum + unanswered, 0);
    const left = { ...this.#server.census(), ...prefixed(this.#device.census()) };
    await this.#device.close({ force: true });
    const leaked = Object.values(left).reduce((sum, count) => sum + count, 0);
    const { reordered, corrupted } = this.#ledger;
    if (untrue > 0) this.#failure ??= `${untrue} messages were taken though nothing of them had left`;
    if (damaged + corrupted > 0)
      this.#failure ??= `${damaged + corrupted} times bytes or answers were not those that were sent`;
    return {
      outcome: { kills: this.#deaths, lost, duplicated, reordered, leaked },
      details: { ...this.#judgements, corrupted, struck: this.#struck },
      failure: this.#failure,
    };
  }
}

const prefixed = (census: object): Record<string, number> =>
  Object.fromEntries(Object.entries(census).map(([kind, count]) => [`client.${kind}`, count as number]));

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await pause(5);
}

/** @throws Error with `what` when it takes too long. */
async function within<T>(running: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(what)), PATIENCE_MILLIS);
  });
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
