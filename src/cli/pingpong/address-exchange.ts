/**
 * How ibv_rc_pingpong tells the other side where its queue pair is: one TCP connection, 52 bytes each way, and `done`.
 *
 * The stock tool reads and writes each message with a single call, so each is written in one piece here, too. The
 * server answers only when its queue pair can receive, and the client's `done` comes before the client sends.
 */
import { once } from 'node:events';
import { connect, type Server, type Socket } from 'node:net';
import { type Psn, type Qpn, toPsn, toQpn } from '../../verbs/brands.js';
import { RdmaError } from '../../verbs/errors.js';
import { gidFromHex, gidToHex } from '../gid-hex.js';
import { connectTcp, listenTcp, portOf, SocketReader } from '../tcp-meeting.js';

export interface PingpongAddress {
  readonly lid: number;
  readonly qpn: Qpn;
  readonly psn: Psn;
  /** IPv6 text. */
  readonly gid: string;
}

const MESSAGE_BYTES = 52;
const DONE = Buffer.from('done\0');
const MESSAGE = /^([\da-f]{4}):([\da-f]{6}):([\da-f]{6}):([\da-f]{32})\0$/;

/** `LLLL:QQQQQQ:PPPPPP:` and the GID's 16 bytes, all hexadecimal, and a NUL. */
export function formatAddress({ lid, qpn, psn, gid }: PingpongAddress): Buffer {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return Buffer.from(`${hex(lid, 4)}:${hex(qpn, 6)}:${hex(psn, 6)}:${gidToHex(gid)}\0`, 'latin1');
}

/** @throws RdmaError ERR_RDMA_PROTOCOL for anything else. */
export function parseAddress(message: Buffer): PingpongAddress {
  const [, lid, qpn, psn, gid] = MESSAGE.exec(message.toString('latin1')) ?? [];
  if (lid === undefined || qpn === undefined || psn === undefined || gid === undefined) {
    throw new RdmaError('ERR_RDMA_PROTOCOL', 'the peer does not speak the protocol of ibv_rc_pingpong');
  }
  const number = (digits: string): number => Number.parseInt(digits, 16);
  return { lid: number(lid), qpn: toQpn(number(qpn)), psn: toPsn(number(psn)), gid: gidFromHex(gid) };
}

export interface ExchangeOptions {
  readonly own: PingpongAddress;
  readonly timeoutMillis: number;
  /** Takes the queue pair to RTS. */
  readonly onRemote: (remote: PingpongAddress) => Promise<void>;
}

/** The client's side. @throws RdmaError when the server cannot be reached, is silent, or says something else. */
export async function exchangeAsClient(host: string, port: number, options: ExchangeOptions): Promise<void> {
  const socket = connect({ host, port, noDelay: true });
  const reader = new SocketReader(socket, options.timeoutMillis);
  try {
    await connectTcp(socket, host, port);
    socket.write(formatAddress(options.own));
    const remote = parseAddress(await reader.read(MESSAGE_BYTES));
    // The stock server fails unless `done` is there when it looks, so it goes out before anything else.
    socket.end(DONE);
    await options.onRemote(remote);
  } catch (error) {
    throw explain(error, `${host}, port ${port}`);
  } finally {
    if (!socket.writableFinished) socket.destroy();
  }
}

/** Waits for a client as long as it takes. */
export class AddressServer {
  readonly #server: Server;
  readonly port: number;

  /** @throws RdmaError ERR_RDMA_ADDRESS when the port cannot be bound. */
  static async listen(host: string | undefined, port: number): Promise<AddressServer> {
    return new AddressServer(await listenTcp(host, port));
  }

  private constructor(server: Server) {
    this.#server = server;
    this.port = portOf(server);
  }

  /** Serves one client, then stops listening. */
  async exchange({ own, timeoutMillis, onRemote }: ExchangeOptions): Promise<void> {
    const [socket] = (await once(this.#server, 'connection')) as [Socket];
    this.close();
    const reader = new SocketReader(socket, timeoutMillis);
    try {
      await onRemote(parseAddress(await reader.read(MESSAGE_BYTES)));
      socket.write(formatAddress(own));
      const done = await reader.read(DONE.length);
      if (!done.equals(DONE))
        throw new RdmaError('ERR_RDMA_PROTOCOL', 'the client did not say that it is done');
    } catch (error) {
      throw explain(error, 'the client');
    } finally {
      socket.destroy();
    }
  }

  close(): void {
    this.#server.close();
  }
}

function explain(error: unknown, peer: string): RdmaError {
  if (error instanceof RdmaError) return error;
  const message = `no address exchange with ${peer}: ${(error as Error).message}`;
  return new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { cause: error });
}
