/**
 * The server: one listener, one device that all clients share, and for each client a slot, a session, objects of its
 * own and an asynchronous handler. A client whose session was lost may come back over a new one and finds its slot.
 *
 * Invariants: nothing of the device is allocated before a client is authenticated and has a slot; however a client
 * ends, its objects and its slot are freed and no other client notices; the device stays open until the server closes.
 */
import { EventEmitter } from 'node:events';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { openDevice } from '../open-device.js';
import type { ControlChannel } from '../session/control-channel.js';
import type { Frame } from '../session/frames.js';
import { createTlsServer, type TlsRefusal, type TlsServer } from '../session/tls-server.js';
import type { Device, DeviceCensus } from '../verbs/device.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { Connection } from './connection.js';
import { DataPath } from './data-path.js';
import { Lifeline } from './lifeline.js';
import { type CommonOptions, DEFAULT_PORT, recoveryLimits, withDefaults } from './options.js';
import { type ResumePoint, Resumptions } from './resumption.js';
import { Slots } from './slots.js';
import { StepName, StepReporter } from './steps.js';

export const DEFAULT_SLOTS = 10;
/** How long clients have for their orderly end when the server closes. */
const CLOSE_MILLIS = 1500;

export interface ListenOptions extends CommonOptions {
  /** Address to listen on. Default 127.0.0.1: say so if others shall connect. */
  readonly host?: string;
  /** TCP port. Default 4433; 0 = any free one. */
  readonly port?: number;
  /** PEM: the server's certificate and key. */
  readonly cert: string;
  readonly key: string;
  /** PEM: with it, clients must show a certificate that this authority signed. */
  readonly clientCa?: string;
  /** Clients at a time. Default 10. */
  readonly slots?: number;
}

/** Serves one client. When it returns, the connection is closed; when it throws, it is aborted. */
export type ConnectionHandler = (connection: Connection) => Promise<void>;

export interface ServerEvents {
  connection: [Connection];
  /** A connection has ended and everything of it is freed; `undefined` after an orderly end. */
  disconnection: [Connection, RdmaError | undefined];
  /** A peer that never became a connection, and why. */
  refused: [TlsRefusal];
  /** A handler threw something that was not the connection's own failure. */
  handlerError: [Connection, unknown];
}

/** Open objects of a server; all but the listener read 0 when no client is there. */
export interface ServerCensus extends DeviceCensus {
  readonly slots: number;
  readonly controlChannels: number;
}

/**
 * Opens the device, listens, and calls `handler` for every client.
 *
 * @throws RdmaError ERR_RDMA_ADDRESS, ERR_RDMA_CERTIFICATE, ERR_RDMA_NO_DEVICE.
 */
export async function listen(options: ListenOptions, handler: ConnectionHandler): Promise<Server> {
  const slots = options.slots ?? DEFAULT_SLOTS;
  if (!Number.isInteger(slots) || slots < 1) throw usageError(`slots must be 1 or more, not ${slots}`);
  const host = options.host ?? '127.0.0.1';
  const owned = typeof options.device === 'object' ? undefined : await openDevice(deviceName(options, host));
  const device = owned ?? (options.device as Device);
  try {
    return await Server.start(options, handler, device, owned !== undefined, new Slots(slots));
  } catch (error) {
    await owned?.close();
    throw error;
  }
}

export class Server extends EventEmitter<ServerEvents> implements AsyncDisposable {
  readonly device: Device;
  readonly slots: Slots;
  readonly #options: ListenOptions;
  readonly #handler: ConnectionHandler;
  readonly #ownsDevice: boolean;
  readonly #tls: TlsServer;
  readonly #connections = new Set<Connection>();
  /** One promise for each session; that of a client with a slot resolves when the slot is free again. */
  readonly #clients = new Set<Promise<void>>();
  readonly #resumptions = new Resumptions();
  #address = { host: '', port: 0 };
  #lastId = 0;
  #closing: Promise<void> | undefined;

  static async start(
    options: ListenOptions,
    handler: ConnectionHandler,
    device: Device,
    ownsDevice: boolean,
    slots: Slots,
  ): Promise<Server> {
    const server = new Server(options, handler, device, ownsDevice, slots);
    const address = { host: options.host ?? '127.0.0.1', port: options.port ?? DEFAULT_PORT };
    const bound = await server.#tls.listen(address);
    server.#address = { host: bound.address, port: bound.port };
    return server;
  }

  private constructor(
    options: ListenOptions,
    handler: ConnectionHandler,
    device: Device,
    ownsDevice: boolean,
    slots: Slots,
  ) {
    super();
    this.device = device;
    this.slots = slots;
    this.#options = options;
    this.#handler = handler;
    this.#ownsDevice = ownsDevice;
    const { cert, key, clientCa, handshakeDeadlineMillis } = options;
    this.#tls = createTlsServer({
      cert,
      key,
      ...(clientCa === undefined ? {} : { clientCa }),
      ...(handshakeDeadlineMillis === undefined ? {} : { handshakeDeadlineMillis }),
      onChannel: (channel) => this.#onChannel(channel),
      onRefused: (refusal) => this.emit('refused', refusal),
    });
  }

  /** Where it listens. */
  get address(): { readonly host: string; readonly port: number } {
    return this.#address;
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  census(): ServerCensus {
    return {
      ...this.device.census(),
      slots: this.slots.used,
      controlChannels: this.#tls.channels + this.#tls.tlsHandshakes,
    };
  }

  /** Stops listening, ends every connection in order, frees everything, closes the device if it opened it. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const impatient = setTimeout(() => {
      for (const connection of this.#connections) {
        connection.abort(new RdmaError('ERR_RDMA_ABORTED', 'the server is closing'));
      }
    }, CLOSE_MILLIS);
    await Promise.all([...this.#connections].map((connection) => connection.close()));
    await this.#tls.close('the server is closing');
    await Promise.all(this.#clients);
    clearTimeout(impatient);
    if (this.#ownsDevice) await this.device.close();
  }

  #onChannel(channel: ControlChannel): void {
    const client = this.#receive(channel).finally(() => this.#clients.delete(client));
    this.#clients.add(client);
  }

  /** The first frame tells whether a client is new or comes back. */
  async #receive(channel: ControlChannel): Promise<void> {
    let first: Frame;
    try {
      first = await channel.receive();
    } catch (error) {
      this.#report(channel, (error as RdmaError).message);
      return;
    }
    if (first.type === 'resume') this.#resume(channel, first.token);
    else await this.#admit(channel, first);
  }

  #resume(channel: ControlChannel, token: string): void {
    if (this.#closing === undefined && this.#resumptions.resume(token, channel)) return;
    this.#refuse(channel, 'ERR_RDMA_NO_CONNECTION', 'there is no connection that this session could take up');
  }

  async #admit(channel: ControlChannel, first: Frame): Promise<void> {
    const slot = this.#closing === undefined ? await this.#takeSlot() : undefined;
    if (slot !== undefined) {
      await this.#serve(channel, slot, first);
    } else if (this.#closing === undefined) {
      const message = `all ${this.slots.total} slots of this server are in use; try again later`;
      this.#refuse(channel, 'ERR_RDMA_NO_SLOT', message);
    } else {
      this.#refuse(channel, 'ERR_RDMA_CLOSED', 'this server is closing');
    }
  }

  /** When all slots are taken, a client that is here goes before one that is lost. */
  async #takeSlot(): Promise<number | undefined> {
    const slot = this.slots.take();
    const absentee = slot === undefined ? this.#resumptions.absentee() : undefined;
    if (absentee === undefined) return slot;
    absentee.abort(
      new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the client was lost, and another needs its slot'),
    );
    await absentee.closed;
    // Its slot is freed by those who wait for the same promise.
    await new Promise(setImmediate);
    return this.slots.take();
  }

  #refuse(channel: ControlChannel, code: string, message: string): void {
    this.#report(channel, message);
    channel.fail(new RdmaError('ERR_RDMA_REFUSED', message), { code, message });
  }

  #report(channel: ControlChannel, reason: string): void {
    this.emit('refused', { address: channel.remoteAddress, port: channel.remotePort, reason });
  }

  async #serve(channel: ControlChannel, slot: number, first: Frame): Promise<void> {
    const reporter = new StepReporter(++this.#lastId, this.#options.onStep);
    reporter.report(StepName.TLS, { peer: channel.remoteAddress, slot });
    const point = this.#resumptions.create();
    try {
      await this.#serveConnection(channel, reporter, point, first);
    } finally {
      this.#resumptions.delete(point);
      // The socket goes before the slot, as the last thing that a client holds.
      await channel.closed;
      this.slots.free(slot);
      reporter.report(StepName.SLOT_FREED, { slot });
    }
  }

  async #serveConnection(
    channel: ControlChannel,
    reporter: StepReporter,
    point: ResumePoint,
    first: Frame,
  ): Promise<void> {
    const { revealPsns } = this.#options;
    const dataPath = new DataPath(this.device, withDefaults(this.#options), reporter, revealPsns ?? false);
    const lifeline = new Lifeline(channel, {
      dataPath,
      reporter,
      limits: recoveryLimits(this.#options),
      resumeToken: point.token,
      nextChannel: (signal) => point.next(signal),
    });
    point.lifeline = lifeline;
    try {
      await lifeline.establish(first);
    } catch (error) {
      this.#report(channel, error instanceof RdmaError ? error.message : String(error));
      return;
    }
    const connection = new Connection(reporter.connection, lifeline, dataPath);
    this.#connections.add(connection);
    this.emit('connection', connection);
    await this.#handle(connection);
    const error = await connection.closed;
    this.#connections.delete(connection);
    this.emit('disconnection', connection, error);
  }

  async #handle(connection: Connection): Promise<void> {
    let ended = false;
    void connection.closed.then(() => {
      ended = true;
    });
    const handled = this.#handler(connection).then(
      () => connection.close(),
      (error: unknown) => {
        // What a handler gets from a connection that is gone is no fault of the handler.
        const ownFailure = ended || error instanceof RdmaError;
        if (!ownFailure) this.emit('handlerError', connection, error);
        const failure =
          error instanceof RdmaError ? error : new RdmaError('ERR_RDMA_ABORTED', 'the handler failed');
        connection.abort(failure);
      },
    );
    // A handler that ignores the end of its connection must not keep the slot.
    await Promise.race([handled, connection.closed]);
  }
}

/** `soft` without an address means: on the address that clients connect to. */
function deviceName(options: ListenOptions, host: string): string {
  const name = typeof options.device === 'string' ? options.device : 'soft';
  if (name !== 'soft' && !name.startsWith('soft?')) return name;
  return `soft:${reachableAddress(host)}${name.slice('soft'.length)}`;
}

function reachableAddress(host: string): string {
  if (host === '0.0.0.0' || host === '::') return firstExternalAddress(host === '::') ?? '127.0.0.1';
  return isIP(host) === 0 ? '127.0.0.1' : host;
}

function firstExternalAddress(preferIpv6: boolean): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const external = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80'));
  const wanted = external.find(({ family }) => (family === 'IPv6') === preferIpv6);
  return (wanted ?? external[0])?.address;
}
