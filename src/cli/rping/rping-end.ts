/**
 * One end of rping. For each ping the client names two buffers of its own, one after the other: the server READs the
 * ping out of the first, and WRITEs it into the second. A SEND of 16 bytes takes each step; those of the client name
 * the buffer, those of the server say "go on".
 *
 * Invariants: a receive is posted before the SEND that it is for can come in; the server never reads more than its own
 * buffer holds.
 */
import type { TakeCompletion } from '../../endpoint/completion-waiter.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import { toRKey } from '../../verbs/brands.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { WcOpcode } from '../../verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../verbs/work-request.js';
import {
  BUFFER_INFO_BYTES,
  type BufferInfo,
  pingBytes,
  readBufferInfo,
  readPing,
  writeBufferInfo,
  writePing,
} from './rping-wire.js';

export interface RpingOptions {
  /** Of a ping, with its zero byte. */
  readonly sizeBytes: number;
  /** Without progress. */
  readonly timeoutMillis: number;
}

const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;
/** Receives that are posted at a time: the peer sends one and waits. */
const RECEIVES = 2;
/** Where in the memory: what comes in, what is sent, the ping, what came back. */
const INCOMING_AT = 0;
const OUTGOING_AT = RECEIVES * BUFFER_INFO_BYTES;
const PING_AT = OUTGOING_AT + BUFFER_INFO_BYTES;

export class RpingEnd {
  readonly endpoint: Endpoint;
  readonly #sizeBytes: number;
  readonly #memory: MemoryRegion;
  /** The client's ping; where the server reads pings into. */
  readonly #ping: Uint8Array;
  readonly #echo: Uint8Array;
  #isAmidPing = false;
  /** Receives are used one after the other. */
  #nextReceive = 0;
  #received = 0;
  #sent = 0;
  #wantedReceived = 0;
  #wantedSent = 0;

  static async open(device: Device, { sizeBytes, timeoutMillis }: RpingOptions): Promise<RpingEnd> {
    const endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: 2, maxRecvWr: RECEIVES },
      memory: PING_AT + 2 * sizeBytes,
      access: REMOTE_READ | REMOTE_WRITE,
      wait: {
        timeoutMillis,
        hint: 'does the other side still run, and do packets get through on UDP port 4791?',
      },
    });
    return new RpingEnd(endpoint, sizeBytes);
  }

  private constructor(endpoint: Endpoint, sizeBytes: number) {
    this.endpoint = endpoint;
    this.#sizeBytes = sizeBytes;
    this.#memory = endpoint.memory;
    const { bytes } = endpoint.memory;
    this.#ping = bytes.subarray(PING_AT, PING_AT + sizeBytes);
    this.#echo = bytes.subarray(PING_AT + sizeBytes);
    for (let i = 0; i < RECEIVES; i++) this.#postReceive(i);
  }

  /** A peer that leaves now leaves something undone. */
  get isAmidPing(): boolean {
    return this.#isAmidPing;
  }

  /**
   * The client's part of one ping; returns its text.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when something else came back than what was sent.
   */
  async ping(round: number): Promise<string> {
    this.#isAmidPing = true;
    writePing(this.#ping, round);
    this.#echo.fill(0);
    await this.#tell(this.#infoAt(PING_AT));
    await this.#message();
    await this.#tell(this.#infoAt(PING_AT + this.#sizeBytes));
    await this.#message();
    if (Buffer.compare(this.#ping, this.#echo) !== 0) {
      throw new RdmaError('ERR_RDMA_PROTOCOL', `ping ${round} came back as "${readPing(this.#echo)}"`);
    }
    this.#isAmidPing = false;
    return readPing(this.#ping);
  }

  /**
   * The server's part of one ping; returns its text.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the ping is larger than the buffers of this side.
   */
  async pong(): Promise<string> {
    const source = await this.#message();
    this.#isAmidPing = true;
    if (source.sizeBytes < 1 || source.sizeBytes > this.#sizeBytes) throw wrongSize(source, this.#sizeBytes);
    await this.#transfer(WrOpcode.RDMA_READ, source, source.sizeBytes);
    const ping = this.#ping.subarray(0, source.sizeBytes);
    await this.#tell(source);
    const target = await this.#message();
    const lengthBytes = pingBytes(ping);
    if (target.sizeBytes < lengthBytes) throw wrongSize(target, this.#sizeBytes);
    await this.#transfer(WrOpcode.RDMA_WRITE, target, lengthBytes);
    await this.#tell(target);
    this.#isAmidPing = false;
    return readPing(ping);
  }

  close(): Promise<void> {
    return this.endpoint.close();
  }

  #infoAt(offset: number): BufferInfo {
    const { addr, rkey } = this.#memory;
    return { addr: addr + BigInt(offset), rkey, sizeBytes: this.#sizeBytes };
  }

  async #tell(info: BufferInfo): Promise<void> {
    writeBufferInfo(this.#memory.bytes.subarray(OUTGOING_AT), info);
    await this.#send({
      wrId: 0,
      opcode: WrOpcode.SEND,
      flags: SendFlags.SIGNALED,
      sges: [{ mr: this.#memory, offset: OUTGOING_AT, length: BUFFER_INFO_BYTES }],
    });
  }

  #transfer(
    opcode: typeof WrOpcode.RDMA_READ | typeof WrOpcode.RDMA_WRITE,
    { addr, rkey }: BufferInfo,
    length: number,
  ): Promise<void> {
    return this.#send({
      wrId: 0,
      opcode,
      flags: SendFlags.SIGNALED,
      sges: [{ mr: this.#memory, offset: PING_AT, length }],
      remoteAddr: addr,
      rkey: toRKey(rkey),
    });
  }

  /** Until it is acknowledged. */
  async #send(request: SendWorkRequest): Promise<void> {
    this.endpoint.qp.postSend(request);
    this.#wantedSent++;
    await this.#arrived();
  }

  /** The next message of the peer. */
  async #message(): Promise<BufferInfo> {
    this.#wantedReceived++;
    await this.#arrived();
    const index = this.#nextReceive;
    this.#nextReceive = (index + 1) % RECEIVES;
    const at = INCOMING_AT + index * BUFFER_INFO_BYTES;
    const info = readBufferInfo(this.#memory.bytes.subarray(at, at + BUFFER_INFO_BYTES));
    this.#postReceive(index);
    return info;
  }

  #postReceive(index: number): void {
    const offset = INCOMING_AT + index * BUFFER_INFO_BYTES;
    const sges = [{ mr: this.#memory, offset, length: BUFFER_INFO_BYTES }];
    this.endpoint.qp.postRecv({ wrId: index, sges });
  }

  #arrived(): Promise<void> | undefined {
    return this.endpoint.until(this.#isThere, this.#take);
  }

  readonly #isThere = (): boolean => this.#received >= this.#wantedReceived && this.#sent >= this.#wantedSent;

  readonly #take: TakeCompletion = ({ opcode, byteLen }) => {
    if (opcode !== WcOpcode.RECV) {
      this.#sent++;
      return;
    }
    if (byteLen !== BUFFER_INFO_BYTES) {
      throw new RdmaError('ERR_RDMA_PROTOCOL', `a message of ${byteLen} bytes came in: that is not rping`);
    }
    this.#received++;
  };
}

const wrongSize = ({ sizeBytes }: BufferInfo, own: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_PROTOCOL',
    `the client pings with ${sizeBytes} bytes, and this side takes 1 to ${own}: start it with -S ${sizeBytes}`,
  );
