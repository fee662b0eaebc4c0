/**
 * A server with the shape of node:net's, over a transport. docs/net.md says what holds and what differs.
 *
 * Invariants: `listening` comes before any `connection`; `close` comes once for each time that it listened, when it takes no more
 * and every socket that it took has closed. A stream beyond `maxConnections` is reset, and told by `drop`.
 */
import { EventEmitter } from 'node:events';
import { ProcessHold } from '../process-hold.js';
import { RdmaError } from '../verbs/errors.js';
import type { RefusalKind } from '../verbs/refusal-kind.js';
import { type AddressInfo, addressInfo, familyOf } from './addresses.js';
import { listenArguments } from './arguments.js';
import { netError, nodeError } from './net-errors.js';
import { checkListen, checkServer } from './option-rules.js';
import type { ServerListenOptions, ServerOptions } from './options.js';
import { isBlocked } from './reach.js';
import { Socket } from './socket.js';
import type { ListeningTransport, TransportStream } from './transport.js';
import { transportOf } from './transports.js';

export interface DropArgument {
  readonly localAddress: string;
  readonly localPort: number;
  readonly localFamily: AddressInfo['family'];
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteFamily: AddressInfo['family'];
}

export interface ServerEvents {
  listening: [];
  connection: [Socket];
  /** `maxConnections` sockets are open: this one was reset. */
  drop: [DropArgument];
  error: [Error];
  close: [];
}

const DEFAULT_HOST = '127.0.0.1';

/** One time of listening, from `listen` on. */
interface Course {
  transport: ListeningTransport | undefined;
  /** `close` was called. */
  isClosing: boolean;
  /** The transport is asked to free everything. */
  isFreed: boolean;
  /** Takes back what waits for a signal. */
  onOver: () => void;
  readonly hold: ProcessHold;
}

export class Server extends EventEmitter<ServerEvents> implements AsyncDisposable {
  /** Sockets beyond so many are reset. Default: no limit. */
  maxConnections: number | undefined;
  /** Without effect, as in node:net outside of a cluster. */
  dropMaxConnection = false;

  readonly #options: ServerOptions;
  readonly #sockets = new Set<Socket>();
  #course: Course | undefined;
  #isReferenced = true;

  constructor(options: ServerOptions, onConnection?: (socket: Socket) => void) {
    super();
    checkServer(options);
    this.#options = options;
    if (onConnection !== undefined) this.on('connection', onConnection);
  }

  get listening(): boolean {
    return this.#course?.transport !== undefined && !this.#course.isClosing;
  }

  /** Where it listens; `null` when it does not. */
  address(): AddressInfo | null {
    const address = this.#course?.isClosing === false ? this.#course.transport?.address : undefined;
    return address === undefined ? null : addressInfo(address);
  }

  /**
   * Begins to listen, as `server.listen` of node:net does. Failures are told by `error`.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT; ERR_SERVER_ALREADY_LISTEN as in node:net.
   */
  listen(port?: number, host?: string, backlog?: number, onListening?: () => void): this;
  listen(port?: number, host?: string, onListening?: () => void): this;
  listen(port?: number, onListening?: () => void): this;
  listen(options: ServerListenOptions, onListening?: () => void): this;
  listen(...given: readonly unknown[]): this {
    const { options, listener } = listenArguments(given);
    checkListen(options);
    if (this.#course !== undefined) {
      throw nodeError('ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once');
    }
    if (listener !== undefined) this.once('listening', listener);
    const hold = new ProcessHold(this.#isReferenced);
    const course: Course = { transport: undefined, isClosing: false, isFreed: false, onOver() {}, hold };
    this.#course = course;
    this.#closeOn(options.signal, course);
    void this.#listen(options, course);
    return this;
  }

  /** Takes no more sockets; `onClose` is called, and `close` emitted, when those that are open have closed. */
  close(onClose?: (error?: Error) => void): this {
    const course = this.#course?.isClosing === false ? this.#course : undefined;
    if (onClose !== undefined) {
      const error = nodeError('ERR_SERVER_NOT_RUNNING', 'Server is not running.');
      this.once('close', course === undefined ? () => onClose(error) : () => onClose());
    }
    if (course !== undefined) {
      course.isClosing = true;
      course.transport?.stop();
      void this.#freeWhenEmpty();
    } else if (this.#course === undefined) {
      process.nextTick(() => this.emit('close'));
    }
    return this;
  }

  getConnections(onCount: (error: Error | null, count: number) => void): this {
    const count = this.#sockets.size;
    process.nextTick(() => onCount(null, count));
    return this;
  }

  /** Keeps the process alive while it listens, which it does unless `unref` was called last. */
  ref(): this {
    this.#isReferenced = true;
    this.#course?.hold.ref();
    return this;
  }

  /** Lets the process end though it listens. Its sockets go by themselves. */
  unref(): this {
    this.#isReferenced = false;
    this.#course?.hold.unref();
    return this;
  }

  /** Closes it, and resolves when the sockets that are open have closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#course === undefined) return;
    const closed = new Promise<void>((resolve) => this.once('close', resolve));
    this.close();
    await closed;
  }

  #closeOn(signal: AbortSignal | undefined, course: Course): void {
    if (signal === undefined) return;
    const close = (): void => {
      if (this.#course === course) this.close();
    };
    if (signal.aborted) process.nextTick(close);
    else {
      signal.addEventListener('abort', close, { once: true });
      course.onOver = () => signal.removeEventListener('abort', close);
    }
  }

  /** It listens no more, or never did. */
  #leave(course: Course): void {
    course.onOver();
    course.hold.end();
    this.#course = undefined;
  }

  async #listen(
    { port = 0, host = DEFAULT_HOST, backlog }: ServerListenOptions,
    course: Course,
  ): Promise<void> {
    const target = { host, port, ...(backlog === undefined || backlog === 0 ? {} : { backlog }) };
    try {
      course.transport = await transportOf(this.#options).listen(target, {
        onStream: (stream) => this.#take(stream, course),
        onFailure: (error) => {
          // Nobody can come any more: that is nothing to stay alive for.
          course.hold.end();
          this.#fail(error, { host, port });
        },
      });
    } catch (error) {
      this.#leave(course);
      if (course.isClosing) this.#tell('close');
      else this.#fail(error, { host, port });
      return;
    }
    if (course.isClosing) {
      course.transport.stop();
      await this.#freeWhenEmpty();
    } else this.#tell('listening');
  }

  /** In a tick of its own: what a listener throws is the program's, and no promise that nobody has. */
  #tell(event: 'close' | 'listening'): void {
    process.nextTick(() => {
      if (event === 'close' || this.listening) this.emit(event);
    });
  }

  #fail(error: unknown, { host, port }: { host: string; port: number }): void {
    const failure = netError(error, { syscall: 'listen', address: host, port });
    process.nextTick(() => this.emit('error', failure));
  }

  #take(stream: TransportStream, course: Course): void {
    const { blockList } = this.#options;
    if (blockList !== undefined && isBlocked(blockList, stream.remote.address)) {
      refuse(stream, 'not-authorized');
      return;
    }
    const isFull = this.maxConnections !== undefined && this.#sockets.size >= this.maxConnections;
    if (isFull || course.isClosing) {
      refuse(stream, course.isClosing ? 'closing' : 'quota');
      if (isFull) this.emit('drop', dropped(stream));
      return;
    }
    const { allowHalfOpen, highWaterMark, pauseOnConnect } = this.#options;
    const options = {
      ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }),
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
    };
    const socket = Socket.over(stream, options, pauseOnConnect === true, () => {
      this.#sockets.delete(socket);
      void this.#freeWhenEmpty();
    });
    const { keepAlive, keepAliveInitialDelay } = this.#options;
    if (keepAlive === true) socket.setKeepAlive(true, keepAliveInitialDelay);
    socket.server = this;
    this.#sockets.add(socket);
    this.emit('connection', socket);
  }

  /** Frees the transport when nobody can come any more and nobody is left. */
  async #freeWhenEmpty(): Promise<void> {
    const course = this.#course;
    if (course === undefined || !course.isClosing || course.isFreed) return;
    if (course.transport === undefined || this.#sockets.size > 0) return;
    course.isFreed = true;
    course.hold.ref();
    try {
      await course.transport.close();
    } catch (error) {
      this.emit('error', netError(error, { syscall: 'listen' }));
    }
    this.#leave(course);
    this.#tell('close');
  }
}

function refuse({ channel, release }: TransportStream, refusal: RefusalKind): void {
  channel.close(new RdmaError('ERR_RDMA_REFUSED', 'the server does not take this socket', { refusal }));
  release();
}

function dropped({ local, remote }: TransportStream): DropArgument {
  return {
    localAddress: local.address,
    localPort: local.port,
    localFamily: familyOf(local.address),
    remoteAddress: remote.address,
    remotePort: remote.port,
    remoteFamily: familyOf(remote.address),
  };
}
