/**
 * `queuepair/net`: sockets and servers with the shape of node:net, over RDMA. A program changes one import; docs/net.md says what
 * holds and what differs.
 */
export {
  BlockList,
  getDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  SocketAddress,
  setDefaultAutoSelectFamily,
  setDefaultAutoSelectFamilyAttemptTimeout,
} from 'node:net';
export type { AddressInfo, LookupFunction } from './net/addresses.js';
export { connect, connect as createConnection, createServer } from './net/create.js';
export { default } from './net/module.js';
export type { NetError } from './net/net-errors.js';
export type {
  ConnectDefaults,
  OnReadOptions,
  PlainConnectOptions,
  PlainOptions,
  RdmaDialect,
  ServerListenOptions,
  ServerOptions,
  SessionConnectOptions,
  SessionListenOptions,
  SharedSessionOptions,
  SocketConnectOptions,
  SocketOptions,
} from './net/options.js';
export type { OfferedMemory, RsocketIomap } from './net/rsocket/rsocket-iomap.js';
export type { IomapEntry } from './net/rsocket/wire/iomap-entry.js';
export { type DropArgument, Server, type ServerEvents } from './net/server.js';
export { type ReadyState, Socket, Socket as Stream } from './net/socket.js';
