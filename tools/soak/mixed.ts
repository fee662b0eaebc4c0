/**
 * The mixed load of a soak: messages and streams over connections that last, connections that come and go beside them, and
 * faults all the while. What is sent comes back, in order and as it was, or counts as lost; what is left at the end leaked.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { DurationSample } from '../../src/cli/bench/distribution.js';
import { connect } from '../../src/connection/client/client.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { insidesOf } from '../../src/connection/program/insides.js';
import { openDevice } from '../../src/open-device.js';
import type { Device } from '../../src/verbs/device.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { Random } from '../../testkit/random.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const MIB = 1024 * 1024;
const LASTING = 6;
const FAULT_MILLIS = 1500;
const LONGEST_MESSAGE = 20_000;
const LONGEST_STREAM = 200_000;
/** Of the whole time: compilers and caches are warm then, and what grows after it grows for ever. */
const WARM_SHARE = 0.3;
/** What one message may take, faults included. */
const LATE_MILLIS = 30_000;

export interface MixedOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly isSealed: boolean;
  readonly certificates: string;
}

export interface MixedResult {
  /** What the process that grew most has in use more at the end than when it was warm. */
  readonly growthMiB: number;
  readonly lost: number;
  /** Verbs objects, connections and sessions of both ends that are left when all has been closed. */
  readonly leaked: number;
  readonly minutes: number;
  readonly messages: number;
  readonly streams: number;
  readonly comers: number;
  /** Comers that a fault met before both ends were up. */
  readonly turnedAway: number;
  readonly faults: number;
  readonly recoveries: number;
  /** Of messages' echoes, before and after the middle. */
  readonly p99Millis: { readonly first: number; readonly second: number };
}

export async function soakMixed(options: MixedOptions, tell: (text: string) => void): Promise<MixedResult> {
  const mirror = await Mirror.start(options);
  const tcp = await TcpCutter.to({ host: '127.0.0.1', port: mirror.port });
  const device = await openDevice('soft:127.0.0.1?port=0');
  const load = new Load(options, device, tcp);
  const endAt = performance.now() + options.minutes * 60_000;
  const running = load.run(endAt);
  await sleep(options.minutes * 60_000 * WARM_SHARE);
  const warm = await memoryOf(mirror);
  for (let left = endAt - performance.now(); left > 0; left = endAt - performance.now()) {
    tell(`${Math.ceil(left / 1000)} s left, ${load.messages} messages, ${load.lost} lost`);
    await sleep(Math.min(left, 10_000));
  }
  await running;
  const last = await memoryOf(mirror);
  const open = Object.values(device.census()).reduce((sum, count) => sum + count, 0);
  await device.close({ force: true });
  const leaked = open + (await mirror.leftOver());
  await mirror.leave();
  await tcp[Symbol.asyncDispose]();
  const growth = Math.max(last.here - warm.here, last.mirror - warm.mirror);
  return {
    growthMiB: Number((Math.max(0, growth) / MIB).toFixed(1)),
    lost: load.lost,
    leaked,
    minutes: options.minutes,
    ...load.counts,
  };
}

class Load {
  messages = 0;
  lost = 0;
  #streams = 0;
  #comers = 0;
  #turnedAway = 0;
  #faults = 0;
  #recoveries = 0;
  readonly #first = new DurationSample();
  readonly #second = new DurationSample();
  readonly #random: Random;
  readonly #options: MixedOptions;
  readonly #device: Device;
  readonly #tcp: TcpCutter;

  constructor(options: MixedOptions, device: Device, tcp: TcpCutter) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#device = device;
    this.#tcp = tcp;
  }

  get counts() {
    const p99Millis = {
      first: Number(this.#first.p99Millis.toFixed(1)),
      second: Number(this.#second.p99Millis.toFixed(1)),
    };
    const [streams, comers, turnedAway, faults, recoveries] = [
      this.#streams,
      this.#comers,
      this.#turnedAway,
      this.#faults,
      this.#recoveries,
    ];
    return { messages: this.messages, streams, comers, turnedAway, faults, recoveries, p99Millis };
  }

  /** Resolves when all connections are closed. */
  async run(endAt: number): Promise<void> {
    const middle = (performance.now() + endAt) / 2;
    const lasting = await Promise.all(Array.from({ length: LASTING }, () => this.#connect()));
    for (const connection of lasting) connection.on('reconnected', () => void this.#recoveries++);
    const isOn = (): boolean => performance.now() < endAt;
    const jobs = lasting.flatMap((connection) => [
      this.#repeat(isOn, () => this.#echo(connection, middle)),
      this.#repeat(isOn, () => this.#mirror(connection)),
    ]);
    await Promise.all([...jobs, this.#repeat(isOn, () => this.#comeAndGo()), this.#break(isOn, lasting)]);
    await Promise.all(lasting.map((connection) => connection.close()));
  }

  async #connect(): Promise<Connection> {
    const { caPem } = await loadOrCreateDevCertificates(this.#options.certificates);
    return await connect({
      port: this.#tcp.port,
      ca: caPem,
      device: this.#device,
      recoveryMillis: LATE_MILLIS,
      ...{ receiveSlots: 16, slotBytes: 4096 },
    });
  }

  async #repeat(isOn: () => boolean, job: () => Promise<void>): Promise<void> {
    while (isOn()) {
      try {
        await job();
      } catch (error) {
        this.lost++;
        process.stderr.write(`lost: ${error instanceof Error ? error.message : String(error)}\n`);
        await sleep(100);
      }
    }
  }

  async #echo(connection: Connection, middle: number): Promise<void> {
    const data = this.#bytes(LONGEST_MESSAGE);
    const startedAt = performance.now();
    if (!data.equals(await echoOf(connection, data)))
      throw new Error(`a message of ${data.length} bytes came back as another`);
    this.messages++;
    const now = performance.now();
    (now < middle ? this.#first : this.#second).add(now - startedAt);
  }

  async #mirror(connection: Connection): Promise<void> {
    const data = this.#bytes(LONGEST_STREAM);
    const stream = connection.openStream();
    stream.end(data);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    if (!data.equals(Buffer.concat(chunks))) throw new Error('a stream came back with other bytes');
    this.#streams++;
  }

  /** One that a fault meets before it is up does not come, and is told so. That is no loss, but is counted. */
  async #comeAndGo(): Promise<void> {
    await sleep(50);
    const connection = await this.#connect().catch(() => undefined);
    if (connection === undefined) this.#turnedAway++;
    else await this.#comer(connection);
  }

  async #comer(connection: Connection): Promise<void> {
    const data = this.#bytes(LONGEST_MESSAGE);
    if (!data.equals(await echoOf(connection, data))) throw new Error('a comer got other bytes');
    await connection.close();
    this.#comers++;
  }

  /** A fault comes when all that the last one met are back: faster ones would show how fast this machine recovers. */
  async #break(isOn: () => boolean, lasting: readonly Connection[]): Promise<void> {
    for (; isOn(); await sleep(FAULT_MILLIS)) {
      this.#faults++;
      const isCut = this.#random.int(0, 1) === 0;
      const met = isCut ? lasting : [this.#random.pick(lasting)];
      const back = Promise.all(met.map(recoveryOf)).catch((error: Error) => {
        this.lost++;
        process.stderr.write(`lost: ${error.message}\n`);
      });
      if (isCut) this.#tcp.cut();
      else for (const connection of met) await breakQp(connection);
      await Promise.race([back, sleep(LATE_MILLIS, undefined, { ref: false })]);
    }
  }

  #bytes(longest: number): Buffer {
    const length = this.#random.int(1, longest);
    return Buffer.alloc(length, this.#random.int(0, 255)).fill(this.#random.int(0, 255), length >> 1);
  }
}

/** What the mirror sends back for `data`. */
async function echoOf(connection: Connection, data: Uint8Array): Promise<Uint8Array> {
  const answer = connection.receive({ timeoutMillis: LATE_MILLIS });
  const [message] = await Promise.all([answer, connection.send(data)]);
  return message?.data ?? new Uint8Array();
}

/** One that has ended has no queue pair to break. */
async function breakQp(connection: Connection): Promise<void> {
  const { dataPath } = insidesOf(connection);
  await dataPath.resources.qp.modify({ state: QpState.ERR }).catch(() => undefined);
}

class Mirror {
  readonly port: number;
  readonly #child: ChildProcess;

  static async start({ certificates, isSealed }: MixedOptions): Promise<Mirror> {
    const file = fileURLToPath(new URL('./mirror.js', import.meta.url));
    const child = fork(file, [certificates, isSealed ? 'sealed' : 'clear'], { execArgv: ['--expose-gc'] });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new Mirror(child, port);
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  async rss(): Promise<number> {
    return ((await this.#ask('measure')) as { rss: number }).rss;
  }

  async leftOver(): Promise<number> {
    return ((await this.#ask('count')) as { open: number }).open;
  }

  async leave(): Promise<void> {
    this.#child.send('leave');
    await once(this.#child, 'exit');
  }

  async #ask(order: string): Promise<unknown> {
    const answered = once(this.#child, 'message');
    this.#child.send(order);
    return (await answered)[0];
  }
}

async function memoryOf(mirror: Mirror): Promise<{ here: number; mirror: number }> {
  globalThis.gc?.();
  return { here: process.memoryUsage.rss(), mirror: await mirror.rss() };
}
