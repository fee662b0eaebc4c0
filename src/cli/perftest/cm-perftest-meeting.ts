/**
 * The connection of a measurement that meets by rdma_cm (the stock tools' -R): every message is a SEND over a queue pair of
 * its own. The queue pair that is measured is connected by the same port afterwards.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { CmConnection } from '../../cm/cm-connection.js';
import { type CmServer, listen } from '../../cm/cm-server.js';
import { connect } from '../../cm/connect.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import { RejectReason } from '../../verbs/connection-manager.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { createCompletions, statusName, WcOpcode, WcStatus } from '../../verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../verbs/work-request.js';
import { silenceHint } from '../stock-tool.js';
import type { PerftestMeeting } from './perftest-meeting.js';
import { CM_RECORD_BYTES, formatCmRecord, notPerftest, parseCmRecord } from './perftest-wire.js';

/** Receives that are posted at a time; the ends take turns. */
const RECEIVES = 8;
/** Larger than any message. */
const SLOT_BYTES = 64;
const LAST_WORD_MILLIS = 1000;
const ENDLESS_MILLIS = 2 ** 31 - 1;
const LISTEN_AGAIN_MILLIS = 50;

export interface CmMeetingOptions {
  readonly port: number;
  readonly timeoutMillis: number;
}

/** Where the queue pair that is measured gets its connection from. */
type ConnectNext = (endpoint: Endpoint) => Promise<CmConnection>;

export class CmPerftestMeeting implements PerftestMeeting {
  readonly isServer: boolean;
  readonly recordBytes = CM_RECORD_BYTES;
  readonly formatRecord = formatCmRecord;
  readonly parseRecord = parseCmRecord;
  readonly #endpoint: Endpoint;
  readonly #connections: CmConnection[];
  readonly #connectNext: ConnectNext;
  readonly #timeoutMillis: number;
  readonly #completions = createCompletions(1);
  readonly #arrived: Buffer[] = [];
  #isPatient = false;

  /** @throws RdmaError as `connect` of cm/. */
  static async connect(device: Device, host: string, options: CmMeetingOptions): Promise<CmPerftestMeeting> {
    const { port, timeoutMillis } = options;
    const connectNext: ConnectNext = (endpoint) =>
      connect(device, { host, port, qp: endpoint, timeoutMillis });
    return CmPerftestMeeting.#open(device, false, timeoutMillis, connectNext);
  }

  /** Waits for one client, as long as it takes. */
  static async accept(
    device: Device,
    host: string | undefined,
    { port, timeoutMillis }: CmMeetingOptions,
    onListening: (port: number) => void,
  ): Promise<CmPerftestMeeting> {
    const server = await listen(device, { port, ...(host === undefined ? {} : { host }) });
    try {
      onListening(server.address.port);
      const meeting = await CmPerftestMeeting.#open(device, true, timeoutMillis, (endpoint) =>
        acceptNext(server, endpoint),
      );
      meeting.#endpoint.keep(server);
      return meeting;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  static async #open(
    device: Device,
    isServer: boolean,
    timeoutMillis: number,
    connectNext: ConnectNext,
  ): Promise<CmPerftestMeeting> {
    const endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: RECEIVES, maxRecvWr: RECEIVES },
      memory: (RECEIVES + 1) * SLOT_BYTES,
      wait: { timeoutMillis, hint: silenceHint('size and count') },
    });
    try {
      for (let slot = 0; slot < RECEIVES; slot++) postReceive(endpoint, slot);
      const connection = await connectNext(endpoint);
      return new CmPerftestMeeting(endpoint, connection, isServer, timeoutMillis, connectNext);
    } catch (error) {
      await endpoint.close();
      throw error;
    }
  }

  private constructor(
    endpoint: Endpoint,
    connection: CmConnection,
    isServer: boolean,
    timeoutMillis: number,
    connectNext: ConnectNext,
  ) {
    this.#endpoint = endpoint;
    this.#connections = [connection];
    this.isServer = isServer;
    this.#timeoutMillis = timeoutMillis;
    this.#connectNext = connectNext;
  }

  /** Connects the queue pair that is measured. The stock server stops listening between its two clients. */
  async connectMeasured(endpoint: Endpoint): Promise<void> {
    const deadline = performance.now() + this.#timeoutMillis;
    for (;;) {
      try {
        this.#connections.push(await this.#connectNext(endpoint));
        return;
      } catch (error) {
        if (!isNobodyListening(error) || performance.now() > deadline) throw error;
        await delay(LISTEN_AGAIN_MILLIS);
      }
    }
  }

  async send(message: Buffer): Promise<void> {
    const { memory, qp } = this.#endpoint;
    const offset = RECEIVES * SLOT_BYTES;
    memory.bytes.set(message, offset);
    const sges = [{ mr: memory, offset, length: message.length }];
    qp.postSend({ wrId: RECEIVES, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
    while (!(await this.#next()));
  }

  async receive(lengthBytes: number): Promise<Buffer> {
    while (this.#arrived.length === 0) await this.#next();
    const message = this.#arrived.shift() as Buffer;
    if (message.length === lengthBytes) return message;
    throw notPerftest(`a message has ${message.length} bytes, not ${lengthBytes}`);
  }

  setPatient(isPatient: boolean): void {
    this.#isPatient = isPatient;
  }

  /** The client says goodbye; the stock tool does not expect it from a server. */
  async finish(): Promise<void> {
    const timer = new Promise<void>((resolve) => setTimeout(resolve, LAST_WORD_MILLIS).unref());
    const over = Promise.all(
      this.#connections.map((connection) => (this.isServer ? connection.ended : connection.disconnect())),
    );
    await Promise.race([over, timer]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.disconnect()));
    await this.#endpoint.close();
  }

  /** Takes one completion; returns whether it was of a send. */
  async #next(): Promise<boolean> {
    const millis = this.#isPatient ? ENDLESS_MILLIS : this.#timeoutMillis;
    const count = await this.#endpoint.take(this.#completions, millis);
    const [completion] = this.#completions;
    if (count === 0 || completion === undefined) {
      throw new RdmaError('ERR_RDMA_TIMEOUT', `silent for ${millis / 1000} s`);
    }
    const { status, opcode, wrId, byteLen } = completion;
    if (status !== WcStatus.SUCCESS) {
      const message = `the connection to the peer broke (${statusName(status)})`;
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message);
    }
    if (opcode !== WcOpcode.RECV) return true;
    const slot = Number(wrId);
    const begin = slot * SLOT_BYTES;
    this.#arrived.push(Buffer.from(this.#endpoint.memory.bytes.slice(begin, begin + byteLen)));
    postReceive(this.#endpoint, slot);
    return false;
  }
}

const isNobodyListening = (error: unknown): boolean =>
  error instanceof RdmaError && error.rejection?.reason === RejectReason.INVALID_SERVICE_ID;

function postReceive({ memory, qp }: Endpoint, slot: number): void {
  qp.postRecv({ wrId: slot, sges: [{ mr: memory, offset: slot * SLOT_BYTES, length: SLOT_BYTES }] });
}

async function acceptNext(server: CmServer, endpoint: Endpoint): Promise<CmConnection> {
  const request = await server.next();
  if (request !== undefined) return request.accept({ qp: endpoint });
  throw new RdmaError('ERR_RDMA_CLOSED', 'the server was closed before a client came');
}
