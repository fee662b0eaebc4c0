/**
 * One end of a ping-pong: a queue pair, a receive posted for every message that may come, and the strict alternation
 * of ibv_rc_pingpong. The client sends first; the server sends back what it received.
 *
 * The client sends other bytes every time and takes nothing but these back. The server knows what the clients send:
 * ours the pattern of the round, the stock tool its first buffer, and after that what it got from us.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { TakeCompletion } from '../../endpoint/completion-waiter.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import type { PathMtu } from '../../verbs/mtu.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { WcOpcode } from '../../verbs/work-completion.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  type Sge,
  WrOpcode,
} from '../../verbs/work-request.js';
import { ROCE_UDP_PORT, silenceHint } from '../stock-tool.js';
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
/** The stock tool's, whose address does not say it. */
const STOCK_RD_ATOMIC = 1;
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
  readonly #endpoint: Endpoint;
  readonly #qp: QueuePair;
  readonly #received: Uint8Array;
  readonly #sent: Uint8Array;
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
    const { receiveDepth, gidIndex, sizeBytes, mtu, useEvents, timeoutMillis } = options;
    const endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: 1, maxRecvWr: receiveDepth },
      memory: 2 * sizeBytes,
      path: gidIndex === undefined ? {} : { gidIndex },
      mtu,
      rdAtomic: STOCK_RD_ATOMIC,
      wait: { sleeps: useEvents, timeoutMillis, hint: silenceHint('-n and -m') },
    });
    if (endpoint.address.mtu !== mtu) {
      await endpoint.close();
      throw usageError(
        `${device.name} takes packets of ${endpoint.address.mtu} bytes at most, not ${mtu}: see -m`,
      );
    }
    return new PingPongEnd(endpoint, options);
  }

  private constructor(endpoint: Endpoint, options: PingPongOptions) {
    const { sizeBytes } = options;
    const { memory, qp } = endpoint;
    this.#endpoint = endpoint;
    this.#qp = qp;
    this.#options = options;
    this.#received = memory.bytes.subarray(0, sizeBytes);
    this.#sent = memory.bytes.subarray(sizeBytes);
    this.#variants = variantsOf(sizeBytes);
    this.#echoed = stockMessage(sizeBytes);
    if (!options.checksData) this.#sent.set(this.#echoed);
    const received = { mr: memory, offset: 0, length: sizeBytes };
    this.#receiveRequest = { wrId: RECEIVE, sges: [received] };
    this.#sendRequest = sendRequest({ ...received, offset: sizeBytes });
    this.#echoRequest = sendRequest(received);
    this.#postReceives();
  }

  get address(): PingpongAddress {
    const { qpn, psn, gid } = this.#endpoint.address;
    return { lid: 0, qpn, psn, gid };
  }

  /** To RTS. What the stock tool does not say is the same on both sides. */
  connect({ qpn, psn, gid }: PingpongAddress): Promise<void> {
    return this.#endpoint.connect({ ...this.#endpoint.address, udpPort: ROCE_UDP_PORT, qpn, psn, gid });
  }

  /** @throws RdmaError for a failed completion, for wrong data, and when nothing happens any more. */
  async playClient(): Promise<void> {
    const { iterations, warmup, checksData } = this.#options;
    const bytes = this.#sent;
    for (let round = 0; round < iterations; round++) {
      if (round === warmup) this.#measuredFrom = performance.now();
      if (checksData) bytes.set(this.#variant(round));
      this.#send(this.#sendRequest);
      const waiting = this.#until(round + 1, round + 1);
      if (waiting !== undefined) await waiting;
      if (checksData && Buffer.compare(this.#received, bytes) !== 0) throw wrongData(round);
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
    const bytes = this.#received;
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
    await this.#endpoint.close();
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
    return this.#endpoint.until(this.#isThere, this.#take);
  }

  readonly #isThere = (): boolean =>
    this.#messages >= this.#wantedMessages && this.#sends >= this.#wantedSends;

  readonly #take: TakeCompletion = ({ opcode, byteLen }) => {
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

const sendRequest = (sge: Sge): SendWorkRequest => ({
  wrId: SEND,
  opcode: WrOpcode.SEND,
  flags: SendFlags.SIGNALED,
  sges: [sge],
});

const stockMessage = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(STOCK_BYTE);

const isCheckedStockMessage = (bytes: Uint8Array): boolean =>
  bytes.every((byte, i) => byte === (i % STOCK_PAGE_BYTES === 0 ? 0 : STOCK_BYTE));

const wrongData = (round: number): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the message of round ${round + 1} does not hold what was sent`);
