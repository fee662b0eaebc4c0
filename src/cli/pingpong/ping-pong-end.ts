/**
 * One end of a ping-pong: a queue pair, a receive posted for every message that may come, and the strict alternation
 * of ibv_rc_pingpong. The client sends first; the server sends back what it received.
 *
 * The client sends other bytes every time and takes nothing but these back. The server knows what the clients send:
 * ours the pattern of the round, the stock tool its first buffer, and after that what it got from us.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AccessFlags } from '../../verbs/access-flags.js';
import { toPsn } from '../../verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../verbs/completion-queue.js';
import type { Device, GidEntry, ProtectionDomain } from '../../verbs/device.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { chooseOwnGid } from '../../verbs/gid-choice.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { PathMtu } from '../../verbs/mtu.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { WcOpcode } from '../../verbs/work-completion.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  WrOpcode,
} from '../../verbs/work-request.js';
import { CompletionWait, type Take } from '../completion-wait.js';
import type { PingpongAddress } from './address-exchange.js';

export interface PingPongOptions {
  readonly sizeBytes: number;
  readonly mtu: PathMtu;
  readonly iterations: number;
  /** The first so many are not measured. */
  readonly warmup: number;
  readonly receiveDepth: number;
  /** `undefined`: the first RoCE v2 GID that can be routed. */
  readonly gidIndex: number | undefined;
  /** Sleep until something completes, rather than to look again and again. */
  readonly useEvents: boolean;
  /** Send other bytes in every message and look at what comes back; the stock tool does neither. */
  readonly checksData: boolean;
  /** Without progress. */
  readonly timeoutMillis: number;
}

const { RECV } = WcOpcode;
const RECEIVE = 1;
const SEND = 2;
/** Messages that differ, and how far apart they begin in the text that they are taken from. */
const VARIANTS = 32;
const VARIANT_STEP = 7;
/** What the stock tool fills its buffer with, and with what at each page's start when it checks (-c). */
const STOCK_BYTE = 0x7b;
const STOCK_PAGE_BYTES = 4096;
/** How long the client can still answer a repetition of the last message: the ACK may have been lost. */
const LINGER_MILLIS = 300;

export class PingPongEnd {
  readonly #options: PingPongOptions;
  readonly #sgid: GidEntry;
  readonly #pd: ProtectionDomain;
  readonly #channel: CompletionChannel;
  readonly #cq: CompletionQueue;
  readonly #qp: QueuePair;
  readonly #received: MemoryRegion;
  readonly #sent: MemoryRegion;
  readonly #psn = toPsn(randomInt(2 ** 24));
  readonly #wait: CompletionWait;
  readonly #variants: readonly Uint8Array[];
  readonly #receiveRequest: ReceiveWorkRequest;
  /** Of the client's own bytes. */
  readonly #sendRequest: SendWorkRequest;
  /** Of what came in. */
  readonly #echoRequest: SendWorkRequest;
  /** What the server sent back last; at first what the stock tool begins with. */
  readonly #echoed: Uint8Array;
  #measuredFrom = 0;
  /** Receives that wait for a message. */
  #receives = 0;
  #messages = 0;
  #sends = 0;
  #wantedMessages = 0;
  #wantedSends = 0;

  static async open(device: Device, options: PingPongOptions): Promise<PingPongEnd> {
    const gids = await device.queryGids();
    const sgid =
      options.gidIndex === undefined
        ? chooseOwnGid(gids)
        : gids.find(({ index }) => index === options.gidIndex);
    if (sgid === undefined) throw usageError(`${device.name} has no such GID; see queuepair devices`);
    const pd = await device.allocPd();
    const channel = await device.createCompletionChannel();
    const capacity = options.receiveDepth + 1;
    const cq = await device.createCq({ capacity, channel });
    const qp = await pd.createQp({
      sendCq: cq,
      recvCq: cq,
      capacity: { maxSendWr: 1, maxRecvWr: options.receiveDepth },
    });
    const register = (): Promise<MemoryRegion> =>
      pd.regMr(new Uint8Array(options.sizeBytes), AccessFlags.LOCAL_WRITE);
    return new PingPongEnd(
      device.attributes.pollsPerTurn,
      options,
      sgid,
      pd,
      channel,
      cq,
      qp,
      await register(),
      await register(),
    );
  }

  private constructor(
    pollsPerTurn: number,
    options: PingPongOptions,
    sgid: GidEntry,
    pd: ProtectionDomain,
    channel: CompletionChannel,
    cq: CompletionQueue,
    qp: QueuePair,
    received: MemoryRegion,
    sent: MemoryRegion,
  ) {
    this.#options = options;
    this.#sgid = sgid;
    this.#pd = pd;
    this.#channel = channel;
    this.#cq = cq;
    this.#qp = qp;
    this.#received = received;
    this.#sent = sent;
    this.#wait = new CompletionWait(cq, channel, { ...options, pollsPerTurn, common: '-n and -m' });
    this.#variants = variantsOf(options.sizeBytes);
    this.#echoed = stockMessage(options.sizeBytes);
    if (!options.checksData) sent.bytes.set(this.#echoed);
    this.#receiveRequest = { wrId: RECEIVE, sges: [{ mr: received }] };
    this.#sendRequest = sendRequest(sent);
    this.#echoRequest = sendRequest(received);
  }

  /** To INIT, with all receives posted: before the peer learns of this end. */
  async prepare(): Promise<void> {
    await this.#qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: 0 });
    this.#postReceives();
  }

  get address(): PingpongAddress {
    return { lid: 0, qpn: this.#qp.qpn, psn: this.#psn, gid: this.#sgid.gid };
  }

  /** To RTS, with the stock tool's values. */
  async connect(remote: PingpongAddress): Promise<void> {
    await this.#qp.modify({
      state: QpState.RTR,
      av: { dgid: remote.gid, sgidIndex: this.#sgid.index },
      pathMtu: this.#options.mtu,
      destQpn: remote.qpn,
      rqPsn: remote.psn,
      maxDestRdAtomic: 1,
      minRnrTimer: 12,
    });
    await this.#qp.modify({
      state: QpState.RTS,
      sqPsn: this.#psn,
      timeout: 14,
      retryCount: 7,
      rnrRetry: 7,
      maxRdAtomic: 1,
    });
  }

  /** @throws RdmaError for a failed completion, for wrong data, and when nothing happens any more. */
  async playClient(): Promise<void> {
    const { iterations, warmup, checksData } = this.#options;
    const { bytes } = this.#sent;
    for (let round = 0; round < iterations; round++) {
      if (round === warmup) this.#measuredFrom = performance.now();
      if (checksData) bytes.set(this.#variant(round));
      this.#send(this.#sendRequest);
      const waiting = this.#until(round + 1, round + 1);
      if (waiting !== undefined) await waiting;
      if (checksData && Buffer.compare(this.#received.bytes, bytes) !== 0) throw wrongData(round);
    }
  }

  /** As {@link playClient}. */
  async playServer(): Promise<void> {
    const { iterations, warmup, checksData } = this.#options;
    for (let round = 0; round < iterations; round++) {
      if (round === warmup) this.#measuredFrom = performance.now();
      const waiting = this.#until(round + 1, round);
      if (waiting !== undefined) await waiting;
      if (checksData) this.#checkAtServer(round);
      this.#send(this.#echoRequest);
    }
    await this.#until(iterations, iterations);
  }

  #checkAtServer(round: number): void {
    const { bytes } = this.#received;
    const isKnown =
      Buffer.compare(bytes, this.#variant(round)) === 0 || Buffer.compare(bytes, this.#echoed) === 0;
    if (!isKnown && !(round === 0 && isCheckedStockMessage(bytes))) throw wrongData(round);
    this.#echoed.set(bytes);
  }

  /** When the first message that is measured was due, on the clock of `performance.now()`. */
  get measuredFrom(): number {
    return this.#measuredFrom;
  }

  /** Call once the client has played: the server is done when its last message is acknowledged, and not before. */
  linger(): Promise<void> {
    return delay(LINGER_MILLIS);
  }

  async close(): Promise<void> {
    this.#wait.close();
    await this.#qp.close();
    await this.#cq.close();
    await this.#channel.close();
    await this.#received.close();
    await this.#sent.close();
    await this.#pd.close();
  }

  #variant(round: number): Uint8Array {
    return this.#variants[round % VARIANTS] as Uint8Array;
  }

  #postReceives(): void {
    for (; this.#receives < this.#options.receiveDepth; this.#receives++)
      this.#qp.postRecv(this.#receiveRequest);
  }

  /** While a receive is left for the answer, the others are posted when the message is under way. */
  #send(request: SendWorkRequest): void {
    if (this.#receives === 0) this.#postReceives();
    this.#qp.postSend(request);
    this.#postReceives();
  }

  /** Until so many messages came in, and so many sends were acknowledged. */
  #until(messages: number, sends: number): Promise<void> | undefined {
    this.#wantedMessages = messages;
    this.#wantedSends = sends;
    return this.#wait.until(this.#isThere, this.#take);
  }

  readonly #isThere = (): boolean =>
    this.#messages >= this.#wantedMessages && this.#sends >= this.#wantedSends;

  readonly #take: Take = ({ opcode, byteLen }) => {
    if (opcode === RECV) this.#onMessage(byteLen);
    else this.#sends++;
  };

  #onMessage(lengthBytes: number): void {
    const { sizeBytes } = this.#options;
    if (lengthBytes !== sizeBytes) {
      const message = `a message of ${lengthBytes} bytes came in, not ${sizeBytes}: give both sides the same -s`;
      throw new RdmaError('ERR_RDMA_PROTOCOL', message);
    }
    this.#messages++;
    this.#receives--;
  }
}

/**
 * What the client sends, round by round: windows into one text, so that a message differs from that of the round before
 * and from packet to packet, and costs one copy to make.
 */
function variantsOf(sizeBytes: number): readonly Uint8Array[] {
  const text = new Uint8Array(sizeBytes + VARIANTS * VARIANT_STEP);
  for (let i = 0; i < text.length; i++) text[i] = (i ^ (i >>> 8)) + 1;
  return Array.from({ length: VARIANTS }, (_, i) =>
    text.subarray(i * VARIANT_STEP, i * VARIANT_STEP + sizeBytes),
  );
}

const sendRequest = (mr: MemoryRegion): SendWorkRequest => ({
  wrId: SEND,
  opcode: WrOpcode.SEND,
  flags: SendFlags.SIGNALED,
  sges: [{ mr }],
});

const stockMessage = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(STOCK_BYTE);

const isCheckedStockMessage = (bytes: Uint8Array): boolean =>
  bytes.every((byte, i) => byte === (i % STOCK_PAGE_BYTES === 0 ? 0 : STOCK_BYTE));

const wrongData = (round: number): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the message of round ${round + 1} does not hold what was sent`);
