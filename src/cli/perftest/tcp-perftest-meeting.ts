/** The TCP connection of a measurement. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { RdmaError } from '../../verbs/errors.js';
import { connectTcp, listenTcp, portOf, SocketReader } from '../tcp-meeting.js';
import type { PerftestMeeting } from './perftest-meeting.js';
import { DONE, formatRecord, parseRecord, RECORD_BYTES } from './perftest-wire.js';

const LAST_WORD_MILLIS = 1000;

export class TcpPerftestMeeting implements PerftestMeeting {
  readonly isServer: boolean;
  readonly recordBytes = RECORD_BYTES;
  readonly formatRecord = formatRecord;
  readonly parseRecord = parseRecord;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #timeoutMillis: number;

  /** @throws RdmaError ERR_RDMA_CONNECTION_LOST when the server cannot be reached. */
  static async connect(host: string, port: number, timeoutMillis: number): Promise<TcpPerftestMeeting> {
    const socket = connect({ host, port, noDelay: true });
    const meeting = new TcpPerftestMeeting(socket, false, timeoutMillis);
    await connectTcp(socket, host, port);
    return meeting;
  }

  /** Waits for one client, as long as it takes. */
  static async accept(
    host: string | undefined,
    port: number,
    timeoutMillis: number,
    onListening: (port: number) => void,
  ): Promise<TcpPerftestMeeting> {
    const server = await listenTcp(host, port);
    onListening(portOf(server));
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    return new TcpPerftestMeeting(socket, true, timeoutMillis);
  }

  private constructor(socket: Socket, isServer: boolean, timeoutMillis: number) {
    this.#socket = socket;
    this.isServer = isServer;
    this.#timeoutMillis = timeoutMillis;
    this.#reader = new SocketReader(socket, timeoutMillis);
  }

  async send(message: Buffer): Promise<void> {
    this.#socket.write(message);
  }

  async receive(lengthBytes: number): Promise<Buffer> {
    try {
      return await this.#reader.read(lengthBytes);
    } catch (error) {
      if (error instanceof RdmaError) throw error;
      const message = `the connection to the peer broke: ${(error as Error).message}`;
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { cause: error });
    }
  }

  setPatient(isPatient: boolean): void {
    this.#socket.setTimeout(isPatient ? 0 : this.#timeoutMillis);
  }

  /** A stock tool that finds the connection gone when it writes its own `done` ends by SIGPIPE. */
  async finish(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#socket.write(DONE);
    this.#socket.setTimeout(LAST_WORD_MILLIS);
    await this.#reader.read(DONE.length).catch(() => {});
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }
}
