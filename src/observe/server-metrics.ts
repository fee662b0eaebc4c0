/**
 * The metrics of a server in the Prometheus format. They are read when somebody asks for them: the data path does not
 * know that it is measured.
 *
 * Invariant: labels have few values, and none of them comes from a peer.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Connection } from '../connection/connection.js';
import type { Server } from '../connection/server.js';
import { REFUSAL_KINDS } from '../verbs/refusal-kind.js';

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

export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #server: Server;
  /** Of connections that have ended. */
  readonly #ended: Traffic = { messagesIn: 0, messagesOut: 0, bytesIn: 0, bytesOut: 0, recoveries: 0 };

  constructor(server: Server) {
    this.#server = server;
    this.#countEvents();
    this.#readClients();
    this.#readDevice();
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #countEvents(): void {
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
    this.#server.on('connection', () => accepted.inc());
    this.#server.on('disconnection', (connection, error) => {
      ended.inc({ outcome: error?.code ?? 'orderly' });
      add(this.#ended, connection);
    });
    this.#server.on('refused', ({ kind }) => refused.inc({ kind }));
    this.#server.on('handlerError', () => failed.inc());
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

  #readDevice(): void {
    const { device } = this.#server;
    for (const unit of ['packets', 'bytes'] as const) {
      this.#counter(`device_${unit}_total`, `RoCE ${unit}, by direction`, ['direction'], (counter) => {
        const counters = device.counters();
        for (const [name, [ownUnit, direction]] of Object.entries(DEVICE_TRAFFIC)) {
          if (ownUnit === unit) counter.inc({ direction }, counters[name] ?? 0);
        }
      });
    }
    this.#counter('device_drops_total', 'Datagrams without effect, by reason', ['reason'], (counter) => {
      for (const [name, count] of Object.entries(device.counters())) {
        if (name.startsWith(DROP)) counter.inc({ reason: name.slice(DROP.length) }, count);
      }
    });
    this.#counter('device_events_total', 'Everything else that the device counts', ['event'], (counter) => {
      for (const [event, count] of Object.entries(device.counters())) {
        if (!event.startsWith(DROP) && !(event in DEVICE_TRAFFIC)) counter.inc({ event }, count);
      }
    });
  }

  #traffic(): Traffic {
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
    return new Counter({
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
    new Gauge({
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
