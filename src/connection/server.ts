/**
 * The server: one listener, one device that all clients share (or one for each worker), and for each client a slot, a session,
 * objects of its own and an asynchronous handler. A client whose session was lost may come back over a new one and finds its slot.
 *
 * Invariants: nothing of the device is allocated before a client is authenticated and has a slot; however a client
 * ends, its objects and its slot are freed and no other client notices; the device stays open until the server closes.
 */
import { EventEmitter } from 'node:events';
import { ProcessHold } from '../process-hold.js';
import type { ControlChannel } from '../session/control-channel.js';
import type { Frame } from '../session/frames.js';
import { shownIdentity } from '../session/peer-identity.js';
import {
  createTlsServer,
  type TlsCertificates,
  type TlsRefusal,
  type TlsServer,
} from '../session/tls-server.js';
import type { Device, DeviceCensus } from '../verbs/device.js';
import { asRdmaError, RdmaError, thrownText } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';
import { announce } from '../verbs/listeners.js';
import { refusalKindOf } from '../verbs/refusal-kind.js';
import { Admission, type Admitted, Refused } from './admission.js';
import { Attendance } from './attendance.js';
import { Audit } from './audit.js';
import { systemClock } from './clock.js';
import type { Connection } from './connection.js';
import { watchConnection } from './connection-watch.js';
import { Diagnostics } from './diagnostics.js';
import type { ConnectionHandler } from './handler.js';
import { Lifeline } from './lifeline.js';
import type { ListenOptions, ServerCertificates } from './listen-options.js';
import { LossTeller, openHost } from './open-host.js';
import { checkCertificates, checkListen } from './option-rules.js';
import { DEFAULT_HOST, DEFAULT_PORT, recoveryLimits, withDefaults } from './options.js';
import { pemText } from './pem.js';
import { IdentityRates, type RateStatistics } from './rates/identity-rates.js';
import { ThrottledWatch } from './rates/throttled-watch.js';
import type { Rendezvous, RendezvousPeer } from './rendezvous.js';
import { Resumptions } from './resumption.js';
import { ServedClient } from './served-client.js';
import type { Place, PlaceOrder, ServingHost, WorkerLoss } from './serving-host.js';
import { Slots, type SlotUse } from './slots.js';
import { type ConnectionStep, StepName, StepReporter } from './steps.js';
import { TlsRendezvous } from './tls-rendezvous.js';
import type { WorkerStatus } from './workers/worker-status.js';

export const DEFAULT_SLOTS = 10;

export interface ServerEvents {
  connection: [Connection];
  /** A connection has ended and everything of it is freed; `undefined` after an orderly end. */
  disconnection: [Connection, RdmaError | undefined];
  /** A peer that never became a connection, and why. */
  refused: [TlsRefusal];
  /** A handler threw something that was not the connection's own failure. Without a listener it becomes a warning. */
  handlerError: [Connection, unknown];
  /** A worker has died, and its connections have ended; another takes its place. Without a listener it becomes a warning. */
  workerLost: [WorkerLoss];
}

/** Open objects of a server; all but the listener read 0 when no client is there. */
export interface ServerCensus extends DeviceCensus {
  readonly slots: number;
  readonly controlChannels: number;
}

/**
 * Opens the device, listens, and has `handler` serve every client. With `workers` connections are served in as many worker
 * threads, each with a device of its own, and the handler is a module (`options.handler`).
 *
 * @throws RdmaError ERR_RDMA_ADDRESS, ERR_RDMA_CERTIFICATE, ERR_RDMA_NO_DEVICE, ERR_RDMA_INVALID_ARGUMENT.
 */
export async function listen(options: ListenOptions, handler?: ConnectionHandler): Promise<Server> {
  checkListen(options, handler);
  withDefaults(options);
  return Server.start(options, handler ?? (options.handler as ConnectionHandler | URL));
}

export class Server extends EventEmitter<ServerEvents> implements AsyncDisposable {
  readonly #slots: Slots;
  readonly #options: ListenOptions;
  readonly #host: ServingHost;
  readonly #tls: TlsServer;
  readonly #connections = new Set<Connection>();
  /** Sessions; that of a client with a slot counts until the slot is free again. */
  readonly #clients = new Attendance();
  readonly #resumptions = new Resumptions();
  readonly #admission: Admission;
  readonly #rates = new IdentityRates(systemClock);
  readonly #throttled: ThrottledWatch;
  readonly #audit: Audit;
  readonly #diagnostics: Diagnostics;
  readonly #onStep: (step: ConnectionStep) => void;
  /** From `listen` on. */
  readonly #hold = new ProcessHold(false);
  #address = { host: '', port: 0 };
  #lastId = 0;
  #closing: Promise<void> | undefined;

  static async start(options: ListenOptions, handler: ConnectionHandler | URL): Promise<Server> {
    const losses = new LossTeller();
    const host = await openHost(options, handler, (loss) => losses.tell(loss));
    try {
      const server = new Server(options, host);
      await server.#begin();
      // When the program listens to its events; without workers none is lost.
      if (host.workers.length > 0) setImmediate(() => losses.tellTo((loss) => server.#onWorkerLost(loss)));
      return server;
    } catch (error) {
      await host.close();
      throw error;
    }
  }

  private constructor(options: ListenOptions, host: ServingHost) {
    super();
    const slots = new Slots(options.slots ?? DEFAULT_SLOTS);
    this.#host = host;
    this.#slots = slots;
    this.#options = options;
    this.#audit = new Audit(options.onAudit);
    const server = (): string => hostPort(this.#address.host, this.#address.port);
    this.#diagnostics = new Diagnostics({ side: 'server', server, logger: options.logger });
    this.#onStep = this.#diagnostics.steps(options.onStep);
    this.#throttled = new ThrottledWatch(this.#rates, systemClock, (held) => {
      const { address, peer, fromClient, toClient } = held;
      this.#diagnostics.throttled(held);
      const event = { event: 'throttled', fromClient, toClient } as const;
      this.#audit.record({ connection: null, address, peer: shownIdentity(peer) }, event);
    });
    this.#admission = new Admission({
      slots,
      resumptions: this.#resumptions,
      authorize: options.authorize,
      limits: withDefaults(options),
      maxPerIdentity: options.admission?.maxPerIdentity,
      identityRates: this.#rates,
      rates: options.rates,
    });
    const { handshakeDeadlineMillis, admission } = options;
    this.#tls = createTlsServer({
      ...certificatesOf(options),
      ...(handshakeDeadlineMillis === undefined ? {} : { handshakeDeadlineMillis }),
      ...(admission === undefined ? {} : { admission }),
      onChannel: (channel) => this.#onChannel(channel),
      onRefused: (refusal) => {
        const { address, port, kind, reason } = refusal;
        this.#diagnostics.refused(address, port, kind, reason);
        announce(() => this.emit('refused', refusal));
        this.#audit.record({ connection: null, address, peer: null }, { event: 'refused', kind, reason });
      },
    });
  }

  /**
   * The device that all connections share.
   *
   * @throws RdmaError ERR_RDMA_INVALID_STATE with workers: each has a device of its own.
   */
  get device(): Device {
    return this.#host.device;
  }

  /** How its workers are; empty without workers. */
  get workers(): readonly WorkerStatus[] {
    return this.#host.workers;
  }

  /** What the device counts; with workers, what theirs do together. */
  counters(): Readonly<Record<string, number>> {
    return this.#host.counters();
  }

  /** How identities fare with their `rates`: all counts are of all of them together. */
  get rates(): RateStatistics {
    return this.#rates.statistics;
  }

  /** Where it listens. */
  get address(): { readonly host: string; readonly port: number } {
    return this.#address;
  }

  /** Places for clients: how many there are, and how many are taken now. */
  get slots(): SlotUse {
    return { total: this.#slots.total, used: this.#slots.used };
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  census(): ServerCensus {
    return {
      ...this.#host.census(),
      slots: this.#slots.used,
      controlChannels: this.#tls.channels + this.#tls.tlsHandshakes,
    };
  }

  /** Whether new clients are refused. */
  get isDraining(): boolean {
    return this.#admission.isDraining;
  }

  /**
   * Refuses new clients from now on, with the kind `draining`; those that are here stay, also through a recovery. `drain(false)` lets
   * new ones in again.
   */
  drain(on = true): void {
    this.#admission.isDraining = on;
  }

  /**
   * Uses another certificate, key and client authority from the next TLS handshake on; what is connected stays so.
   *
   * @throws RdmaError ERR_RDMA_CERTIFICATE when they are unusable; the old ones stay in use then.
   */
  setCertificates(certificates: ServerCertificates): void {
    checkCertificates(certificates);
    this.#tls.setCertificates(certificatesOf(certificates));
  }

  /**
   * Stops accepting, lets handlers finish what has arrived, ends every connection in order, frees everything, and closes
   * the device if it opened it. Handlers have half of `graceMillis`, and connections the other half for their end; what takes
   * longer is ended at once. By default an end has as long as it has without the server: longer than a queue pair takes to
   * notice that its path is dead (5.3 s in all with the default `path`). The process stays until it is done. Idempotent.
   */
  close(graceMillis = 2 * recoveryLimits(this.#options).quitMillis): Promise<void> {
    this.#hold.ref();
    this.#closing ??= this.#close(graceMillis);
    return this.#closing;
  }

  /** Ends every connection at once; `close` has the rest. */
  abort(): void {
    for (const connection of this.#connections) {
      connection.abort(new RdmaError('ERR_RDMA_ABORTED', 'the server is closing'));
    }
  }

  /** Keeps the process alive while it listens, which it does unless `unref` was called last; each connection does by itself. */
  ref(): this {
    this.#hold.ref();
    return this;
  }

  /** Lets the process end though it listens. */
  unref(): this {
    this.#hold.unref();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #begin(): Promise<void> {
    const { fd, host = DEFAULT_HOST, port = DEFAULT_PORT } = this.#options;
    this.#tls.unref();
    this.#hold.ref();
    try {
      const bound = await this.#tls.listen(fd === undefined ? { host, port } : { host, fd });
      this.#address = { host: bound.address, port: bound.port };
    } catch (error) {
      this.#hold.end();
      throw error;
    }
  }

  /** First handlers get no more messages and come to their end; then connections end in order; then they just end. */
  async #close(graceMillis: number): Promise<void> {
    this.#admission.close();
    this.#host.beginClosing();
    for (const connection of this.#connections) connection.endReceiving();
    const late = setTimeout(() => {
      for (const connection of this.#connections) void connection.close();
    }, graceMillis / 2);
    const tooLate = setTimeout(() => {
      this.abort();
      this.#host.abort();
    }, graceMillis);
    await Promise.all([...this.#connections].map(({ closed }) => closed));
    await this.#tls.close('the server is closing');
    await this.#clients.none();
    clearTimeout(late);
    clearTimeout(tooLate);
    this.#throttled.end();
    try {
      await this.#host.close();
    } finally {
      this.#hold.end();
    }
  }

  #onChannel(channel: ControlChannel): void {
    channel.unref();
    this.#clients.enter();
    void this.#receive(channel).then((client) => {
      if (client === undefined) this.#clients.leave();
      else void this.#serve(client);
    });
  }

  /** The first frame tells whether a client is new or comes back. Returns one that is new and may come in. */
  async #receive(channel: ControlChannel): Promise<ServedClient | undefined> {
    let first: Frame;
    try {
      first = await channel.peek();
    } catch (error) {
      this.#report(channel, asRdmaError(error, 'the first frame was not read'));
      return undefined;
    }
    if (first.type !== 'resume') return this.#admit(channel);
    this.#resume(channel, first.token);
    return undefined;
  }

  #resume(channel: ControlChannel, token: string): void {
    // Taken: the session begins with what follows.
    void channel.receive();
    if (this.#closing === undefined && this.#resumptions.resume(token, new TlsRendezvous(channel))) return;
    const message =
      'there is no connection that this session could take up here: it has ended, or another server or an earlier process had it';
    this.#refuse(channel, new Refused('resumption', message));
  }

  async #admit(channel: ControlChannel): Promise<ServedClient | undefined> {
    let admitted: Admitted;
    try {
      admitted = await this.#admission.admit(channel);
    } catch (error) {
      const refused = error instanceof Refused ? error : internalRefusal(error);
      this.#refuse(channel, refused);
      return undefined;
    }
    if (admitted.rates !== undefined) this.#throttled.begin();
    const reporter = new StepReporter(++this.#lastId, this.#onStep);
    const rendezvous = new TlsRendezvous(channel);
    return new ServedClient(this.#onClosed, rendezvous, admitted, reporter, this.#resumptions.create());
  }

  #refuse(channel: ControlChannel, refused: Refused): void {
    this.#report(channel, refused);
    channel.fail(refused, refused.answer);
  }

  #report({ remoteAddress: address, remotePort: port, peer }: RendezvousPeer, error: RdmaError): void {
    // A session that nobody but this server ended in order.
    const isOurs = error.code === 'ERR_RDMA_CLOSED' && this.#closing !== undefined;
    const kind = isOurs ? 'closing' : refusalKindOf(error);
    const reason = error.message;
    this.#diagnostics.refused(address, port, kind, reason);
    announce(() => this.emit('refused', { address, port, kind, reason, cause: error }));
    this.#audit.record(
      { connection: null, address, peer: shownIdentity(peer) },
      { event: 'refused', kind, reason },
    );
  }

  /** Ends when the connection is up; `#onClosed` has the rest. */
  async #serve(client: ServedClient): Promise<void> {
    const { reporter, rendezvous, admitted } = client;
    reporter.report(StepName.TLS, { peer: rendezvous.remoteAddress, slot: admitted.slot });
    try {
      if (await this.#bringUp(client)) return;
    } catch (error) {
      await this.#release(client);
      throw error;
    }
    await this.#release(client);
  }

  /** Returns whether there is a connection now. */
  async #bringUp(client: ServedClient): Promise<boolean> {
    const { reporter, rendezvous, admitted, point } = client;
    const id = reporter.connection;
    const place = await this.#place(rendezvous, { id, limits: admitted.limits, reporter });
    if (place === undefined) return false;
    const lifeline = new Lifeline(rendezvous, {
      dataPath: place.plane,
      reporter,
      limits: recoveryLimits(this.#options),
      resumeToken: point.token,
      nextRendezvous: (signal) => point.next(signal),
    });
    point.lifeline = lifeline;
    place.bind(lifeline);
    try {
      await lifeline.establish();
    } catch (error) {
      this.#report(rendezvous, asRdmaError(error, 'the session was not established'));
      return false;
    }
    const owner = { hold: new ProcessHold(), note: this.#diagnostics.note(id) };
    const connection = place.connection(lifeline, owner);
    client.connection = connection;
    this.#audit.follow(connection, admitted);
    this.#diagnostics.admitted(connection);
    this.#diagnostics.follow(connection);
    watchConnection(connection, client);
    this.#connections.add(connection);
    announce(() => this.emit('connection', connection));
    place.serve(connection, this.#onMistake);
    return true;
  }

  readonly #onClosed = async (
    client: ServedClient,
    connection: Connection,
    error: RdmaError | undefined,
  ): Promise<void> => {
    // The program hears of the connection itself first.
    await null;
    this.#connections.delete(connection);
    announce(() => this.emit('disconnection', connection, error));
    await this.#release(client);
  };

  /** The rendezvous goes before the slot, as the last thing that a client holds. Idempotent. */
  async #release(client: ServedClient): Promise<void> {
    if (client.isReleased) return;
    client.isReleased = true;
    const { point, rendezvous, admitted, reporter } = client;
    this.#resumptions.delete(point);
    await rendezvous.close();
    this.#admission.release(admitted);
    reporter.report(StepName.SLOT_FREED, { slot: admitted.slot });
    this.#clients.leave();
  }

  /** `undefined` when there is none: the client has been told. */
  async #place(rendezvous: Rendezvous, order: PlaceOrder): Promise<Place | undefined> {
    try {
      return await this.#host.place(order);
    } catch (error) {
      const refused = error instanceof Refused ? error : internalRefusal(error);
      this.#report(rendezvous, refused);
      rendezvous.fail(refused, refused.answer);
      return undefined;
    }
  }

  #onWorkerLost(loss: WorkerLoss): void {
    this.#diagnostics.workerLost(loss);
    if (announce(() => this.emit('workerLost', loss))) return;
    const { error, connections } = loss;
    process.emitWarning(`${error.message}; ${connections} connections ended with it`, {
      type: 'RdmaWorkerWarning',
      code: 'RDMA_WORKER_LOST',
      detail: 'listen to workerLost of the server to deal with this',
    });
  }

  readonly #onMistake = (connection: Connection, error: unknown): void => {
    this.#diagnostics.handlerFailed(connection, error);
    if (announce(() => this.emit('handlerError', connection, error))) return;
    const detail = error instanceof Error ? (error.stack ?? error.message) : thrownText(error);
    process.emitWarning(`the handler of connection ${connection.id} failed: ${detail}`, {
      type: 'RdmaHandlerWarning',
      code: 'RDMA_HANDLER_ERROR',
      detail: 'listen to handlerError of the server to deal with this',
    });
  };
}

function certificatesOf({ cert, key, clientCa, pfx, passphrase }: ServerCertificates): TlsCertificates {
  return {
    ...(cert === undefined ? {} : { cert: pemText(cert) }),
    ...(key === undefined ? {} : { key: pemText(key) }),
    ...(clientCa === undefined ? {} : { clientCa: pemText(clientCa) }),
    ...(pfx === undefined ? {} : { pfx }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

const internalRefusal = (error: unknown): Refused =>
  new Refused('internal', `the client could not be admitted: ${String(error)}`, {
    told: 'internal error of the server',
    cause: error,
  });
