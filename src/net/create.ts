/** The functions by which programs of node:net make sockets and servers. */
import { connectArguments } from './arguments.js';
import type { ServerOptions, SocketConnectOptions } from './options.js';
import { Server } from './server.js';
import { Socket } from './socket.js';

/**
 * A socket that connects; also `createConnection`. The listener is called when it is connected, failures are told by `error`.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NOT_SUPPORTED.
 */
export function connect(options: SocketConnectOptions, onConnect?: () => void): Socket;
export function connect(port: number, host?: string, onConnect?: () => void): Socket;
export function connect(port: number, onConnect?: () => void): Socket;
export function connect(...given: readonly unknown[]): Socket {
  const { options, listener } = connectArguments(given);
  return new Socket(options).connect(options, listener);
}

/**
 * A server that does not listen yet.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for options that are missing or do not exist.
 */
export function createServer(options: ServerOptions, onConnection?: (socket: Socket) => void): Server;
export function createServer(onConnection?: (socket: Socket) => void): Server;
export function createServer(
  options: ServerOptions | ((socket: Socket) => void) = {},
  onConnection?: (socket: Socket) => void,
): Server {
  return typeof options === 'function' ? new Server({}, options) : new Server(options, onConnection);
}
