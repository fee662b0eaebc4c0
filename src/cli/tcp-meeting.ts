/** The TCP connection over which programs of RDMA tell each other where their queue pairs are. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { listenFault } from '../session/listen-fault.js';
import { socketFault } from '../session/tls-errors.js';
import { RdmaError } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';

/** @throws RdmaError ERR_RDMA_ADDRESS when the port cannot be bound. */
export async function listenTcp(host: string | undefined, port: number): Promise<Server> {
  const server = createServer({ noDelay: true });
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  try {
    await once(server, 'listening');
  } catch (cause) {
    const message = `cannot listen on TCP port ${port}: ${listenFault(cause)}`;
    throw new RdmaError('ERR_RDMA_ADDRESS', message, { cause });
  }
  return server;
}

/** @throws RdmaError ERR_RDMA_CONNECTION_LOST that says why nobody is there. */
export async function connectTcp(socket: Socket, host: string, port: number): Promise<void> {
  try {
    await once(socket, 'connect');
  } catch (cause) {
    if (cause instanceof RdmaError) throw cause;
    const fault = socketFault(cause as Error) ?? `cannot be reached: ${(cause as Error).message}`;
    const message = `the server ${hostPort(host, port)} ${fault}`;
    throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { cause });
  }
}

export function portOf(server: Server): number {
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

/** Reads messages of known lengths; the connection fails when one takes too long. */
export class SocketReader {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);

  constructor(socket: Socket, timeoutMillis: number) {
    this.#socket = socket;
    socket.setTimeout(timeoutMillis, () => {
      socket.destroy(new RdmaError('ERR_RDMA_TIMEOUT', `silent for ${timeoutMillis / 1000} s`));
    });
    // Who waits for the socket hears of the error; nobody may be waiting.
    socket.on('error', () => {});
  }

  async read(lengthBytes: number): Promise<Buffer> {
    while (this.#received.length < lengthBytes) {
      const piece = this.#socket.read() as Buffer | null;
      if (piece !== null) this.#received = Buffer.concat([this.#received, piece]);
      else await this.#more();
    }
    const message = this.#received.subarray(0, lengthBytes);
    this.#received = this.#received.subarray(lengthBytes);
    return message;
  }

  #more(): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const settle = (error: Error | null): void => {
        socket.off('readable', onReadable).off('end', onEnd).off('error', settle).off('close', onEnd);
        if (error === null) resolve();
        else reject(error);
      };
      const onReadable = (): void => settle(null);
      const onEnd = (): void => settle(new RdmaError('ERR_RDMA_PROTOCOL', 'the peer hung up too early'));
      socket.once('readable', onReadable).once('end', onEnd).once('error', settle).once('close', onEnd);
      if (socket.errored !== null) settle(socket.errored);
      else if (socket.readableEnded || socket.destroyed) onEnd();
    });
  }
}
