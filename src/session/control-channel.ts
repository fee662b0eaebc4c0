/**
 * The control channel of a session: frames over one TLS socket, from the moment that TLS is up.
 *
 * Invariants:
 * - It ends once, for one reason; the first reason stays. After that nothing is delivered but what came before a `bye`.
 * - Both directions are bounded: frames that nobody awaits pause the socket, a peer that does not read is dropped.
 * - Until `handshakeDone()` the deadline of the handshake runs; after the end the socket is gone within `lingerMillis`.
 * - Nothing that the peer sends throws or rejects anywhere but in `receive()` and `send()`.
 */
import type { TLSSocket } from 'node:tls';
import { closedError, RdmaError } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';
import { type RefusalKind, refusalKindOf, toldRefusalKind } from '../verbs/refusal-kind.js';
import { cleanText } from './clean-text.js';
import { FrameDecoder } from './frame-decoder.js';
import {
  byeFrame,
  type DecodedFrame,
  encodeFrame,
  errorFrame,
  type Frame,
  type FrameOf,
  type FrameType,
} from './frames.js';
import type { HandshakeDeadline } from './handshake-deadline.js';
import { type PeerIdentity, peerIdentity } from './peer-identity.js';
import type { SessionRole } from './session-data.js';
import { explainTlsError } from './tls-errors.js';

const MAX_AWAITED_FRAMES = 16;
const MAX_UNSENT_BYTES = 65_536;
const KEEP_ALIVE_MILLIS = 15_000;
const DEFAULT_LINGER_MILLIS = 500;

export interface ControlChannelOptions {
  /** Our own side. */
  readonly role: SessionRole;
  /** Runs since the TCP connection began. */
  readonly deadline: HandshakeDeadline;
  /** How long a peer has to take the last frame and close its side. Default 500. */
  readonly lingerMillis?: number;
  /** What it means that the peer ended the connection before it sent anything. */
  readonly silentEnd?: () => RdmaError;
  /** Told once when the socket is gone and everything is freed. */
  readonly onGone?: (channel: ControlChannel) => void;
}

/** How a channel ended: with `undefined` when either side said `bye`. */
export interface ChannelEnd {
  readonly error: RdmaError | undefined;
  /** The kind that the peer told, when it was the peer that ended it by an error. */
  readonly told?: RefusalKind;
  /** What the `bye` of the peer told: which fragment it expected next. */
  readonly received?: number;
}

interface Waiter {
  resolve(frame: Frame): void;
  reject(error: RdmaError): void;
}

/** Gets the frames of a channel on which nobody waits for one. */
export interface FrameWatch {
  /** Whether frames of this type are for it. */
  takes(type: FrameType): boolean;
  onFrame(type: FrameType): void;
  /** The next frame is not for it, but for `receive`. Nothing more is told. */
  onOther(): void;
  /** No more will come, for this reason. */
  onNoMore(error: RdmaError): void;
}

export class ControlChannel implements AsyncDisposable {
  readonly role: SessionRole;
  /** Who the peer is; `null` when it showed no certificate (a server without mutual TLS). */
  readonly peer: PeerIdentity | null;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Resolves when the socket is gone and everything is freed; never rejects. */
  readonly closed: Promise<ChannelEnd>;

  /** What it means that the deadline of the handshake passes now; `null`: that the peer is too slow. */
  meaningOfDeadline: ((tooSlow: RdmaError) => RdmaError) | null = null;

  /** Told when `closed` resolves: for those who want to know only for a while, as promises keep who waits for them. */
  onClosed: ((end: ChannelEnd) => void) | null = null;

  readonly #socket: TLSSocket;
  readonly #deadline: HandshakeDeadline;
  readonly #lingerMillis: number;
  readonly #silentEnd: (() => RdmaError) | undefined;
  readonly #onGone: ((channel: ControlChannel) => void) | undefined;
  readonly #decoder = new FrameDecoder();
  readonly #incoming: Frame[] = [];
  #undecoded: Generator<DecodedFrame, void, void> | undefined;
  #waiter: Waiter | undefined;
  #watch: FrameWatch | null = null;
  #isTelling = false;
  /** Somebody looks at the next frame and has not taken it; and what it is, when it is here. */
  #peeked: Promise<Frame> | undefined;
  #seen: Frame | undefined;
  #end: ChannelEnd | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;
  #heardFromPeer = false;
  #sessions = 0;

  constructor(socket: TLSSocket, options: ControlChannelOptions) {
    this.role = options.role;
    this.peer = peerIdentity(socket);
    this.remoteAddress = socket.remoteAddress ?? '';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '';
    this.localPort = socket.localPort ?? 0;
    this.#socket = socket;
    this.#deadline = options.deadline;
    this.#lingerMillis = options.lingerMillis ?? DEFAULT_LINGER_MILLIS;
    this.#silentEnd = options.silentEnd;
    this.#onGone = options.onGone;
    this.closed = new Promise((resolve) => {
      // Not `once`, which makes three objects of it: a socket closes once.
      socket.on('close', () => {
        const end = this.#closed();
        resolve(end);
        this.onClosed?.(end);
        this.#onGone?.(this);
      });
    });
    this.#deadline.onExpired = () => {
      const tooSlow = this.#tooSlow();
      this.fail(this.meaningOfDeadline?.(tooSlow) ?? tooSlow);
    };
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MILLIS);
    socket.on('error', (error) => this.#onSocketError(error));
    socket.on('end', () => this.#onEnd());
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
  }

  /** `the client 192.0.2.7:50123`, for messages. */
  get peerName(): string {
    return `the ${this.role === 'server' ? 'client' : 'server'} ${hostPort(this.remoteAddress, this.remotePort)}`;
  }

  /** Why and that the channel ended; `undefined` while it is open. */
  get end(): ChannelEnd | undefined {
    return this.#end;
  }

  /** How often both ends were ready over this channel so far; both count the same. */
  get sessionsBefore(): number {
    return this.#sessions;
  }

  /** Both ends are ready. */
  sessionMet(): void {
    this.#sessions++;
  }

  /** Keeps the process alive no more: its owner does, if anybody. */
  unref(): void {
    this.#socket.unref();
  }

  /** A session is established: the deadline of the handshake no longer applies. */
  handshakeDone(): void {
    this.#deadline.disarm();
  }

  /**
   * Queues a frame. What becomes of it shows in `receive()` and `closed`.
   *
   * @throws RdmaError why the channel ended, if it has; ERR_RDMA_INVALID_ARGUMENT for a frame the peer would refuse.
   */
  send(frame: Frame): void {
    if (this.#end !== undefined) throw this.#endError();
    this.#socket.write(encodeFrame(frame));
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      const message = `${this.peerName} does not read its control channel`;
      this.#finish({ error: new RdmaError('ERR_RDMA_CONNECTION_LOST', message) });
    }
  }

  /**
   * The next frame. A peer's `bye` is delivered; its `error` frame is not, it becomes ERR_RDMA_REFUSED.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL, ERR_RDMA_REFUSED, ERR_RDMA_TIMEOUT, ERR_RDMA_TLS, ERR_RDMA_CONNECTION_LOST;
   *   ERR_RDMA_CLOSED after a `bye`; ERR_RDMA_INVALID_STATE while another `receive()` waits.
   */
  receive(): Promise<Frame> {
    const next = this.peek();
    this.#peeked = undefined;
    this.#seen = undefined;
    return next;
  }

  /**
   * The next frame, which stays the next one: it tells who shall read it. May be asked for again, and another reader may
   * take the frame while this one waits for it.
   *
   * @throws RdmaError as `receive`.
   */
  peek(): Promise<Frame> {
    if (this.#peeked !== undefined) return this.#peeked;
    if (this.#waiter !== undefined) {
      const message = 'a receive() is waiting already; await it first';
      return Promise.reject(new RdmaError('ERR_RDMA_INVALID_STATE', message));
    }
    this.#peeked = this.#next();
    return this.#peeked;
  }

  async #next(): Promise<Frame> {
    const frame = this.#incoming.shift();
    if (frame !== undefined) {
      this.#seen = frame;
      this.#decode();
      return frame;
    }
    if (this.#end !== undefined) throw this.#endError();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /**
   * From now on `watch` gets what comes, and what is here; `null`: nobody does. It is told while nothing else is under way. A
   * function that waits for the next frame would hold a KiB. Who still looks at the next frame hears no more of it.
   */
  watch(watch: FrameWatch | null): void {
    this.#watch = watch;
    if (watch === null) return;
    this.#leavePeeked();
    this.#tellSoon();
  }

  /** The next frame is whoever's comes next. */
  #leavePeeked(): void {
    if (this.#peeked === undefined) return;
    this.#peeked = undefined;
    this.#waiter = undefined;
    if (this.#seen !== undefined) this.#incoming.unshift(this.#seen);
    this.#seen = undefined;
  }

  #tellSoon(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      while (this.#watch !== null && this.#tell(this.#watch));
    });
  }

  /** Returns whether there may be more to tell. */
  #tell(watch: FrameWatch): boolean {
    const [frame] = this.#incoming;
    if (frame !== undefined && watch.takes(frame.type)) {
      this.#incoming.shift();
      this.#decode();
      watch.onFrame(frame.type);
      return true;
    }
    if (frame === undefined && this.#end === undefined) return false;
    this.#watch = null;
    if (frame === undefined) watch.onNoMore(this.#endError());
    else watch.onOther();
    return false;
  }

  /** Says that the connection goes on without this session: no frame of this side follows. The peer says so, too (`part`). */
  leave(): void {
    if (this.#end === undefined) this.#socket.write(encodeFrame({ type: 'leave' }));
  }

  /** Both ends have said `leave`: ends TLS in order. Idempotent. */
  part(): void {
    this.#finish({ error: undefined });
  }

  /** Says `bye`, ends TLS and waits until the socket is gone. `received`: what the peer is told of its fragments. Idempotent. */
  async close(reason?: string, received?: number): Promise<void> {
    if (this.#end === undefined) {
      this.#socket.write(encodeFrame(byeFrame(reason, received)));
      this.#finish({ error: undefined });
    }
    await this.closed;
  }

  /** Ends the session because of `error`; the peer gets the kind of the refusal and `told`. */
  fail(error: RdmaError, told = error.message): void {
    if (this.#end !== undefined) return;
    this.#socket.write(encodeFrame(errorFrame(refusalKindOf(error), told)));
    this.#finish({ error });
  }

  /** Gives the channel up without a word, because the peer is taken for lost or came back by another way. */
  drop(error: RdmaError): void {
    this.#finish({ error });
    this.#socket.destroy();
  }

  /**
   * Secret bytes that only the two ends of this TLS connection can derive (RFC 8446, 7.5), one value for each label.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, or why the channel ended.
   */
  exportKeyingMaterial(lengthBytes: number, label: string, context: Uint8Array = new Uint8Array()): Buffer {
    if (this.#end !== undefined) throw this.#endError();
    return this.#socket.exportKeyingMaterial(lengthBytes, label, Buffer.from(context));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onData(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    this.#heardFromPeer = true;
    this.#undecoded = this.#decoder.push(chunk);
    this.#decode();
  }

  #decode(): void {
    while (this.#undecoded !== undefined) {
      if (this.#incoming.length >= MAX_AWAITED_FRAMES) {
        this.#socket.pause();
        return;
      }
      const next = this.#undecoded.next();
      if (next.done === true) {
        this.#undecoded = undefined;
        if (this.#socket.isPaused()) this.#socket.resume();
      } else {
        this.#accept(next.value);
      }
    }
  }

  #accept(decoded: DecodedFrame): void {
    if (!decoded.ok) {
      const { reason, message } = decoded.violation;
      this.fail(this.#violation(reason, message), `${reason}: ${message}`);
      return;
    }
    const { frame } = decoded;
    if (frame.type === 'error') {
      this.#finish({ error: this.#refusedBy(frame), told: toldRefusalKind(frame.code) });
      return;
    }
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter !== undefined) {
      if (this.#peeked !== undefined) this.#seen = frame;
      waiter.resolve(frame);
    } else {
      this.#incoming.push(frame);
      if (this.#watch !== null) this.#tellSoon();
    }
    if (frame.type === 'bye') this.#finish(endOf(frame));
  }

  #onEnd(): void {
    if (this.#end !== undefined) return;
    if (!this.#heardFromPeer && this.#silentEnd !== undefined) {
      this.#finish({ error: this.#silentEnd() });
      return;
    }
    const where = this.#decoder.insideFrame ? 'in the middle of a frame' : 'without saying bye';
    const error = new RdmaError('ERR_RDMA_CONNECTION_LOST', `${this.peerName} hung up ${where}`);
    this.#finish({ error });
  }

  #onSocketError(error: Error): void {
    const explained = explainTlsError(error, this.peerName);
    const silent = explained.code === 'ERR_RDMA_CONNECTION_LOST' && !this.#heardFromPeer;
    this.#finish({ error: silent && this.#silentEnd !== undefined ? this.#silentEnd() : explained });
  }

  /** The only place where the channel ends. */
  #finish(end: ChannelEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#deadline.disarm();
    this.#undecoded = undefined;
    // Frames before a fault are worthless: nobody should make objects for a peer that is already gone. But a peer that
    // was up before it failed has been up.
    if (end.error !== undefined) {
      const kept = this.#incoming.filter(({ type }) => type === 'proven');
      this.#incoming.splice(0, Number.POSITIVE_INFINITY, ...kept);
    }
    this.#waiter?.reject(this.#endError());
    this.#waiter = undefined;
    if (this.#watch !== null) this.#tellSoon();
    if (this.#socket.destroyed) return;
    // Keep reading, into nothing: a socket closed over unread bytes is reset, which can cost the peer our last frame.
    this.#socket.resume();
    this.#socket.end();
    this.#lingerTimer = setTimeout(() => this.#socket.destroy(), this.#lingerMillis);
  }

  #closed(): ChannelEnd {
    this.#onEnd();
    clearTimeout(this.#lingerTimer);
    return this.#end as ChannelEnd;
  }

  #endError(): RdmaError {
    return this.#end?.error ?? closedError(`the session with ${this.peerName}`);
  }

  /** A server says why it refuses; a client that leaves has left, whatever it calls that. */
  #refusedBy({ code, message }: FrameOf<'error'>): RdmaError {
    const refusal = this.role === 'client' ? toldRefusalKind(code) : 'left';
    const text = `${this.peerName} ended the session: ${cleanText(message, 512)}`;
    return new RdmaError('ERR_RDMA_REFUSED', text, { refusal });
  }

  #violation(reason: string, message: string): RdmaError {
    return new RdmaError(
      'ERR_RDMA_PROTOCOL',
      `${this.peerName} broke the session protocol (${reason}): ${message}`,
    );
  }

  #tooSlow(): RdmaError {
    return new RdmaError(
      'ERR_RDMA_TIMEOUT',
      `${this.peerName} did not finish the handshake within ${this.#deadline.totalMillis} ms`,
    );
  }
}

const endOf = ({ received }: FrameOf<'bye'>): ChannelEnd =>
  received === undefined ? { error: undefined } : { error: undefined, received };
