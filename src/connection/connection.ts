/**
 * A connection: messages in both directions, and one-sided access to the buffers that the two sides expose to each
 * other. It is bound to its session: when the control channel ends, the connection ends.
 *
 * Invariants: it ends once, by `close`, by the peer's quitting or by a failure, and then frees everything in order;
 * every promise that it gave out settles; the device stays open.
 */
import type { ControlChannel } from '../session/control-channel.js';
import type { SessionParameters } from '../session/frames.js';
import type { PeerIdentity } from '../session/peer-identity.js';
import { AccessFlags } from '../verbs/access-flags.js';
import type { AsyncEvent } from '../verbs/async-event.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { qpStateName } from '../verbs/qp-state.js';
import { createCompletions, WcStatus } from '../verbs/work-completion.js';
import { WrOpcode } from '../verbs/work-request.js';
import { MessageType } from './message-header.js';
import { type Message, MessageReceiver } from './message-receiver.js';
import { MessageSender } from './message-sender.js';
import { RemoteBuffer } from './remote-buffer.js';
import type { ConnectionResources } from './resources.js';
import { StepName, type StepReporter } from './steps.js';
import { completionError, type Work, WorkTracker } from './work-tracker.js';

const POLL_BATCH = 32;
/** How long the orderly end may take before it becomes an abrupt one. */
const QUIT_MILLIS = 1500;
/** How long an answer of the data path may come after the end of the session. */
const LAST_ANSWER_MILLIS = 20;

export interface ConnectionStatistics {
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly writes: number;
  readonly reads: number;
}

export class Connection implements AsyncIterable<Message>, AsyncDisposable {
  /** Number of the connection, unique in its server or process. */
  readonly id: number;
  /** The peer's certificate, verified; `null` when it showed none. */
  readonly peer: PeerIdentity | null;
  readonly remoteAddress: string;
  /** What the peer lets us write and read; `null` when nothing. */
  readonly remoteBuffer: RemoteBuffer | null;
  /** Resolves when everything is freed: with `undefined` after an orderly end, else with what went wrong. */
  readonly closed: Promise<RdmaError | undefined>;

  readonly #channel: ControlChannel;
  readonly #resources: ConnectionResources;
  readonly #reporter: StepReporter;
  readonly #tracker: WorkTracker;
  readonly #sender: MessageSender;
  readonly #receiver: MessageReceiver;
  readonly #completions = createCompletions(POLL_BATCH);
  readonly #statistics = {
    messagesSent: 0,
    messagesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    writes: 0,
    reads: 0,
  };
  readonly #stopEvents: () => void;
  /** What else has to be freed with the connection, after everything of its own. */
  readonly #afterEnd: (() => Promise<void>)[] = [];
  #resolveClosed: (error: RdmaError | undefined) => void = () => {};
  #peerQuit = false;
  #ending: Promise<void> | undefined;

  /** Made by `connect` and `listen`. Posts the receives; the queue pair must be in RTS. */
  constructor(
    channel: ControlChannel,
    resources: ConnectionResources,
    peer: SessionParameters,
    reporter: StepReporter,
  ) {
    this.id = reporter.connection;
    this.peer = channel.peer;
    this.remoteAddress = channel.remoteAddress;
    const { buffer } = peer;
    this.remoteBuffer =
      buffer === null ? null : new RemoteBuffer(BigInt(`0x${buffer.addr}`), buffer.rkey, buffer.length);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#channel = channel;
    this.#resources = resources;
    this.#reporter = reporter;
    this.#tracker = new WorkTracker(resources.qp);
    this.#receiver = this.#createReceiver();
    this.#sender = this.#createSender(peer);
    this.#stopEvents = resources.pd.device.onAsyncEvent((event) => this.#onAsyncEvent(event));
    this.#receiver.start();
    resources.channel.onEvent = () => this.#drain();
    this.#drain();
  }

  /** The session is established: watch it. Called once, by whoever made the connection. */
  open(): void {
    void this.#watchChannel();
  }

  /** Adds something to be freed at the very end. For whoever made the connection. */
  onEnd(release: () => Promise<void>): void {
    this.#afterEnd.push(release);
  }

  /** The memory that the peer may write and read; empty when it may not. */
  get buffer(): Uint8Array {
    return this.#resources.bufferMr?.bytes ?? new Uint8Array(0);
  }

  get statistics(): ConnectionStatistics {
    return { ...this.#statistics };
  }

  /** For people: addresses, queue pair and its state. */
  describe(): Readonly<Record<string, string | number>> {
    const { qp } = this.#resources;
    return { id: this.id, remote: this.remoteAddress, qpn: qp.qpn, state: qpStateName(qp.state) };
  }

  /**
   * Sends a message of any length up to the peer's limit; resolves when all of it is in the peer's memory. Messages
   * arrive in the order of the calls. `data` must not change meanwhile.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, or why the connection was lost.
   */
  send(data: string | Uint8Array, type: MessageType = MessageType.DATA): Promise<void> {
    if (this.#ending !== undefined) return Promise.reject(closedError('the connection'));
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    this.#statistics.messagesSent++;
    this.#statistics.bytesSent += bytes.length;
    return this.#sendMessage(type, bytes);
  }

  /** The next message; `undefined` when the peer has quit. */
  async receive(): Promise<Message | undefined> {
    const message = await this.#receiver.next();
    if (message !== undefined) {
      this.#statistics.messagesReceived++;
      this.#statistics.bytesReceived += message.data.length;
    }
    return message;
  }

  /** Messages until the peer quits; throws when the connection is lost. */
  async *[Symbol.asyncIterator](): AsyncIterator<Message> {
    for (let message = await this.receive(); message !== undefined; message = await this.receive()) {
      yield message;
    }
  }

  /**
   * RDMA WRITE: puts `data` into the peer's memory without involving its program. Resolves when it is there.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION with the verbs status; a refused access ends the connection.
   */
  async write(remote: RemoteBuffer, data: Uint8Array): Promise<void> {
    if (data.length > remote.length) {
      throw usageError(`${data.length} bytes do not fit into the remote buffer of ${remote.length}`);
    }
    if (data.length === 0) return;
    const mr = await this.#register(data, 0);
    try {
      await this.#post({
        opcode: WrOpcode.RDMA_WRITE,
        sges: [{ mr }],
        remoteAddr: remote.addr,
        rkey: remote.rkey,
      });
      this.#statistics.writes++;
    } finally {
      await this.#resources.deregister(mr);
    }
  }

  /**
   * RDMA READ: fetches `length` bytes of the peer's memory without involving its program.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION with the verbs status; a refused access ends the connection.
   */
  async read(remote: RemoteBuffer, length: number = remote.length): Promise<Uint8Array> {
    if (!Number.isSafeInteger(length) || length < 0 || length > remote.length) {
      throw usageError(`cannot read ${length} bytes of a remote buffer of ${remote.length}`);
    }
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    const mr = await this.#register(bytes, AccessFlags.LOCAL_WRITE);
    try {
      await this.#post({
        opcode: WrOpcode.RDMA_READ,
        sges: [{ mr }],
        remoteAddr: remote.addr,
        rkey: remote.rkey,
      });
      this.#statistics.reads++;
    } finally {
      await this.#resources.deregister(mr);
    }
    return bytes;
  }

  /** Ends the connection in order: what was sent before arrives, the peer is told, everything is freed. Idempotent. */
  async close(): Promise<void> {
    this.#ending ??= this.#endInOrder();
    await this.closed;
  }

  /** Ends the connection at once because of `error`, which whoever waits for something gets. Idempotent. */
  abort(error: RdmaError): void {
    this.#ending ??= this.#end(error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- completions --------------------------------------------------------------------------------------------------

  /** Arms both queues and takes what is there; what comes later raises an event. */
  #drain(): void {
    const { sendCq, recvCq } = this.#resources;
    if (sendCq.closed || recvCq.closed) return;
    try {
      sendCq.reqNotify();
      this.#drainSends();
      recvCq.reqNotify();
      this.#drainReceives();
    } catch (error) {
      const failure = error instanceof RdmaError ? error : internal(error);
      this.abort(failure);
    }
  }

  #drainSends(): void {
    const { sendCq } = this.#resources;
    for (let count = sendCq.poll(this.#completions); count > 0; count = sendCq.poll(this.#completions)) {
      for (let i = 0; i < count; i++) {
        const completion = this.#completions[i];
        if (completion === undefined) continue;
        const { status } = completion;
        this.#tracker.onCompletion(completion);
        if (status !== WcStatus.SUCCESS && status !== WcStatus.WR_FLUSH_ERR) throw completionError(status);
      }
    }
  }

  #drainReceives(): void {
    const { recvCq } = this.#resources;
    for (let count = recvCq.poll(this.#completions); count > 0; count = recvCq.poll(this.#completions)) {
      for (let i = 0; i < count; i++) {
        const completion = this.#completions[i];
        if (completion === undefined || completion.status === WcStatus.WR_FLUSH_ERR) continue;
        if (completion.status !== WcStatus.SUCCESS) throw completionError(completion.status);
        this.#receiver.onFragment(completion.wrId, completion.byteLen);
      }
    }
  }

  #onAsyncEvent(event: AsyncEvent): void {
    if (!('qp' in event) || event.qp !== this.#resources.qp) return;
    if (event.type === 'QP_ACCESS_ERR' || event.type === 'QP_REQ_ERR' || event.type === 'QP_FATAL') {
      const message = `the queue pair failed (${event.type}): the peer asked for something that it may not do`;
      this.abort(new RdmaError('ERR_RDMA_COMPLETION', message, { status: event.type }));
    }
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  async #watchChannel(): Promise<void> {
    try {
      const frame = await this.#channel.receive();
      if (frame.type === 'bye') {
        this.#onPeerQuit();
        await this.close();
        return;
      }
      const message = `${this.#channel.peerName} sent "${frame.type}" after the session was established`;
      this.abort(new RdmaError('ERR_RDMA_PROTOCOL', message));
    } catch (error) {
      // A peer that refused a request also ends the session. What the request itself was answered says more, and left
      // the peer first, but by another way: give it a moment to arrive.
      if (this.#tracker.pending > 0) await settledWithin(this.closed, LAST_ANSWER_MILLIS);
      this.abort(error instanceof RdmaError ? error : internal(error));
    }
  }

  #onPeerQuit(): void {
    if (this.#peerQuit) return;
    this.#peerQuit = true;
    this.#reporter.report(StepName.QUIT);
    this.#receiver.end();
  }

  async #endInOrder(): Promise<void> {
    if (!this.#peerQuit && this.#channel.end === undefined) {
      const quit = this.#sendMessage(MessageType.QUIT, new Uint8Array(0));
      await settledWithin(Promise.race([quit, this.#channel.closed]), QUIT_MILLIS);
    }
    await this.#end(undefined);
  }

  async #end(error: RdmaError | undefined): Promise<void> {
    const why = error ?? closedError('the connection');
    this.#stopEvents();
    this.#sender.fail(why);
    this.#tracker.fail(why);
    if (error === undefined) this.#receiver.end();
    else this.#receiver.fail(error);
    // Tell the peer first: it should not wait while this side cleans up. The socket itself goes last.
    if (error !== undefined) this.#channel.fail(error, peerAnswer(error));
    await this.#resources
      .destroy()
      .catch((cause: unknown) => this.#reporter.report(StepName.QP_DESTROYED, { failed: String(cause) }));
    await this.#channel.close('quit');
    this.#reporter.report(StepName.TLS_CLOSED);
    for (const release of this.#afterEnd) await release();
    this.#resolveClosed(error);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #createReceiver(): MessageReceiver {
    const { qp, recvMr, limits } = this.#resources;
    return new MessageReceiver({
      qp,
      mr: recvMr,
      slots: limits.receiveSlots,
      slotBytes: limits.slotBytes,
      maxMessageBytes: limits.maxMessageBytes,
      highWaterBytes: limits.receiveSlots * limits.slotBytes,
      onPeerTaken: (taken) => this.#sender.onPeerTaken(taken),
      onTaken: () => this.#sender.advertise(),
      onQuit: () => this.#onPeerQuit(),
    });
  }

  #createSender(peer: SessionParameters): MessageSender {
    const { sendMr, sendSlots, limits } = this.#resources;
    const sender = new MessageSender({
      mr: sendMr,
      slots: sendSlots,
      slotBytes: limits.slotBytes,
      ownSlots: limits.receiveSlots,
      tracker: this.#tracker,
      taken: () => this.#receiver.taken,
    });
    sender.start(peer.receive.slots, peer.receive.slotBytes);
    return sender;
  }

  #sendMessage(type: MessageType, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sender.send(type, bytes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  #post(work: Work): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#tracker.post(work, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  #register(bytes: Uint8Array, access: number): Promise<MemoryRegion> {
    if (this.#ending !== undefined) throw closedError('the connection');
    return this.#resources.register(bytes, access);
  }
}

const internal = (cause: unknown): RdmaError =>
  new RdmaError('ERR_RDMA_INVALID_STATE', 'the connection failed on an internal error', { cause });

/** What the peer is told: the code, and for its own faults the reason; never more of this side than that. */
function peerAnswer(error: RdmaError): { code: string; message: string } {
  const told = error.fault === 'peer' || error.code === 'ERR_RDMA_COMPLETION';
  return { code: error.code, message: told ? error.message : 'the other side ended the connection' };
}

/** Waits for `promise` to settle, either way, but not longer than `millis`. */
async function settledWithin(promise: Promise<unknown>, millis: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  await Promise.race([promise.catch(() => {}), timeout]);
  clearTimeout(timer);
}
