/**
 * The server: one listener, one device that all clients share (or one for each worker), and for each client a slot, a session,
 * objects of its own and an asynchronous handler. A client whose session was lost may come back over a new one and finds its slot.
 *
 * Invariants: nothing of the device is allocated before a client is authenticated and has a slot; however a client
 * ends, its objects and its slot are freed and no other client notices; the device stays open until the server closes.
 */
import { EventEmitter } from 'node:events';
import { ProcessHold } from '../../process-hold.js';
import type { ControlChannel } from '../../session/control-channel.js';
import { createTlsServer, type TlsCertificates, type TlsServer } from '../../session/tls-server.js';
import type { Device, DeviceCensus } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { hostPort } from '../../verbs/host-port.js';
import { systemClock } from '../common/clock.js';
import { Resumptions } from '../lifeline/resumption.js';
import type { ListenOptions, ServerCertificates } from '../options/listen-options.js';
import { checkCertificates, checkListen } from '../options/option-rules.js';
import { pemText } from '../options/pem.js';
import type { Connection } from '../program/connection.js';
import type { ConnectionHandler } from '../program/handler.js';
import type { ServingHost } from '../program/serving-host.js';
import type { WorkerStatus } from '../program/worker-status.js';
import { IdentityRates, type RateStatistics } from '../rates/identity-rates.js';
import { ThrottledWatch } from '../rates/throttled-watch.js';
import { DEFAULT_HOST, DEFAULT_PORT, recoveryLimits, withDefaults } from '../terms/options.js';
import { Admission } from './admission.js';
import { ClientService } from './client-service.js';
import { LossTeller, openHost } from './open-host.js';
import { Reception } from './reception.js';
import type { ServerEvents } from './server-events.js';
import { ServerNews } from './server-news.js';
import { Slots, type SlotUse } from './slots.js';

export const DEFAULT_SLOTS = 10;

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
  readonly #admission: Admission;
  readonly #reception: Reception;
  readonly #service: ClientService;
  readonly #news: ServerNews;
  readonly #rates = new IdentityRates(systemClock);
  readonly #throttled: ThrottledWatch;
  /** From `listen` on. */
  readonly #hold = new ProcessHold(false);
  #address = { host: '', port: 0 };
  /** Of the address, for people: one text for all connections. */
  #name = '';
  #closing: Promise<void> | undefined;

  static async start(options: ListenOptions, handler: ConnectionHandler | URL): Promise<Server> {
    const losses = new LossTeller();
    const host = await openHost(options, handler, (loss) => losses.tell(loss));
    try {
      const server = new Server(options, host);
      await server.#begin();
      // When the program listens to its events; without workers none is lost.
      if (host.workers.length > 0) setImmediate(() => losses.tellTo((loss) => server.#news.workerLost(loss)));
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
    const news = new ServerNews(this, () => this.#name, options);
    this.#news = news;
    this.#throttled = new ThrottledWatch(this.#rates, systemClock, (held) => news.throttled(held));
    const resumptions = new Resumptions();
    const admission = new Admission({
      slots,
      resumptions,
      authorize: options.authorize,
      limits: withDefaults(options),
      maxPerIdentity: options.admission?.maxPerIdentity,
      identityRates: this.#rates,
      rates: options.rates,
    });
    this.#admission = admission;
    this.#reception = new Reception(admission, resumptions, news);
    const limits = recoveryLimits(options);
    this.#service = new ClientService({ host, admission, resumptions, news, limits });
    this.#tls = createTlsServer({
      ...certificatesOf(options),
      ...boundsOf(options),
      onChannel: (channel) => this.#onChannel(channel),
      onRefused: (refusal) => news.refused(refusal),
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
    return this.#service.connections;
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
    for (const connection of this.#service.connections) {
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
      this.#name = hostPort(bound.address, bound.port);
    } catch (error) {
      this.#hold.end();
      throw error;
    }
  }

  /** First handlers get no more messages and come to their end; then connections end in order; then they just end. */
  async #close(graceMillis: number): Promise<void> {
    this.#admission.close();
    this.#host.beginClosing();
    for (const connection of this.#service.connections) connection.endReceiving();
    const late = setTimeout(() => {
      for (const connection of this.#service.connections) void connection.close();
    }, graceMillis / 2);
    const tooLate = setTimeout(() => {
      this.abort();
      this.#host.abort();
    }, graceMillis);
    await Promise.all([...this.#service.connections].map(({ closed }) => closed));
    await this.#tls.close('the server is closing');
    this.#service.giveUpAwaiting();
    await this.#service.attendance.none();
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
    const { attendance } = this.#service;
    attendance.enter();
    void this.#reception.receive(channel).then((arrival) => {
      if (arrival === undefined) {
        attendance.leave();
        return;
      }
      if (arrival.admitted.rates !== undefined) this.#throttled.begin();
      void this.#service.serve(arrival);
    });
  }
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

function boundsOf({
  handshakeDeadlineMillis,
  admission,
}: ListenOptions): Pick<ListenOptions, 'handshakeDeadlineMillis' | 'admission'> {
  return {
    ...(handshakeDeadlineMillis === undefined ? {} : { handshakeDeadlineMillis }),
    ...(admission === undefined ? {} : { admission }),
  };
}
