/** The many ways in which node:net takes the arguments of `connect` and `listen`, as one. */
import { usageError } from '../verbs/errors.js';
import { notOffered } from './net-errors.js';
import type { ServerListenOptions, SocketConnectOptions } from './options.js';

type Listener = () => void;

/** `(options, listener?)`, `(port, host?, listener?)`; ports may be texts. */
export type ConnectArguments = readonly unknown[];

export interface Arguments<Options> {
  readonly options: Options;
  readonly listener: Listener | undefined;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NOT_SUPPORTED. */
export function connectArguments(given: readonly unknown[]): Arguments<SocketConnectOptions> {
  const { first, rest, listener } = taken(given);
  const options =
    typeof first === 'object' && first !== null ? { ...first } : { port: first, host: rest[0] ?? undefined };
  refuseUnixSocket(options);
  return { options: withPort(options, 'connect') as SocketConnectOptions, listener };
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NOT_SUPPORTED. */
export function listenArguments(given: readonly unknown[]): Arguments<ServerListenOptions> {
  const { first, rest, listener } = taken(given);
  if (typeof first === 'object' && first !== null) {
    if ('fd' in first || '_handle' in first) {
      throw notOffered('listening on an open handle: give a port');
    }
    refuseUnixSocket(first);
    return { options: withPort({ port: 0, ...first }, 'listen') as ServerListenOptions, listener };
  }
  const host = rest.find((value) => typeof value === 'string');
  const backlog = rest.find((value) => typeof value === 'number');
  const options = {
    port: first ?? 0,
    ...(host === undefined ? {} : { host }),
    ...(backlog === undefined ? {} : { backlog }),
  };
  refuseUnixSocket(options);
  return { options: withPort(options, 'listen') as ServerListenOptions, listener };
}

function taken(given: readonly unknown[]) {
  const last = given.at(-1);
  const listener = typeof last === 'function' ? (last as Listener) : undefined;
  const values = listener === undefined ? given : given.slice(0, -1);
  const [first, ...rest] = values;
  return { first, rest, listener };
}

/** A text that is no number is the path of a UNIX socket, as is `path`. Agents of node:http give `path: null`. */
function refuseUnixSocket({ path, port }: { readonly path?: unknown; readonly port?: unknown }): void {
  const isPath = typeof path === 'string' || (typeof port === 'string' && !isNumeric(port));
  if (isPath) throw notOffered('UNIX sockets: use node:net for them');
}

function withPort<T extends object>(options: T, what: string): T & { port: number } {
  const { port } = options as { port?: unknown };
  const number = typeof port === 'string' && isNumeric(port) ? Number(port) : port;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 0xffff) {
    return { ...options, port: number };
  }
  throw usageError(
    `${what} needs a port from 0 to 65535${port === undefined ? '' : `, not ${String(port)}`}`,
  );
}

const isNumeric = (text: string): boolean => /^\s*(\d+|0x[\da-f]+)\s*$/i.test(text);
