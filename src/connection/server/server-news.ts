/**
 * What a server tells, and whom: its program by events, watchers and loggers by diagnostics, and the audit by records. Each piece of
 * news has one place here, so that nobody hears of less than the others.
 */
import type { EventEmitter } from 'node:events';
import { shownIdentity } from '../../session/peer-identity.js';
import type { TlsRefusal } from '../../session/tls-refusal.js';
import { type RdmaError, thrownText } from '../../verbs/errors.js';
import { announce } from '../../verbs/listeners.js';
import { refusalKindOf } from '../../verbs/refusal-kind.js';
import type { ConnectionStep } from '../common/steps.js';
import type { RendezvousPeer } from '../lifeline/rendezvous.js';
import type { ListenOptions } from '../options/listen-options.js';
import type { Connection } from '../program/connection.js';
import { Diagnostics } from '../program/diagnostics.js';
import type { OnMistake } from '../program/handler.js';
import type { ConnectionNote } from '../program/operation-watch.js';
import { tellServerWatches } from '../program/server-watch.js';
import type { WorkerLoss } from '../program/serving-host.js';
import type { ThrottledIdentity } from '../rates/identity-rates.js';
import type { Admitted } from './admission.js';
import { Audit } from './audit.js';
import type { ServerEvents } from './server-events.js';

export class ServerNews {
  readonly onStep: (step: ConnectionStep) => void;
  readonly #server: EventEmitter<ServerEvents>;
  readonly #audit: Audit;
  readonly #diagnostics: Diagnostics;

  /** `address`: where the server listens, `host:port`. */
  constructor(
    server: EventEmitter<ServerEvents>,
    address: () => string,
    options: Pick<ListenOptions, 'logger' | 'onStep' | 'onAudit'>,
  ) {
    this.#server = server;
    this.#audit = new Audit(options.onAudit);
    this.#diagnostics = new Diagnostics({ side: 'server', server: address, logger: options.logger });
    this.onStep = this.#diagnostics.steps(options.onStep);
  }

  /** Who operations of a connection are about. */
  note(connection: number): ConnectionNote {
    return this.#diagnostics.note(connection);
  }

  /** A peer that TLS, or what comes before it, has refused. */
  refused(refusal: TlsRefusal): void {
    this.#refused(refusal, null);
  }

  /** A peer behind TLS that became no connection because of `error`. `isClosing`: the server is. */
  turnedAway(peer: RendezvousPeer, error: RdmaError, isClosing: boolean): void {
    const { remoteAddress: address, remotePort: port } = peer;
    // A session that nobody but this server ended in order.
    const isOurs = error.code === 'ERR_RDMA_CLOSED' && isClosing;
    const kind = isOurs ? 'closing' : refusalKindOf(error);
    this.#refused({ address, port, kind, reason: error.message, cause: error }, peer);
  }

  /** A client has its connection. */
  connected(connection: Connection, admitted: Admitted): void {
    this.#audit.follow(connection, admitted);
    this.#diagnostics.admitted(connection);
    this.#diagnostics.follow(connection);
  }

  /** The program may have it now. */
  handedOut(connection: Connection): void {
    tellServerWatches(this.#server, (watch) => watch.onConnection?.(connection));
    announce(() => this.#server.emit('connection', connection));
  }

  disconnected(connection: Connection, error: RdmaError | undefined): void {
    tellServerWatches(this.#server, (watch) => watch.onDisconnection?.(connection, error));
    announce(() => this.#server.emit('disconnection', connection, error));
  }

  throttled(held: ThrottledIdentity): void {
    const { address, peer, fromClient, toClient } = held;
    this.#diagnostics.throttled(held);
    const event = { event: 'throttled', fromClient, toClient } as const;
    this.#audit.record({ connection: null, address, peer: shownIdentity(peer) }, event);
  }

  workerLost(loss: WorkerLoss): void {
    this.#diagnostics.workerLost(loss);
    if (announce(() => this.#server.emit('workerLost', loss))) return;
    const { error, connections } = loss;
    process.emitWarning(`${error.message}; ${connections} connections ended with it`, {
      type: 'RdmaWorkerWarning',
      code: 'RDMA_WORKER_LOST',
      detail: 'listen to workerLost of the server to deal with this',
    });
  }

  readonly onMistake: OnMistake = (connection, error) => {
    this.#diagnostics.handlerFailed(connection, error);
    tellServerWatches(this.#server, (watch) => watch.onHandlerError?.());
    if (announce(() => this.#server.emit('handlerError', connection, error))) return;
    const detail = error instanceof Error ? (error.stack ?? error.message) : thrownText(error);
    process.emitWarning(`the handler of connection ${connection.id} failed: ${detail}`, {
      type: 'RdmaHandlerWarning',
      code: 'RDMA_HANDLER_ERROR',
      detail: 'listen to handlerError of the server to deal with this',
    });
  };

  #refused(refusal: TlsRefusal, peer: RendezvousPeer | null): void {
    const { address, port, kind, reason } = refusal;
    this.#diagnostics.refused(address, port, kind, reason);
    tellServerWatches(this.#server, (watch) => watch.onRefused?.(refusal));
    announce(() => this.#server.emit('refused', refusal));
    const subject = { connection: null, address, peer: peer && shownIdentity(peer.peer) };
    this.#audit.record(subject, { event: 'refused', kind, reason });
  }
}
