/**
 * The metrics of a server in the Prometheus format. They are read when somebody asks for them: the data path does not
 * know that it is measured.
 *
 * Invariant: labels have few values, and none of them comes from a peer.
 */
import type { Counter, Gauge, Registry } from 'prom-client';
import type { Connection } from '../connection/program/connection.js';
import { watchServer } from '../connection/program/server-watch.js';
import type { ThrottledCounts } from '../connection/rates/shared-rates.js';
import type { Server } from '../connection/server/server.js';
import { hostPort } from '../verbs/host-port.js';
import { REFUSAL_KINDS } from '../verbs/refusal-kind.js';
import { optionalPackage } from './optional-package.js';
import { watch } from './watching.js';

const PREFIX = 'queuepair_';
const DROP = 'drop_';

/** Counters of the device that have metrics of their own. */
const DEVICE_TRAFFIC = {
  rxPackets: ['packets', 'in'],
  txPackets: ['packets', 'out'],
  rxBytes: ['bytes', 'in'],
  txBytes: ['bytes', 'out'],
} as const;

interface Traffic {
  messagesIn: number;
  messagesOut: number;
  bytesIn: number;
  bytesOut: number;
  recoveries: number;
}

/** What is taken of prom-client's Registry: the program's own copy of it is as good as any. */
export interface MetricsRegister {
  readonly contentType: string;
  metrics(): Promise<string>;
  registerMetric(metric: never): void;
}

export interface ServerMetricsOptions {
  /** Where the metrics go. Default: a register of their own, with the metrics of the process. */
  readonly register?: MetricsRegister;
}

type PromClient = typeof import('prom-client');

/** Upper bounds of latencies in seconds: a loopback's microseconds to a recovery. */
const BUCKETS = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, 0.25, 1, 5];

/**
 * Metrics of a server for Prometheus, in the program's own register or in one of their own; docs/observability.md has the list.
 *
 * @throws RdmaError ERR_RDMA_NOT_SUPPORTED where `prom-client` is not installed.
 */
export async function serverMetrics(
  server: Server,
  { register }: ServerMetricsOptions = {},
): Promise<ServerMetrics> {
  // Its exports are the default one for bundlers as well as for Node.js.
  const load = async (): Promise<PromClient> => (await import('prom-client')).default;
  const prom = await optionalPackage('prom-client', 'serverMetrics', load);
  const registry = (register as unknown as Registry | undefined) ?? new prom.Registry();
  if (register === undefined) prom.collectDefaultMetrics({ register: registry });
  return new ServerMetrics(server, prom, registry);
}

/** Made by `serverMetrics`. */
export class ServerMetrics {
  readonly #prom: PromClient;
  readonly #registry: Registry;
  readonly #server: Server;
  readonly #stop: () => void;
  /** Of connections that have ended. */
  readonly #ended: Traffic = { messagesIn: 0, messagesOut: 0, bytesIn: 0, bytesOut: 0, recoveries: 0 };

  /** As of `stop`. */
  #last: Traffic | undefined;

  constructor(server: Server, prom: PromClient, registry: Registry) {
    this.#server = server;
    this.#prom = prom;
    this.#registry = registry;
    const stopCounting = this.#countEvents();
    this.#readClients();
    this.#readRates();
    this.#readDevice();
    const stopTiming = this.#timeOperations();
    this.#stop = () => {
      this.#last ??= this.#traffic();
      stopCounting();
      stopTiming();
    };
  }

  /** Counts and times nothing more, and leaves nothing at the server; what was counted stays readable. */
  stop(): void {
    this.#stop();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #countEvents(): () => void {
    const accepted = this.#counter('connections_accepted_total', 'Clients that became connections');
    const ended = this.#counter(
      'connections_ended_total',
      'Connections that ended, by "orderly" or the code of the error',
      ['outcome'],
    );
    const refused = this.#counter('refusals_total', 'Peers that never became a connection', ['kind']);
    const failed = this.#counter('handler_errors_total', 'Handlers that threw');
    ended.inc({ outcome: 'orderly' }, 0);
    for (const kind of REFUSAL_KINDS) refused.inc({ kind }, 0);
    return watchServer(this.#server, {
      onConnection: () => accepted.inc(),
      onDisconnection: (connection, error) => {
        ended.inc({ outcome: error?.code ?? 'orderly' });
        add(this.#ended, connection);
      },
      onRefused: ({ kind }) => refused.inc({ kind }),
      onHandlerError: () => failed.inc(),
    });
  }

  #readClients(): void {
    const server = this.#server;
    this.#gauge('connections', 'Connections that are open', [], (gauge) =>
      gauge.set(server.connections.size),
    );
    this.#gauge('slots', 'Clients that may be there at a time', [], (gauge) => gauge.set(server.slots.total));
    this.#gauge('slots_used', 'Clients that are there', [], (gauge) => gauge.set(server.slots.used));
    this.#gauge('objects', 'Open objects by kind; none when no client is there', ['kind'], (gauge) => {
      for (const [kind, count] of Object.entries(server.census())) gauge.set({ kind }, count);
    });
    const traffic: [string, string, keyof Traffic, keyof Traffic][] = [
      ['messages_total', 'Messages', 'messagesIn', 'messagesOut'],
      ['message_bytes_total', 'Bytes of messages', 'bytesIn', 'bytesOut'],
    ];
    for (const [name, help, incoming, outgoing] of traffic) {
      this.#counter(name, `${help}, by direction`, ['direction'], (counter) => {
        const total = this.#traffic();
        counter.inc({ direction: 'in' }, total[incoming]);
        counter.inc({ direction: 'out' }, total[outgoing]);
      });
    }
    this.#counter('recoveries_total', 'Connections that came up again after a failure', [], (counter) =>
      counter.inc(this.#traffic().recoveries),
    );
  }

  /** Never by identity: those are as many as there are clients. */
  #readRates(): void {
    const server = this.#server;
    const waits: [string, string, (held: ThrottledCounts) => number][] = [
      ['throttled_total', 'How often identities had to wait', ({ times }) => times],
      ['throttled_seconds_total', 'How long identities had to wait', ({ millis }) => millis / 1000],
    ];
    for (const [name, help, of] of waits)
      this.#counter(name, `${help}, because their rates were used up`, ['direction'], (counter) => {
        const { fromClient, toClient } = server.rates;
        counter.inc({ direction: 'in' }, of(fromClient));
        counter.inc({ direction: 'out' }, of(toClient));
      });
    this.#gauge('rated_identities', 'Identities whose rates are counted', [], (gauge) =>
      gauge.set(server.rates.identities),
    );
  }

  #readDevice(): void {
    const server = this.#server;
    for (const unit of ['packets', 'bytes'] as const) {
      this.#counter(`device_${unit}_total`, `RoCE ${unit}, by direction`, ['direction'], (counter) => {
        const counters = server.counters();
        for (const [name, [ownUnit, direction]] of Object.entries(DEVICE_TRAFFIC)) {
          if (ownUnit === unit) counter.inc({ direction }, counters[name] ?? 0);
        }
      });
    }
    this.#counter('device_drops_total', 'Datagrams without effect, by reason', ['reason'], (counter) => {
      for (const [name, count] of Object.entries(server.counters())) {
        if (name.startsWith(DROP)) counter.inc({ reason: name.slice(DROP.length) }, count);
      }
    });
    this.#counter('device_events_total', 'Everything else that the device counts', ['event'], (counter) => {
      for (const [event, count] of Object.entries(server.counters())) {
        if (!event.startsWith(DROP) && !(event in DEVICE_TRAFFIC)) counter.inc({ event }, count);
      }
    });
  }

  #timeOperations(): () => void {
    const { host, port } = this.#server.address;
    const own = hostPort(host, port);
    const histogram = new this.#prom.Histogram({
      name: `${PREFIX}operation_seconds`,
      help: 'How long sends, reads and writes of this server took until the client had acknowledged them',
      labelNames: ['kind'],
      buckets: BUCKETS,
      registers: [this.#registry],
    });
    return watch('queuepair:operation', ({ side, server, kind, durationMillis, error }) => {
      if (side === 'server' && server === own && error === null)
        histogram.observe({ kind }, durationMillis / 1000);
    });
  }

  #traffic(): Traffic {
    if (this.#last !== undefined) return this.#last;
    const total = { ...this.#ended };
    for (const connection of this.#server.connections) add(total, connection);
    return total;
  }

  /** With `read`, the counter is one that something else keeps. */
  #counter<Label extends string>(
    name: string,
    help: string,
    labelNames: Label[] = [],
    read?: (counter: Counter<Label>) => void,
  ): Counter<Label> {
    return new this.#prom.Counter({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.#registry],
      ...(read === undefined
        ? {}
        : {
            collect() {
              this.reset();
              read(this);
            },
          }),
    });
  }

  #gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    read: (gauge: Gauge<Label>) => void,
  ): void {
    new this.#prom.Gauge({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        read(this);
      },
    });
  }
}

function add(total: Traffic, { statistics }: Connection): void {
  total.messagesIn += statistics.messagesReceived;
  total.messagesOut += statistics.messagesSent;
  total.bytesIn += statistics.bytesReceived;
  total.bytesOut += statistics.bytesSent;
  total.recoveries += statistics.recoveries;
}
