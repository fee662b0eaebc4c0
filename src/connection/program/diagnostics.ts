/**
 * What is told of servers and connections to those who watch: channels of node:diagnostics_channel, the program's logger,
 * and standard error for `NODE_DEBUG=queuepair`. docs/observability.md promises names and fields.
 *
 * Invariants: messages are plain data; no PSN, key or payload is in any of them. Nothing is made for a channel to which nobody
 * has subscribed. A watcher that throws does not reach the connection: the process hears of it, as of a subscriber of a channel.
 */

import { type Channel, channel } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import { type PeerIdentity, shownName } from '../../session/peer-identity.js';
import { type RdmaError, thrownText } from '../../verbs/errors.js';
import { hostPort } from '../../verbs/host-port.js';
import type { RefusalKind } from '../../verbs/refusal-kind.js';
import type { Logger } from '../common/logger.js';
import type { ConnectionStep, StepName } from '../common/steps.js';
import type { Throttled, ThrottledIdentity } from '../rates/identity-rates.js';
import type { Connection, ConnectionStatistics } from './connection.js';
import { type ConnectionWatch, watchConnection } from './connection-watch.js';
import { type ConnectionNote, type ErrorNote, errorNote, noteText } from './operation-watch.js';
import type { WorkerLoss } from './serving-host.js';

export interface ConnectNote extends ConnectionNote {
  /** In milliseconds of `performance.now()`. */
  readonly startedAtMillis: number;
  readonly durationMillis: number;
  readonly encrypted: boolean;
  readonly error: ErrorNote | null;
}

export interface AdmittedNote extends ConnectionNote {
  /** The peer's end of the session: `address:port`. */
  readonly remote: string;
  /** Subject of the peer's certificate. */
  readonly peer: string | null;
  readonly encrypted: boolean;
}

export interface RefusedNote {
  readonly server: string;
  readonly remote: string;
  readonly kind: RefusalKind;
  readonly reason: string;
}

/** An identity had to wait, because its `rates` were used up. */
export interface ThrottledNote extends Throttled {
  readonly server: string;
  readonly address: string;
  /** Subject of its certificate. */
  readonly peer: string | null;
}

export interface StepNote extends ConnectionNote {
  readonly step: StepName;
  /** Since the connection began. */
  readonly atMillis: number;
}

export interface RecoveryNote extends ConnectionNote {
  readonly phase: 'began' | 'ended';
  /** Of the failure; `null` when the recovery ended. */
  readonly cause: ErrorNote | null;
  /** Since it began. */
  readonly durationMillis: number;
}

export interface ClosedNote extends ConnectionNote {
  /** `null` after an orderly end. */
  readonly error: ErrorNote | null;
  readonly openMillis: number;
  readonly statistics: ConnectionStatistics;
}

/** Kept here: the registry of Node.js keeps channels only while somebody times them. */
const channels = {
  connect: channel('queuepair:connect'),
  admitted: channel('queuepair:admitted'),
  refused: channel('queuepair:refused'),
  throttled: channel('queuepair:throttled'),
  step: channel('queuepair:step'),
  recovery: channel('queuepair:recovery'),
  closed: channel('queuepair:closed'),
} as const satisfies Record<string, Channel>;

type Level = keyof Logger;

const debug = debuglog('queuepair');

export interface DiagnosticsOptions {
  readonly side: 'server' | 'client';
  readonly server: () => string;
  readonly logger: Logger | undefined;
}

/** Of one server, or of one call of `connect`. */
export class Diagnostics {
  readonly #options: DiagnosticsOptions;

  constructor(options: DiagnosticsOptions) {
    this.#options = options;
  }

  note(connection: number): ConnectionNote {
    return { side: this.#options.side, server: this.#options.server(), connection };
  }

  /** For the steps of connections: `listener` is the program's. */
  steps(listener: ((step: ConnectionStep) => void) | undefined): (step: ConnectionStep) => void {
    return (step) => {
      const { connection, name, atMillis } = step;
      this.#tell('debug', channels.step, `connection ${connection}: ${name}`, () => ({
        ...this.note(connection),
        step: name,
        atMillis,
      }));
      listener?.(step);
    };
  }

  /** `connect` has come to its end, with `error` or a connection. */
  connected(id: number, startedAtMillis: number, outcome: Pick<Connection, 'isEncrypted'> | RdmaError): void {
    const failed = 'code' in outcome;
    const text = failed
      ? `could not connect to ${this.#options.server()}`
      : `connection ${id} to ${this.#options.server()} is up`;
    this.#tell(failed ? 'warn' : 'info', channels.connect, text, () => ({
      ...this.note(id),
      startedAtMillis,
      durationMillis: performance.now() - startedAtMillis,
      encrypted: !failed && outcome.isEncrypted,
      error: failed ? errorNote(outcome) : null,
    }));
  }

  /** A client of a server has got its connection. */
  admitted({ id, remoteAddress, remotePort, peer, isEncrypted }: Connection): void {
    const remote = hostPort(remoteAddress, remotePort);
    this.#tell('info', channels.admitted, `connection ${id} of ${remote} is up`, () => ({
      ...this.note(id),
      remote,
      peer: nameOf(peer),
      encrypted: isEncrypted,
    }));
  }

  refused(address: string, port: number, kind: RefusalKind, reason: string): void {
    this.#tell('warn', channels.refused, `refused ${hostPort(address, port)}: ${kind}`, () => ({
      server: this.#options.server(),
      remote: hostPort(address, port),
      kind,
      reason: noteText(reason),
    }));
  }

  throttled({ address, peer, fromClient, toClient }: ThrottledIdentity): void {
    const who = nameOf(peer) ?? address;
    this.#tell('warn', channels.throttled, `${who} had to wait: its rates were used up`, () => ({
      server: this.#options.server(),
      address,
      peer: nameOf(peer),
      fromClient,
      toClient,
    }));
  }

  handlerFailed({ id }: Connection, error: unknown): void {
    const message = thrownText(error);
    this.#log('error', `the handler of connection ${id} failed`, () => ({ ...this.note(id), message }));
  }

  workerLost({ worker, error, connections }: WorkerLoss): void {
    this.#log('error', `worker ${worker} has died`, () => ({
      server: this.#options.server(),
      worker,
      connections,
      message: noteText(error.message),
    }));
  }

  /** Tells of recoveries and of the end. */
  follow(connection: Connection): void {
    // Not by its events: programs may remove every listener.
    watchConnection(connection, new Followed(this, connection));
  }

  closed({ id, statistics }: Connection, error: RdmaError | undefined, openMillis: number): void {
    const text = error === undefined ? `connection ${id} ended in order` : `connection ${id} was lost`;
    this.#tell(error === undefined ? 'info' : 'warn', channels.closed, text, () => ({
      ...this.note(id),
      error: error === undefined ? null : errorNote(error),
      openMillis,
      statistics,
    }));
  }

  recovery(
    level: Level,
    id: number,
    phase: RecoveryNote['phase'],
    durationMillis: number,
    cause: ErrorNote | null,
  ): void {
    const text = phase === 'began' ? `connection ${id} failed and recovers` : `connection ${id} is up again`;
    this.#tell(level, channels.recovery, text, () => ({ ...this.note(id), phase, cause, durationMillis }));
  }

  #tell(level: Level, to: Channel, text: string, message: () => object): void {
    if (to.hasSubscribers) to.publish(message());
    this.#log(level, text, message);
  }

  #log(level: Level, text: string, fields: () => object): void {
    if (debug.enabled) debug('%s %s: %s', this.#options.side, this.#options.server(), text);
    const { logger } = this.#options;
    if (logger === undefined) return;
    try {
      logger[level](fields(), text);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }
}

/** One connection, from when it was up. */
class Followed implements ConnectionWatch {
  readonly #diagnostics: Diagnostics;
  readonly #connection: Connection;
  readonly #openedAt = performance.now();
  #beganAt = 0;

  constructor(diagnostics: Diagnostics, connection: Connection) {
    this.#diagnostics = diagnostics;
    this.#connection = connection;
  }

  onReconnecting(cause: RdmaError): void {
    this.#beganAt = performance.now();
    this.#diagnostics.recovery('warn', this.#connection.id, 'began', 0, errorNote(cause));
  }

  onReconnected(): void {
    const durationMillis = performance.now() - this.#beganAt;
    this.#diagnostics.recovery('info', this.#connection.id, 'ended', durationMillis, null);
  }

  onClosed(error: RdmaError | undefined): void {
    this.#diagnostics.closed(this.#connection, error, performance.now() - this.#openedAt);
  }
}

const nameOf = (peer: PeerIdentity | null): string | null => (peer === null ? null : shownName(peer.subject));
