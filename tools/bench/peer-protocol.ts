/** What the orchestrator and its peers tell each other; see peers/peer.ts for the order. */

export type Role = 'server' | 'client';

export interface PeerConfig {
  readonly role: Role;
  /** The address that this peer binds. Each peer has its own, so that the two may be on different machines. */
  readonly host: string;
  readonly deadlineMillis: number;
}

export interface PeerResult {
  /** In the benchmark's unit. */
  readonly value: number;
  /** Latencies: the 99th percentile of batches. */
  readonly p99?: number;
  /** What the value is made of, in the same unit. */
  readonly parts?: Readonly<Record<string, number>>;
}

/** How much to do. Warm-up comes first and is left out of the result. */
export interface Load {
  readonly bytes: number;
  readonly count: number;
  readonly warmup: number;
  /** Messages under way at a time. */
  readonly depth: number;
  /** Latencies: round trips that are timed as one. */
  readonly batch: number;
}

export interface VerbsConfig extends PeerConfig, Load {
  readonly workload: 'ping' | 'write' | 'read' | 'send' | 'cost';
  /** Name of the device to open. */
  readonly device: string;
  /** `poll` spins on the completion queue; `events` waits on the completion channel. */
  readonly progress: 'poll' | 'events';
  /** Requests that are posted in one call; the last of them is signaled. */
  readonly postBatch: number;
  /** Payload bytes of a full packet; never more than the devices offer. */
  readonly mtu: number;
  /** Port of soft devices to put under it; default: what the device's name says. */
  readonly port?: 'native' | 'dgram';
  /** `false` replaces the packets' checksum by a constant: not on any wire that others use. */
  readonly icrc: boolean;
}

/** The echo of `VerbsConfig`, polled; `teller` says what held it up. */
export interface TailConfig extends VerbsConfig {
  readonly teller: Role;
}

export interface SocketConfig extends PeerConfig, Load {
  readonly workload: 'ping' | 'push' | 'pull' | 'rate';
  /** Directory of the development certificates: TLS instead of plain TCP. */
  readonly certificates?: string;
}

/** One stream, one way, in chunks. */
export interface StreamConfig extends PeerConfig, Pick<Load, 'bytes' | 'count' | 'warmup'> {
  readonly over: 'net' | 'tls' | 'connection';
  readonly isSealed?: boolean;
  readonly certificates: string;
  readonly device: string;
}

/** Requests of HTTP over one socket that is kept; `bytes` are those of an answer. */
export interface HttpConfig extends PeerConfig, Load {
  readonly over: 'queuepair' | 'queuepair-sealed' | 'net' | 'tls' | 'unix';
  readonly certificates: string;
  readonly device: string;
}

/** Messages that are awaited one by one in a fresh process; those from `from` up to `to` count. */
export interface EchoConfig extends PeerConfig, Pick<Load, 'bytes'> {
  readonly over: 'connection' | 'net' | 'tls';
  readonly from: number;
  readonly to: number;
  /** Both ends have sent messages to themselves before. */
  readonly isWarmedUp?: boolean;
  readonly certificates: string;
  readonly device: string;
}

/** Blocks of a disk. */
export interface DiskConfig extends PeerConfig, Load {
  readonly over: 'nvme' | 'net';
  readonly device: string;
}

export interface ConnectConfig extends PeerConfig {
  readonly count: number;
  readonly warmup: number;
  readonly certificates: string;
  readonly device: string;
  /** `rate`: connections a second, each opened and closed. Default: the time until one is ready. */
  readonly measure?: 'rate';
}
