/**
 * One end of an rsocket that is connected, as a byte channel: hands completions to the machine, posts what it asks for, and
 * ends the connection when both have said all.
 *
 * Invariants: a byte is copied once on its way out and once on its way in; the peer's last word is acknowledged before the
 * queue pair goes; whatever ends the connection, the endpoint is closed and `closed` resolves.
 */
import type { CmConnection, CmEnding } from '../../cm/cm-connection.js';
import type { ByteChannel, ByteChannelListener } from '../../connection/streams/byte-channel.js';
import { ProcessHold } from '../../process-hold.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import { tell } from '../../verbs/listeners.js';
import { WcOpcode, type WorkCompletion } from '../../verbs/work-completion.js';
import type { FaultCounts } from './fault-counts.js';
import { PostWriter } from './post-writer.js';
import { RsocketFault } from './rsocket-fault.js';
import { RsocketIomap } from './rsocket-iomap.js';
import type { RsocketMachine } from './rsocket-machine.js';
import type { RsocketMemory } from './rsocket-memory.js';
import { PostKind } from './rsocket-post.js';
import type { RsocketTerms } from './wire/private-data.js';

/**
 * A peer that has said DISCONNECT says DREQ when that is acknowledged. The acknowledgement may be lost, and peers ask again after 2.3 s.
 * Where both have only ended their data, nobody knows who goes first.
 */
const LEAVING_MILLIS = 10_000;
const LAST_WORD_MILLIS = 1000;
/** What was written before the program closed has this long to arrive. */
const LINGER_MILLIS = 30_000;
/** What waits for the peer to give room has nothing under way that would tell that the peer is gone: so often something is. */
const PROBE_MILLIS = 2000;
/** When the queue pair has failed, rdma_cm has this long to say why before the program is told. */
const REASON_MILLIS = 1000;
/** A peer whose device has not answered a write will hardly answer DREQ. */
const GONE_MILLIS = 3000;
/** At most so much at a time goes to the program. */
const MAX_CHUNK_BYTES = 64 * 1024;

interface PendingWrite {
  readonly data: Uint8Array;
  readonly done: () => void;
}

export class RsocketChannel implements ByteChannel {
  listener: ByteChannelListener | null = null;
  readonly connection: CmConnection;
  /** Memory that either end lets the other write. */
  readonly iomap: RsocketIomap;
  /** All of it is freed. Never rejects. */
  readonly closed: Promise<void>;
  readonly #memory: RsocketMemory;
  readonly #machine: RsocketMachine;
  readonly #writer: PostWriter;
  readonly #faults: FaultCounts;
  readonly #ring: Uint8Array;
  /** In order; `#taken` bytes of the first are in the send ring. */
  readonly #writes: PendingWrite[] = [];
  #taken = 0;
  #piecesArrived = 0;
  #wantsEnd = false;
  #onEnded: (() => void) | null = null;
  #isClosed = false;
  /** The queue pair takes nothing any more. */
  #isDown = false;
  #isTold = false;
  #isLeaving = false;
  #lastWordTimer: NodeJS.Timeout | undefined;
  #keepAliveTimer: NodeJS.Timeout | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #tellClosed: () => void = () => {};
  #tellReleased: () => void = () => {};
  /** From `close` on: the peer is to hear of it. */
  readonly #hold = new ProcessHold(false);

  constructor(memory: RsocketMemory, peer: RsocketTerms, connection: CmConnection, faults: FaultCounts) {
    this.#memory = memory;
    this.#ring = memory.ring.bytes;
    this.#faults = faults;
    this.#machine = memory.machineWith(peer);
    this.#writer = new PostWriter(memory.endpoint.qp, memory.sendRing);
    this.iomap = new RsocketIomap(memory.endpoint, this.#machine, () => this.#post());
    this.connection = connection;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    // Not at once: its owner sets the listener first.
    setImmediate(() => this.#run());
  }

  write(data: Uint8Array, done: () => void): void {
    this.#writes.push({ data, done });
    this.#advance();
    this.#tellSoon();
  }

  end(done: () => void): void {
    this.#wantsEnd = true;
    this.#onEnded = done;
    this.#advance();
    this.#tellSoon();
  }

  read(): Uint8Array | undefined {
    const { incoming } = this.#machine;
    const bytes = Math.min(incoming.frontBytes, MAX_CHUNK_BYTES);
    if (bytes === 0) return undefined;
    const from = incoming.frontOffset;
    const chunk = Buffer.from(this.#ring.subarray(from, from + bytes));
    this.#machine.consume(bytes);
    this.#post();
    return chunk;
  }

  /** Messages of data that the peer's device has acknowledged. */
  get piecesArrived(): number {
    return this.#piecesArrived;
  }

  get isAtEnd(): boolean {
    return this.#machine.isPeerDone && this.#machine.incoming.unread === 0;
  }

  /** After `end`, and without an error, the peer gets what was written and the end; otherwise it sees a reset. */
  close(error: Error | null): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#hold.ref();
    this.listener = null;
    clearInterval(this.#keepAliveTimer);
    if ((error !== null || !this.#wantsEnd) && !this.#machine.isOver) {
      this.#writes.length = 0;
      this.#leave();
      return;
    }
    this.#machine.discard();
    this.#advance();
    if (this.#isDown || this.#leaveWhenOver()) return;
    this.#lastWordTimer ??= setTimeout(() => this.#leave(), LINGER_MILLIS);
  }

  get released(): Promise<void> | undefined {
    if (this.#writes.length === 0) return undefined;
    return new Promise((resolve) => {
      this.#tellReleased = resolve;
    });
  }

  /** Has the device look every now and then whether the peer is there. */
  setKeepAlive(isOn: boolean, everyMillis: number): void {
    clearInterval(this.#keepAliveTimer);
    if (!isOn || this.#isDown || this.#isClosed) return;
    this.#keepAliveTimer = setInterval(() => this.#lookForPeer(), everyMillis).unref();
  }

  #lookForPeer(): void {
    this.#machine.keepAlive();
    this.#post();
  }

  async #run(): Promise<void> {
    try {
      this.#post();
      await this.#memory.endpoint.until(this.#afterCompletions, this.#take);
    } catch (error) {
      this.#isDown = true;
      await this.#afterEnd(asRdmaError(error, 'the queue pair failed'));
    }
  }

  readonly #take = (completion: WorkCompletion): void => {
    if (completion.opcode === WcOpcode.RECV_RDMA_WITH_IMM) {
      this.#writer.receive();
      this.#machine.received(completion.imm, completion.byteLen);
    } else if (completion.opcode === WcOpcode.RECV) this.#machine.receivedOther();
    else {
      const kind = this.#machine.completed();
      if (kind === PostKind.IOMAP_WRITE) this.iomap.completed();
      else if (kind === PostKind.DATA) this.#piecesArrived++;
    }
  };

  /** Never true: the wait ends with the queue pair. */
  readonly #afterCompletions = (): boolean => {
    this.#advance();
    if (this.#machine.fault !== undefined) {
      this.#leave();
      return false;
    }
    this.iomap.onOffer();
    this.#tellWriter();
    if (this.#machine.incoming.unread > 0 || this.#machine.isPeerDone) this.#tellReadable();
    this.#leaveWhenOver();
    return false;
  };

  /** Whatever can go out goes out. */
  #advance(): void {
    do this.#post();
    while (this.#fillSendRing());
    if (this.#wantsEnd && this.#writes.length === 0) {
      this.#machine.endWriting();
      this.#post();
    }
    if (this.#probeTimer === undefined && this.#isStuck) this.#probe();
  }

  /** Something waits to leave, and nothing is under way. */
  get #isStuck(): boolean {
    if (this.#isDown || this.#isLeaving || this.#machine.unacknowledgedPosts > 0) return false;
    return this.#writes.length > 0 || this.#machine.outgoing.waiting > 0;
  }

  /** As long as nothing moves. */
  #probe(): void {
    this.#probeTimer = setInterval(() => {
      if (this.#isStuck) {
        this.#lookForPeer();
        return;
      }
      clearInterval(this.#probeTimer);
      this.#probeTimer = undefined;
    }, PROBE_MILLIS).unref();
  }

  #post(): void {
    if (this.#isDown || this.#isLeaving) return;
    try {
      for (let post = this.#machine.nextPost(); post !== undefined; post = this.#machine.nextPost()) {
        this.#writer.post(post);
      }
      this.iomap.post();
    } catch (error) {
      if (!(error instanceof RdmaError)) throw error;
      // Mostly the queue pair has gone to ERR meanwhile: the completions of what was posted tell why.
      this.#leave();
    }
  }

  /** Returns whether there is something new to post. */
  #fillSendRing(): boolean {
    const { outgoing } = this.#machine;
    const pending = this.#writes[0];
    if (pending === undefined) return false;
    const rest = pending.data.length - this.#taken;
    const bytes = Math.min(rest, this.#machine.writable);
    if (bytes > 0) {
      const part = pending.data.subarray(this.#taken, this.#taken + bytes);
      this.#memory.sendRing.bytes.set(part, outgoing.tailOffset);
      this.#machine.queue(bytes);
      this.#taken += bytes;
    }
    if (bytes < rest) return bytes > 0;
    this.#writes.shift();
    this.#taken = 0;
    if (this.#writes.length === 0) this.#tellReleased();
    tell(pending.done, undefined);
    return true;
  }

  /** Tells the end of our direction, or that it cannot be whole. */
  #tellWriter(): void {
    if (this.#isTold) return;
    if (this.#isAllTaken) this.#tellEnded();
    else if (this.#machine.isPeerGone) {
      const isLosing = this.#writes.length > 0 || this.#machine.outgoing.waiting > 0;
      if (isLosing) this.#tellClosedOnce(peerLeft(this.connection.remote.host));
    }
  }

  /** No completion will come to tell it. */
  #tellSoon(): void {
    if (this.#machine.isPeerGone) setImmediate(() => this.#tellWriter());
  }

  /** The peer has all that was written. */
  get #isAllTaken(): boolean {
    return this.#writes.length === 0 && this.#machine.isAllTaken;
  }

  #tellEnded(): void {
    const done = this.#onEnded;
    if (done === null) return;
    this.#onEnded = null;
    tell(done, undefined);
  }

  // What the program throws is its own affair, and no failure of the queue pair.

  #tellReadable(): void {
    const { listener } = this;
    if (listener !== null) tell(() => listener.onReadable(), undefined);
  }

  #tellReset(error: RdmaError): void {
    const { listener } = this;
    if (listener !== null) tell((reason) => listener.onReset(reason), error);
  }

  #tellClosedOnce(error: RdmaError): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const { listener } = this;
    if (listener !== null) tell((reason) => listener.onClosed(reason), error);
  }

  /** Returns whether it is over. The peer that had the last word may be asking still whether it arrived. */
  #leaveWhenOver(): boolean {
    if (!this.#machine.isOver) return false;
    if (!this.#machine.isPeerGone) this.#leave();
    else {
      clearTimeout(this.#lastWordTimer);
      const millis = this.#machine.isPeerLeaving ? LEAVING_MILLIS : LAST_WORD_MILLIS;
      this.#lastWordTimer = setTimeout(() => this.#leave(), millis);
    }
    return true;
  }

  /** DREQ. The queue pair goes to ERR, which ends the wait for completions. */
  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    void this.connection.disconnect();
  }

  /** The program learns at once what the queue pair itself tells of the peer, and soon what rdma_cm would have to say. */
  async #afterEnd(failure: RdmaError): Promise<void> {
    clearTimeout(this.#lastWordTimer);
    clearInterval(this.#keepAliveTimer);
    clearInterval(this.#probeTimer);
    if (this.#machine.isPeerDone) this.#tellReadable();
    this.#tellWriter();
    const { fault } = this.#machine;
    const { host } = this.connection.remote;
    if (fault !== undefined) this.#tellReset(this.#faults.count(fault, host));
    const hasRefused = fault === undefined && REFUSED.includes(failure.status);
    if (hasRefused) this.#faults.add(RsocketFault.REFUSED_WRITE);
    this.#isLeaving = true;
    const isGone = failure.status === RETRY_EXC_ERR;
    const leaving = this.connection.disconnect(isGone ? { timeoutMillis: GONE_MILLIS } : {});
    const ending = hasRefused || isGone ? null : await this.#reason(leaving);
    const error = lost(host, hasRefused ? WRITE_REFUSED : this.#whyLost(ending), causeOf(failure, ending));
    this.iomap.fail(error);
    const isWhole = this.#machine.isWhole && this.#writes.length === 0;
    if (!isWhole && fault === undefined) this.#tellClosedOnce(error);
    await leaving;
    await this.#memory.endpoint.close().catch(() => {});
    this.#hold.end();
    this.#tellReleased();
    this.#tellClosed();
  }

  #whyLost(ending: CmEnding | null): string | null {
    if (isByPeer(ending)) return this.#machine.isPeerDone ? GIVEN_UP_EARLY : GIVEN_UP_UNSAID;
    if (ending?.type === 'rejected') return `has given the connection up while it began (${ending.name})`;
    return null;
  }

  /** `null`: rdma_cm says nothing. */
  async #reason(leaving: Promise<CmEnding>): Promise<CmEnding | null> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), REASON_MILLIS);
    });
    const ending = await Promise.race([leaving, silence]);
    clearTimeout(timer);
    return ending;
  }
}

const RETRY_EXC_ERR = 'RETRY_EXC_ERR';
const WR_FLUSH_ERR = 'WR_FLUSH_ERR';
/** What completions say of writes that the peer's device has refused. */
const REFUSED: readonly (string | undefined)[] = ['REM_ACCESS_ERR', 'REM_INV_REQ_ERR', 'REM_OP_ERR'];
const WRITE_REFUSED = 'takes no write any more into the memory that it has announced';

const peerLeft = (host: string): RdmaError =>
  new RdmaError('ERR_RDMA_CONNECTION_LOST', `the program at ${host} has closed and takes no more data`);

/** `why`: what the program of the peer has done; `null` where nobody knows. */
function lost(host: string, why: string | null, cause: RdmaError | undefined): RdmaError {
  const message = why === null ? `the way to ${host} is lost` : `the program at ${host} ${why}`;
  return new RdmaError('ERR_RDMA_CONNECTION_LOST', message, cause === undefined ? {} : { cause });
}

const GIVEN_UP_UNSAID = 'has given the connection up, and has not said that its data had ended';
const GIVEN_UP_EARLY = 'has given the connection up before this end was done with it';

const isByPeer = (ending: CmEnding | null): boolean => ending?.type === 'disconnected' && ending.byPeer;

/** When the peer gives the connection up, this end flushes its queue pair itself: that is no cause. */
const causeOf = (failure: RdmaError, ending: CmEnding | null): RdmaError | undefined =>
  isByPeer(ending) && failure.status === WR_FLUSH_ERR ? undefined : failure;
