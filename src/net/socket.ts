/**
 * A socket with the shape of node:net's, over one stream of a transport. docs/net.md says what holds and what differs.
 *
 * Invariants: `connect` and `ready` come once and in this order, before anything is read; `close` comes last, once, and says whether an
 * error came before it. What is written before the socket is connected leaves when it is. A socket that is destroyed says goodbye in
 * order, `resetAndDestroy` by a reset (parting-channel.ts).
 */
import { ByteStream } from '../connection/program/byte-stream.js';
import { ProcessHold } from '../process-hold.js';
import { MAX_MILLIS } from '../verbs/option-check.js';
import { type AddressInfo, addressInfo, familyOf } from './addresses.js';
import { type ConnectArguments, connectArguments } from './arguments.js';
import { IdleTimer } from './idle-timer.js';
import { netError, nodeError } from './net-errors.js';
import { checkConnect, checkSocket, checkTimeout, connectDefaults } from './option-rules.js';
import type { ConnectDefaults, SocketConnectOptions, SocketOptions } from './options.js';
import { PartingChannel } from './parting-channel.js';
import { reach } from './reach.js';
import { ReadInto } from './read-into.js';
import type { RsocketIomap } from './rsocket/rsocket-iomap.js';
import type { EndAddress, TransportStream } from './transport.js';

/** As node:net names the states. */
export type ReadyState = 'closed' | 'open' | 'opening' | 'readOnly' | 'writeOnly';

/** A `setKeepAlive` that says no time. */
const DEFAULT_KEEP_ALIVE_MILLIS = 60_000;

type Callback = (error?: Error | null) => void;

/** By what sockets of node:net connect again themselves; it is in every stream. */
interface Renewable {
  _undestroy(): void;
}

export class Socket extends ByteStream {
  /** The server that took it; `null` for a socket that connects by itself. */
  server: unknown = null;
  /** What `setTimeout` was given; `undefined` before. */
  timeout: number | undefined;
  /** `address:port` of those that were tried, where the host has several. */
  autoSelectFamilyAttemptedAddresses: string[] | undefined;

  readonly #idle = new IdleTimer(() => this.emit('timeout'));
  /** Ends an attempt to connect. */
  #attempt: AbortController | undefined;
  #channel: PartingChannel | undefined;
  #iomap: RsocketIomap | undefined;
  #keepAlive: TransportStream['setKeepAlive'];
  #keepsAlive = false;
  #keepAliveMillis = DEFAULT_KEEP_ALIVE_MILLIS;
  #local: EndAddress | undefined;
  #remote: EndAddress | undefined;
  /** Bytes of the write that is under way: once there is a channel, they are given to it and still wait. */
  #underWay = 0;
  #isAttached = false;
  /** `close` was told. */
  #isOver = false;
  #isReferenced = true;
  /** To be destroyed when everything is written; to be reset when it is connected. Programs may remove every listener. */
  #endsSoon = false;
  #resetsSoon = false;
  /** Of one that is open or connects. */
  #hold: ProcessHold | undefined;
  /** Has destroyed the socket if it aborted. */
  readonly #signal: AbortSignal | undefined;
  /** What `connect` goes by where it is not told otherwise. */
  readonly #defaults: Partial<SocketConnectOptions>;
  /** Takes what comes, where the program asked for that. */
  readonly #readInto: ReadInto | undefined;
  /** The end came while something still waits there. */
  #hasEndBehind = false;
  /** The server that took it hears of its end so, because programs may remove every listener. */
  #onClose: (() => void) | undefined;

  constructor(options: SocketOptions & ConnectDefaults = {}) {
    checkSocket(options);
    const { allowHalfOpen = false, highWaterMark, signal, onread } = options;
    super({ allowHalfOpen, highWaterMark, signal });
    this.#signal = signal;
    if (onread) this.#readInto = new ReadInto(onread, this);
    this.#defaults = connectDefaults(options);
  }

  /** A socket that a server took. `onClose` is called just before its listeners of `close`. */
  static over(
    stream: TransportStream,
    options: SocketOptions,
    isPaused: boolean,
    onClose: () => void,
  ): Socket {
    const socket = new Socket(options);
    socket.#onClose = onClose;
    socket.#hold = new ProcessHold();
    if (isPaused) socket.pause();
    socket.#take(stream);
    socket.#attach();
    return socket;
  }

  /** Whether it connects just now. */
  get connecting(): boolean {
    return this.#attempt !== undefined;
  }

  /** Whether it is not connected: not yet, not any more, or never. */
  get pending(): boolean {
    return this.#channel === undefined || this.destroyed;
  }

  get readyState(): ReadyState {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Memory that either end lets the other write (`riomap`, `riowrite`): of connected sockets with `rdma: 'rsocket'` alone. */
  get iomap(): RsocketIomap | undefined {
    return this.#iomap;
  }

  get remoteAddress(): string | undefined {
    return this.#remote?.address;
  }

  get remotePort(): number | undefined {
    return this.#remote?.port;
  }

  get remoteFamily(): AddressInfo['family'] | undefined {
    return this.#remote && familyOf(this.#remote.address);
  }

  get localAddress(): string | undefined {
    return this.#local?.address;
  }

  get localPort(): number | undefined {
    return this.#local?.port;
  }

  get localFamily(): AddressInfo['family'] | undefined {
    return this.#local && familyOf(this.#local.address);
  }

  /** Bytes that were written, those included that wait. */
  override get bytesWritten(): number {
    const isGiven = this.#isAttached ? this.#underWay : 0;
    return super.bytesWritten + this.writableLength - isGiven;
  }

  /** @deprecated As in node:net: `writableLength`. */
  get bufferSize(): number | undefined {
    return this.pending && !this.connecting ? undefined : this.writableLength;
  }

  address(): AddressInfo | Record<string, never> {
    return this.#local === undefined ? {} : addressInfo(this.#local);
  }

  /**
   * Connects, as `socket.connect` of node:net does; the listener is called when it is connected. Failures are told by `error`.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT; ERR_RDMA_INVALID_STATE for a socket that is connected, or connects, or has not closed yet.
   */
  connect(options: SocketConnectOptions, onConnect?: () => void): this;
  connect(port: number, host?: string, onConnect?: () => void): this;
  connect(port: number, onConnect?: () => void): this;
  connect(...given: ConnectArguments): this {
    const { options: told, listener } = connectArguments(given);
    const options = { ...this.#defaults, ...told };
    const isAborted = this.#isIdle() && !this.#isOver && this.#signal?.aborted === true;
    checkConnect(options, this.#isOver || this.#isNew() || isAborted);
    // The error of the signal is under way.
    if (isAborted) return this;
    if (this.#isOver) this.#begin();
    if (listener !== undefined) this.once('connect', listener);
    if (options.timeout) this.setTimeout(options.timeout);
    if (options.keepAlive === true) this.setKeepAlive(true, options.keepAliveInitialDelay);
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#hold = new ProcessHold(this.#isReferenced);
    void this.#connect(options, attempt.signal);
    return this;
  }

  /** Emits `timeout` when nothing comes and goes for so long; 0 = never. It does not end the socket. */
  setTimeout(millis: number, onTimeout?: () => void): this {
    checkTimeout(millis, onTimeout);
    this.timeout = millis;
    if (!this.destroyed) this.#idle.set(millis);
    if (onTimeout === undefined) return this;
    if (millis === 0) this.removeListener('timeout', onTimeout);
    else this.once('timeout', onTimeout);
    return this;
  }

  /**
   * With `rdma: 'rsocket'`: looks whether the peer is there, every so many milliseconds, or every minute where they are 0. Connections of
   * sessions watch over themselves (`keepAliveMillis`).
   */
  setKeepAlive(isOn = false, initialDelayMillis = 0): this {
    this.#keepsAlive = isOn;
    if (initialDelayMillis > 0) this.#keepAliveMillis = Math.min(Math.ceil(initialDelayMillis), MAX_MILLIS);
    this.#keepAlive?.(this.#keepsAlive, this.#keepAliveMillis);
    return this;
  }

  /** Without effect: nothing is delayed. */
  setNoDelay(_isOn?: boolean): this {
    return this;
  }

  /** Keeps the process alive while it is open or connects, which it does unless `unref` was called last. */
  ref(): this {
    this.#isReferenced = true;
    this.#hold?.ref();
    return this;
  }

  /** Lets the process end though it is open. */
  unref(): this {
    this.#isReferenced = false;
    this.#hold?.unref();
    return this;
  }

  /** Ends the socket, and destroys it when everything is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.#endsSoon = true;
  }

  /** Destroys the socket; the peer gets an error, ECONNRESET. */
  resetAndDestroy(): this {
    if (this.connecting) this.#resetsSoon = true;
    else if (this.pending) this.destroy(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
    else this.#reset();
    return this;
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.#idle.refresh();
    if (this.#readInto !== undefined && chunk !== null) return this.#readInto.add(chunk as Uint8Array);
    if (this.#readInto?.isEmpty === false) {
      this.#hasEndBehind = true;
      return false;
    }
    const wantsMore = super.push(chunk, encoding);
    // The end is told also where nobody reads, when there is nothing to be read before it.
    if (chunk === null) this.read(0);
    return wantsMore;
  }

  /** With `onread`: nothing is told before `resume`. */
  override pause(): this {
    this.#readInto?.stop();
    return super.pause();
  }

  override resume(): this {
    super.resume();
    if (this.#readInto?.goOn() === true && this.#isAttached && !this.destroyed) {
      if (this.#hasEndBehind) this.push(null);
      else this._read();
    }
    return this;
  }

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event !== 'close') return super.emit(event, ...values);
    this.#isOver = true;
    this.#hold?.end();
    this.#onClose?.();
    this.#onClose = undefined;
    return super.emit('close', this.errored !== null);
  }

  override _write(chunk: Uint8Array, encoding: BufferEncoding, callback: Callback): void {
    if (this.#isIdle()) callback(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
    else super._write(chunk, encoding, this.#writing(chunk.length, callback));
  }

  override _writev(chunks: readonly { chunk: Uint8Array }[], callback: Callback): void {
    if (this.#isIdle()) {
      callback(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
      return;
    }
    let bytes = 0;
    for (const { chunk } of chunks) bytes += chunk.length;
    super._writev(chunks, this.#writing(bytes, callback));
  }

  override _final(callback: Callback): void {
    super._final((error) => {
      callback(error);
      // Node tells `finish` in a tick that it has asked for by now.
      process.nextTick(() => {
        if (this.#endsSoon) this.destroy();
      });
    });
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#idle.stop();
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.abort();
    super._destroy(error, callback);
  }

  protected override told(error: Error): Error {
    return netError(error, { syscall: 'read' });
  }

  /** Nobody has used it yet. */
  #isNew(): boolean {
    return this.#isIdle() && !this.destroyed;
  }

  /** After `close` it is as it was when it was made, but for its listeners and settings. What nobody read is gone. */
  #begin(): void {
    while (this.readableLength > 0) {
      if (this.read(Math.min(this.readableLength, this.readableHighWaterMark)) === null) break;
    }
    this.renew();
    this.#readInto?.forget();
    this.#hasEndBehind = false;
    (this as unknown as Renewable)._undestroy();
    this.#isOver = false;
    this.#endsSoon = false;
    this.#resetsSoon = false;
    this.#channel = undefined;
    this.#isAttached = false;
    this.#underWay = 0;
    this.#iomap = undefined;
    this.#keepAlive = undefined;
    this.#local = undefined;
    this.#remote = undefined;
  }

  /** Nobody has asked it to connect. */
  #isIdle(): boolean {
    return this.#channel === undefined && this.#attempt === undefined;
  }

  #reset(): void {
    this.#channel?.reset();
    this.destroy();
  }

  #writing(bytes: number, callback: Callback): Callback {
    this.#idle.refresh();
    this.#underWay = bytes;
    return (error) => {
      this.#underWay = 0;
      this.#idle.refresh();
      callback(error);
    };
  }

  async #connect(options: SocketConnectOptions, signal: AbortSignal): Promise<void> {
    let stream: TransportStream;
    try {
      stream = await reach(options, signal, this);
    } catch (error) {
      if (!signal.aborted) this.destroy(error as Error);
      return;
    }
    process.nextTick(() => {
      if (signal.aborted) giveUp(stream);
      else this.#connected(stream);
    });
  }

  /** Nothing is read before the program has heard that it is connected. What it throws then is its own, and loses no stream. */
  #connected(stream: TransportStream): void {
    this.#attempt = undefined;
    this.#idle.refresh();
    this.#take(stream);
    try {
      this.emit('connect');
      this.emit('ready');
    } finally {
      if (this.#resetsSoon) this.#reset();
      this.#attach();
    }
  }

  #take(stream: TransportStream): void {
    this.#iomap = stream.iomap;
    this.#keepAlive = stream.setKeepAlive;
    if (this.#keepsAlive) this.#keepAlive?.(true, this.#keepAliveMillis);
    this.#local = stream.local;
    this.#remote = stream.remote;
    this.#channel = new PartingChannel(stream);
  }

  #attach(): void {
    this.#isAttached = true;
    if (this.#channel !== undefined) this.attach(this.#channel);
    if (!this.isPaused()) this.read(0);
  }
}

function giveUp({ channel, release }: TransportStream): void {
  channel.close(null);
  release();
}
