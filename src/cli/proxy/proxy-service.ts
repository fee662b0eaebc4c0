/**
 * The proxy: takes sockets at one end, opens one at the other for each, and joins them.
 *
 * Invariants: a socket that came is read only when its other side is there; when that cannot be opened, the socket that came is reset;
 * `close` resolves when every socket has closed.
 */
import { once } from 'node:events';
import * as tcp from 'node:net';
import { connect } from '../../net/create.js';
import type { ServerOptions, SocketConnectOptions } from '../../net/options.js';
import { Server } from '../../net/server.js';
import { sharedSessions } from '../../net/session-pool.js';
import type { Socket } from '../../net/socket.js';
import { hostPort } from '../../verbs/host-port.js';
import type { ProxyEnd } from './proxy-end.js';
import { type RelaySocket, relay } from './relay.js';

export type ProxyEvent =
  | { readonly event: 'opened'; readonly id: number; readonly from: string }
  | {
      readonly event: 'closed';
      readonly id: number;
      readonly bytesThere: number;
      readonly bytesBack: number;
      readonly millis: number;
      readonly error: {
        readonly side: string;
        readonly code: string | null;
        readonly message: string;
      } | null;
    }
  | { readonly event: 'failed'; readonly id: number; readonly code: string | null; readonly message: string };

export interface ProxyOptions {
  readonly listen: ProxyEnd;
  readonly to: ProxyEnd;
  /** Of the end that is RDMA. */
  readonly rdma: Pick<ServerOptions, 'rdma' | 'device'> &
    (Partial<ServerOptions> | Partial<SocketConnectOptions>);
  readonly emit: (event: ProxyEvent) => void;
}

export interface ProxyCounts {
  connections: number;
  /** The other end was not there, or a side failed. */
  failed: number;
  bytesThere: number;
  bytesBack: number;
}

type AnySocket = tcp.Socket | Socket;

export class ProxyService {
  readonly counts: ProxyCounts = { connections: 0, failed: 0, bytesThere: 0, bytesBack: 0 };
  readonly #options: ProxyOptions;
  readonly #server: tcp.Server | Server;
  readonly #open = new Set<AnySocket>();
  readonly #relays = new Set<Promise<void>>();
  /** Those that are still open have had their time. */
  #isLate = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const settings = { allowHalfOpen: true, pauseOnConnect: true };
    const take = (socket: AnySocket): void => this.#take(socket);
    this.#server =
      options.listen.kind === 'tcp'
        ? tcp.createServer(settings, take)
        : new Server({ ...(options.rdma as ServerOptions), ...settings }, take);
  }

  /** Where it listens. @throws what `listen` tells by `error`. */
  async start(): Promise<ProxyEnd> {
    const { listen } = this.#options;
    (this.#server as tcp.Server).listen({ port: listen.port, host: listen.host });
    await once(this.#server, 'listening');
    const { port } = this.#server.address() as { port: number };
    return { ...listen, port };
  }

  /** Sockets that are open get `graceMillis` for their end. */
  async close(graceMillis: number): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    const late = setTimeout(() => {
      this.#isLate = true;
      for (const socket of this.#open) cut(socket);
    }, graceMillis);
    await Promise.all([...this.#relays]);
    await closed;
    clearTimeout(late);
    await sharedSessions.closeIdle();
  }

  #take(incoming: AnySocket): void {
    const id = ++this.counts.connections;
    const running = this.#serve(id, incoming).finally(() => this.#relays.delete(running));
    this.#relays.add(running);
  }

  async #serve(id: number, incoming: AnySocket): Promise<void> {
    const { emit } = this.#options;
    const beganAt = performance.now();
    emit({ event: 'opened', id, from: hostPort(incoming.remoteAddress ?? '', incoming.remotePort ?? 0) });
    this.#note(incoming);
    const outgoing = await this.#reach(id, incoming);
    if (outgoing === undefined) return;
    const { bytesThere, bytesBack, failure } = await relay(incoming as RelaySocket, outgoing as RelaySocket);
    this.counts.bytesThere += bytesThere;
    this.counts.bytesBack += bytesBack;
    if (failure !== undefined) this.counts.failed++;
    const error =
      failure === undefined
        ? null
        : { side: failure.side, code: codeOf(failure.error), message: failure.error.message };
    const millis = Math.round(performance.now() - beganAt);
    emit({ event: 'closed', id, bytesThere, bytesBack, millis, error });
  }

  /** The other side; `undefined` when it is not there, or when the socket that came has gone meanwhile. */
  async #reach(id: number, incoming: AnySocket): Promise<AnySocket | undefined> {
    const outgoing = this.#dial();
    this.#note(outgoing);
    const gaveUp = (): void => void outgoing.resetAndDestroy();
    incoming.once('error', gaveUp);
    const failure = await new Promise<Error | undefined>((resolve) => {
      outgoing.once('connect', () => resolve(undefined));
      outgoing.once('error', resolve);
      outgoing.once('close', () =>
        resolve(new Error('the socket that came was reset before the other side was reached')),
      );
    });
    incoming.off('error', gaveUp);
    if (failure === undefined) return outgoing;
    this.counts.failed++;
    this.#options.emit({ event: 'failed', id, code: codeOf(failure), message: failure.message });
    incoming.resetAndDestroy();
    return undefined;
  }

  #dial(): AnySocket {
    const { to, rdma } = this.#options;
    const target = { host: to.host, port: to.port, allowHalfOpen: true };
    return to.kind === 'tcp'
      ? tcp.connect(target)
      : connect({ ...(rdma as SocketConnectOptions), ...target });
  }

  #note(socket: AnySocket): void {
    if (this.#isLate) cut(socket);
    this.#open.add(socket);
    // Whoever has to do something about it listens as well.
    socket.on('error', () => {});
    socket.once('close', () => this.#open.delete(socket));
  }
}

/** A socket that connects would wait for its peer before it is reset. */
function cut(socket: AnySocket): void {
  // One of node:net that ends may not take a reset, and would never close.
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

const codeOf = (error: Error): string | null => (error as NodeJS.ErrnoException).code ?? null;
