/** What programs say to sockets and servers: the options of node:net, and what RDMA needs beyond them. */
import type { BlockList } from 'node:net';
import type { ConnectOptions } from '../connection/options/connect-options.js';
import type { ListenOptions } from '../connection/options/listen-options.js';
import type { CommonOptions } from '../connection/terms/options.js';
import type { LookupFunction } from './addresses.js';

/**
 * How bytes travel. `session`: streams of a secure connection of `queuepair`, which needs TLS credentials. `rsocket`: the protocol of
 * librdmacm's rsockets over rdma_cm, for programs that know nothing else. It authenticates nobody and hides nothing.
 */
export type RdmaDialect = 'session' | 'rsocket';

export interface SocketOptions {
  /** Whether the socket goes on writing when the peer has ended its direction. Default false. */
  readonly allowHalfOpen?: boolean;
  readonly highWaterMark?: number;
  /** Destroys the socket when it aborts. */
  readonly signal?: AbortSignal;
  /** What comes is copied into memory of the program, and told by a call instead of `data`. */
  readonly onread?: OnReadOptions;
}

export interface OnReadOptions {
  /** Memory that is used again and again, or what gives the memory for each next piece. */
  readonly buffer: Uint8Array | (() => Uint8Array);
  /** `bytes` of `memory` are filled. `false` pauses the socket until `resume`. */
  callback(bytes: number, memory: Uint8Array): unknown;
}

/** Of the connections under the sockets. */
export interface SharedSessionOptions
  extends Pick<
    CommonOptions,
    | 'device'
    | 'encryption'
    | 'handshakeDeadlineMillis'
    | 'keepAliveMillis'
    | 'lifeline'
    | 'logger'
    | 'path'
    | 'receiveSlots'
    | 'recoveryMillis'
    | 'slotBytes'
    | 'streams'
  > {}

export interface SessionConnectOptions
  extends SharedSessionOptions,
    Pick<ConnectOptions, 'ca' | 'cert' | 'key' | 'passphrase' | 'pfx' | 'secureContext' | 'servername'> {
  /**
   * A connection for this socket alone. Default false: sockets of one process to the same host, port and device with the same
   * credentials share one, so that another socket costs next to nothing.
   */
  readonly ownConnection?: boolean;
}

export interface SessionListenOptions
  extends SharedSessionOptions,
    Pick<
      ListenOptions,
      'admission' | 'authorize' | 'cert' | 'clientCa' | 'key' | 'onAudit' | 'passphrase' | 'pfx' | 'slots'
    > {}

/** Of rsockets alone. */
export interface PlainOptions {
  /** UDP port of the peer's device. Default 4791; others only between soft devices that share a host. */
  readonly udpPort?: number;
  /** Pieces of memory that the peer may offer (`socket.iomap`), 0 to 128. Default 0. */
  readonly iomapEntries?: number;
}

/** Of clients with rsockets alone. */
export interface PlainConnectOptions extends PlainOptions {
  /** The server runs under librspreload with RDMAV_FORK_SAFE=1, and is met by TCP first. Default false. */
  readonly forkSafe?: boolean;
}

/** `connect` takes more than these and ignores it, as agents hand over all they have. */
export interface SocketConnectOptions
  extends SocketOptions,
    PlainConnectOptions,
    Partial<SessionConnectOptions> {
  readonly port: number;
  /** Default localhost. */
  readonly host?: string;
  readonly family?: number;
  readonly hints?: number;
  readonly lookup?: LookupFunction;
  /** Addresses that are not connected to. */
  readonly blockList?: BlockList;
  /** Sets `socket.setTimeout` before it connects. */
  readonly timeout?: number;
  readonly rdma?: RdmaDialect;
  /** Taken and without effect: nothing is delayed here. */
  readonly noDelay?: boolean;
  /** As `setKeepAlive`: with rsockets alone it does something, as connections of sessions watch over themselves. */
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
}

/**
 * What a socket that is made first and connected later is told when it is made: who calls `connect` then may be a package that knows
 * a port and a host alone.
 */
export interface ConnectDefaults
  extends Partial<SessionConnectOptions>,
    PlainConnectOptions,
    Pick<SocketConnectOptions, 'rdma'> {}

export interface ServerOptions extends PlainOptions, Partial<SessionListenOptions> {
  readonly allowHalfOpen?: boolean;
  readonly highWaterMark?: number;
  /** Sockets read nothing before `resume` is called. Default false. */
  readonly pauseOnConnect?: boolean;
  /** Addresses whose sockets are reset before the program hears of them. */
  readonly blockList?: BlockList;
  readonly rdma?: RdmaDialect;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
}

export interface ServerListenOptions {
  readonly port?: number;
  /** Default 127.0.0.1: say so if others shall connect. */
  readonly host?: string;
  readonly backlog?: number;
  /** Closes the server when it aborts. */
  readonly signal?: AbortSignal;
  /** Taken and without effect, as there are no clusters here and no UNIX sockets. */
  readonly exclusive?: boolean;
  readonly readableAll?: boolean;
  readonly writableAll?: boolean;
  /** A server listens at one address, and has its port alone. */
  readonly ipv6Only?: false;
  readonly reusePort?: false;
}
