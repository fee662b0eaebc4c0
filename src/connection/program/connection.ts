/**
 * A connection as programs see it: messages in both directions, and one-sided access to the buffers that the two sides
 * expose to each other. It survives the failure of its queue pair and of its session: its lifeline replaces them, and
 * nothing that was promised is lost, doubled or reordered.
 *
 * Invariants: it ends once, by `close`, by the peer's quitting or by a failure that recovery does not mend, and then
 * frees everything in order; every promise that it gave out settles; the device stays open.
 */
import { EventEmitter } from 'node:events';
import type { ProcessHold } from '../../process-hold.js';
import type { PeerIdentity } from '../../session/peer-identity.js';
import { closedError, type RdmaError } from '../../verbs/errors.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import type { Memory } from '../common/memory-argument.js';
import type { ProgramPlane, QueuePairStatus } from '../data-path/data-plane.js';
import type { ConnectionLife, SessionState } from '../lifeline/connection-life.js';
import { RemoteBuffer } from '../memory/remote-buffer.js';
import type { Message } from '../messages/message-inbox.js';
import type { CallOptions, OneSidedOptions, SendOptions } from './call-options.js';
import { checkAllocate, checkReason } from './call-rules.js';
import type { ConnectionEvents } from './connection-events.js';
import type { ConnectionStream, OpenStreamOptions } from './connection-stream.js';
import type { Grant, GrantOptions } from './grant.js';
import { lookBy } from './look-into.js';
import { MessageAccess } from './message-access.js';
import { MessageLoop } from './message-loop.js';
import {
  areOperationsWatched,
  type ConnectionNote,
  type OperationKind,
  watchOperation,
} from './operation-watch.js';
import { ProgramSide } from './program-side.js';
import { isToldElsewhere } from './rejections.js';
import type { SendLimits, SendQueue } from './send-queue.js';

export interface ConnectionStatistics {
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly writes: number;
  readonly reads: number;
  /** How often the connection came up again after a failure. */
  readonly recoveries: number;
}

/** `state`: `RTS`, `ERR`, … */
export type ConnectionQueuePair = QueuePairStatus;

/** What whoever makes a connection has for it: what keeps the process alive, and who watches. */
export interface ConnectionOwner {
  readonly hold: ProcessHold;
  readonly note?: ConnectionNote | undefined;
}

export class Connection
  extends EventEmitter<ConnectionEvents>
  implements AsyncIterable<Message>, AsyncDisposable
{
  /** Number of the connection, unique in its server or process. */
  readonly id: number;
  /** The peer's certificate, verified; `null` when it showed none. */
  readonly peer: PeerIdentity | null;
  /** What the peer lets us write and read; `null` when nothing. */
  readonly remoteBuffer: RemoteBuffer | null;
  /** Bytes of the longest message that the peer takes. */
  readonly maxMessageBytes: number;

  readonly #lifeline: ConnectionLife;
  readonly #plane: ProgramPlane;
  readonly #messages: MessageAccess;
  readonly #side: ProgramSide;
  readonly #note: ConnectionNote | undefined;
  readonly #hold: ProcessHold;

  static {
    lookBy((connection) => {
      if (!(#side in connection)) return undefined;
      return { lifeline: connection.#lifeline, dataPath: connection.#plane, side: connection.#side };
    });
  }

  /** Made by `connect` and `listen`; the lifeline must be up. It ends `hold`. */
  constructor(
    id: number,
    lifeline: ConnectionLife,
    plane: ProgramPlane,
    { sendQueueBytes }: Pick<SendLimits, 'sendQueueBytes'>,
    { hold, note }: ConnectionOwner,
  ) {
    super();
    forgetListeners(this);
    this.#hold = hold;
    this.id = id;
    this.#note = note;
    this.peer = lifeline.rendezvous.peer;
    const buffer = lifeline.peerTerms?.buffer ?? null;
    this.remoteBuffer = buffer === null ? null : new RemoteBuffer(buffer.addr, buffer.rkey, buffer.length);
    this.#lifeline = lifeline;
    const maxMessageBytes = lifeline.peerTerms?.messages.maxBytes ?? 0;
    this.maxMessageBytes = maxMessageBytes;
    this.#plane = plane;
    this.#messages = new MessageAccess(lifeline, plane, { sendQueueBytes, maxMessageBytes });
    const side = new ProgramSide(this, lifeline, plane, hold);
    this.#side = side;
    lifeline.listener = side;
    plane.programListener = side;
    // It may have ended before anybody listened.
    if (lifeline.isEnding) void lifeline.closed.then((error) => side.onClosed(error));
  }

  /** Resolves when everything is freed: with `undefined` after an orderly end, else with what went wrong. */
  get closed(): Promise<RdmaError | undefined> {
    return this.#lifeline.closed;
  }

  /** Whether messages and one-sided access are sealed. */
  get isEncrypted(): boolean {
    return this.#lifeline.isEncrypted;
  }

  /** Address of the peer's end of the session. */
  get remoteAddress(): string {
    return this.#lifeline.rendezvous.remoteAddress;
  }

  /** TCP port of the peer's end of the session. */
  get remotePort(): number {
    return this.#lifeline.rendezvous.remotePort;
  }

  /** Address of this end of the session. */
  get localAddress(): string {
    return this.#lifeline.rendezvous.localAddress;
  }

  /** TCP port of this end of the session. */
  get localPort(): number {
    return this.#lifeline.rendezvous.localPort;
  }

  /** The memory that the peer may write and read; empty when it may not. */
  get buffer(): Uint8Array {
    return this.#lifeline.lentMemory;
  }

  /** Whether TLS is there, was left on purpose, or is lost. */
  get session(): SessionState {
    return this.#lifeline.session;
  }

  /** What `send` was given and the peer does not have yet. */
  get sendQueue(): SendQueue {
    return this.#messages.sendQueue;
  }

  get statistics(): ConnectionStatistics {
    const { messagesSent, messagesReceived, bytesSent, bytesReceived } = this.#messages;
    const { writes, reads, recoveries } = this.#side;
    return { messagesSent, messagesReceived, bytesSent, bytesReceived, writes, reads, recoveries };
  }

  /** The present queue pair; `null` while there is none, as in the middle of a recovery. */
  get queuePair(): ConnectionQueuePair | null {
    return this.#lifeline.queuePair;
  }

  /**
   * How far the present queue pair has come; `null` where there is none, where the device cannot tell, or where its worker does not
   * answer within a second.
   */
  queryProgress(): Promise<QueuePairProgress | null> {
    return this.#plane.progress();
  }

  /**
   * What the present queue pair counts, by name: packets, retransmissions, NAKs, drops by reason. It begins at 0 with each
   * recovery; empty where there is none, where the device counts for all queue pairs together (`device.counters()`), or where its
   * worker does not answer within a second.
   */
  queryCounters(): Promise<Readonly<Record<string, number>>> {
    return this.#plane.counters();
  }

  /** For people: addresses, queue pair and its state. */
  describe(): Readonly<Record<string, string | number>> {
    return { id: this.id, remote: this.remoteAddress, ...this.queuePair };
  }

  /**
   * Sends a message of any length up to the peer's limit; resolves when all of it is in the peer's memory. Messages
   * arrive once and in the order of the calls, also when the connection recovers meanwhile. `data` must not change
   * until then; of a view or a buffer all bytes are sent.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, or why the connection was lost, for a message of which nothing had left;
   * ERR_RDMA_OUTCOME_UNKNOWN because of that, or of the program's own impatience, for one that the peer may have;
   * ERR_RDMA_ABORTED, ERR_RDMA_TIMEOUT; ERR_RDMA_MESSAGE_TOO_LARGE above `maxMessageBytes`, ERR_RDMA_QUEUE_FULL when
   * `sendQueue` is full: await the sends before; ERR_RDMA_INVALID_ARGUMENT.
   * The connection goes on then. A rejection because the connection has ended need not be handled: `closed` tells of it.
   */
  send(data: string | Memory, options: SendOptions = {}): Promise<void> {
    const running = this.#messages.send(data, options);
    if (areOperationsWatched()) this.#watched('send', sizeOf(data), running);
    return this.#told(running);
  }

  /**
   * The next message; `undefined` when the peer has quit.
   *
   * @throws RdmaError why the connection was lost; ERR_RDMA_ABORTED, ERR_RDMA_TIMEOUT: then it has taken none.
   */
  receive(options: CallOptions = {}): Promise<Message | undefined> {
    return this.#messages.receive(options);
  }

  /** Messages until the peer quits; throws when the connection is lost. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return new MessageLoop(this.#messages);
  }

  /**
   * Opens a byte stream to the peer, which gets it as its event `stream`: a `stream.Duplex` that ends with the connection and
   * survives its recovery. It can be written at once; when the peer has as many streams open as it takes, bytes wait in it.
   *
   * `destroy` before both directions have ended resets it: the peer's stream ends with ERR_RDMA_STREAM_RESET. It ends itself
   * with that error, with an AbortError of its signal, or with why the connection ended.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, ERR_RDMA_LIMIT when the peer takes no streams at all, ERR_RDMA_INVALID_ARGUMENT.
   */
  openStream(options: OpenStreamOptions = {}): ConnectionStream {
    return this.#side.streams.open(options);
  }

  /**
   * New memory of so many bytes, all zero, that is registered as long as the connection lives, and that the peer cannot reach. Long
   * chunks in it, as in `connection.buffer`, are sent by streams from where they are, whatever the device.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, ERR_RDMA_NO_MEMORY, ERR_RDMA_LIMIT, ERR_RDMA_INVALID_ARGUMENT.
   */
  allocate(bytes: number): Promise<Uint8Array> {
    return this.#told(this.#allocate(bytes));
  }

  /**
   * RDMA WRITE: puts `data` into the peer's memory without involving its program. Resolves when it is there.
   *
   * `data` must not change until then.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION with the verbs status, ERR_RDMA_OUTCOME_UNKNOWN, or why the connection ended;
   * ERR_RDMA_QUEUE_FULL when `maxOperations` are under way; ERR_RDMA_ABORTED, ERR_RDMA_TIMEOUT.
   */
  write(remote: RemoteBuffer, data: Memory, options: OneSidedOptions = {}): Promise<void> {
    const running = this.#side.remote.write(remote, data, options);
    if (areOperationsWatched()) this.#watched('write', sizeOf(data), running);
    return this.#told(running);
  }

  /**
   * RDMA READ: fetches `length` bytes of the peer's memory without involving its program. Reading twice does no harm,
   * so a read goes on after a recovery unless `repeatable` is false.
   *
   * @throws RdmaError as `write`.
   */
  read(
    remote: RemoteBuffer,
    length: number | undefined = remote?.length,
    options: OneSidedOptions = {},
  ): Promise<Uint8Array> {
    const running = this.#side.remote.read(remote, length, options);
    if (areOperationsWatched()) this.#watched('read', length, running);
    return this.#told(running);
  }

  /**
   * Lets the peer read or write `buffer`, which may be a part of `connection.buffer` or any other memory of the program,
   * until the grant is revoked, expires, or the connection ends or recovers. Send `grant.remote.encode()` to the peer.
   * On an encrypted connection bytes that the peer may write are granted once, and not while they are lent.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT (also for rights that the peer may not have), ERR_RDMA_LIMIT,
   * ERR_RDMA_CLOSED, ERR_RDMA_CONNECTION_LOST while the connection recovers.
   */
  grant(buffer: Memory, options: GrantOptions): Promise<Grant> {
    return this.#told(this.#side.grants.grant(buffer, options));
  }

  /**
   * Takes nothing more from the peer: `receive` gives what has arrived, and then says that this was all. Whoever serves
   * the connection so comes to its end.
   */
  endReceiving(): void {
    this.#side.refuseStreams();
    this.#plane.endReceiving();
  }

  /**
   * Ends the connection in order: what was sent before arrives, the peer is told, everything is freed. A recovery that
   * is under way gets its time first. Reads and writes that have not ended are not waited for: await them before.
   * The process stays until it is done. Idempotent.
   */
  close(): Promise<void> {
    this.#hold.ref();
    if (!this.#lifeline.isEnding) this.#side.closeStreams();
    return this.#lifeline.close();
  }

  /**
   * Ends the connection at once because of `error`, which whoever waits for something gets. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for anything but an RdmaError; then nothing has happened.
   */
  abort(error: RdmaError): void {
    checkReason(error);
    this.#lifeline.abort(error);
  }

  /**
   * Keeps the process alive while it is open, which it does unless `unref` was called last. A device that the program opened does so,
   * too.
   */
  ref(): this {
    this.#hold.ref();
    return this;
  }

  /** Lets the process end though it is open. The peer then sees it fail, as when the process is killed. */
  unref(): this {
    this.#hold.unref();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #allocate(bytes: number): Promise<Uint8Array> {
    checkAllocate(bytes);
    if (this.#lifeline.isEnding) throw closedError('the connection');
    return this.#plane.allocate(bytes);
  }

  #watched(kind: OperationKind, bytes: number, running: Promise<unknown>): void {
    if (this.#note !== undefined) watchOperation(this.#note, kind, bytes, running);
  }

  #told<T>(running: Promise<T>): Promise<T> {
    const promise = new Promise<T>((resolve, reject) => {
      running.then(resolve, (error: unknown) => {
        if (isToldElsewhere(error, this.#lifeline.isEnding)) promise.catch(() => {});
        reject(error);
      });
    });
    return promise;
  }
}

/** An emitter makes what holds its listeners with the first of them. Made at once, it is 184 bytes of each of thousands that have none. */
function forgetListeners(emitter: object): void {
  (emitter as { _events?: object | undefined })._events = undefined;
}

/** Bytes of what was given; what it may be is checked elsewhere. */
const sizeOf = (data: string | Memory): number =>
  typeof data === 'string' ? Buffer.byteLength(data) : (data?.byteLength ?? 0);
