/** The TCP connection of a measurement: one swap of messages after the other, each end in its order. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { RdmaError } from '../../verbs/errors.js';
import type { PathMtu } from '../../verbs/mtu.js';
import { listenTcp, portOf, SocketReader } from '../tcp-meeting.js';
import {
  type BandwidthReport,
  checkVersion,
  DONE,
  formatMtu,
  formatNumber,
  formatRecord,
  formatReport,
  formatVersion,
  MTU_BYTES,
  type PerftestRecord,
  parseMtu,
  parseRecord,
  parseReport,
  RECORD_BYTES,
  VERSION_BYTES,
} from './perftest-wire.js';

/** What both ends agree on. */
export interface PerftestTerms {
  readonly mtu: PathMtu;
  /** Small messages are spread over so many bytes. */
  readonly cycleBytes: number;
}

const CYCLE_BYTES = 4096;
const CACHE_LINE_BYTES = 64;
const LAST_WORD_MILLIS = 1000;

export class PerftestExchange {
  readonly isServer: boolean;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #timeoutMillis: number;

  /** @throws RdmaError ERR_RDMA_CONNECTION_LOST when the server cannot be reached. */
  static async connect(host: string, port: number, timeoutMillis: number): Promise<PerftestExchange> {
    const socket = connect({ host, port, noDelay: true });
    const exchange = new PerftestExchange(socket, false, timeoutMillis);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      const message = `cannot reach ${host}, TCP port ${port}: ${(cause as Error).message}`;
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { cause });
    }
    return exchange;
  }

  /** Waits for one client, as long as it takes. */
  static async accept(
    host: string | undefined,
    port: number,
    timeoutMillis: number,
    onListening: (port: number) => void,
  ): Promise<PerftestExchange> {
    const server = await listenTcp(host, port);
    onListening(portOf(server));
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    return new PerftestExchange(socket, true, timeoutMillis);
  }

  private constructor(socket: Socket, isServer: boolean, timeoutMillis: number) {
    this.#socket = socket;
    this.isServer = isServer;
    this.#timeoutMillis = timeoutMillis;
    this.#reader = new SocketReader(socket, timeoutMillis);
  }

  /** Version and terms: what comes before there is a queue pair. */
  async agree(mtu: PathMtu): Promise<PerftestTerms> {
    checkVersion(await this.#swap(formatVersion(), VERSION_BYTES));
    const cycle = await this.#swap(formatNumber(CYCLE_BYTES), 4);
    await this.#swap(formatNumber(CACHE_LINE_BYTES), 4);
    const theirs = parseMtu(await this.#swap(formatMtu(mtu), MTU_BYTES));
    return {
      mtu: theirs < mtu ? theirs : mtu,
      cycleBytes: Math.max(cycle.readUInt32BE(), CYCLE_BYTES),
    };
  }

  async swapRecords(own: PerftestRecord, times: number): Promise<PerftestRecord> {
    let theirs = parseRecord(await this.#swap(formatRecord(own), RECORD_BYTES));
    for (let i = 1; i < times; i++) theirs = parseRecord(await this.#swap(formatRecord(own), RECORD_BYTES));
    return theirs;
  }

  async swapReports(own: BandwidthReport): Promise<BandwidthReport> {
    const numbers: Buffer[] = [];
    for (const number of formatReport(own)) numbers.push(await this.#swap(number, number.length));
    return parseReport(numbers);
  }

  /** Who waits for the measurement of the other end must not lose patience. */
  set isPatient(isPatient: boolean) {
    this.#socket.setTimeout(isPatient ? 0 : this.#timeoutMillis);
  }

  /**
   * Says `done`, and waits for the peer's: a stock tool that finds the connection gone when it writes its own ends by
   * SIGPIPE.
   */
  async finish(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#socket.write(DONE);
    this.#socket.setTimeout(LAST_WORD_MILLIS);
    await this.#reader.read(DONE.length).catch(() => {});
  }

  close(): void {
    this.#socket.destroy();
  }

  async #swap(own: Buffer, theirBytes: number): Promise<Buffer> {
    try {
      if (!this.isServer) this.#socket.write(own);
      const theirs = await this.#reader.read(theirBytes);
      if (this.isServer) this.#socket.write(own);
      return theirs;
    } catch (error) {
      if (error instanceof RdmaError) throw error;
      const message = `the connection to the peer broke: ${(error as Error).message}`;
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { cause: error });
    }
  }
}
