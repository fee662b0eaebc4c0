/** What programs may choose when they meet peers by rdma_cm. */
import type { Endpoint, EndpointOptions } from '../endpoint/endpoint.js';
import type { QueuePair } from '../verbs/queue-pair.js';

/** Where a connection gets its queue pair from. */
export type CmQueuePair = QueuePair | Endpoint;

export interface CmDepthOptions {
  /** READs and atomics of the peer that this end holds at a time. Default 16, or as many as the peer asks for. */
  readonly responderResources?: number;
  /** READs and atomics that this end wants to have under way. Default 16, or as many as the peer can hold. */
  readonly initiatorDepth?: number;
}

export interface CmServiceOptions {
  /** Where the port is: `tcp` (RDMA_PS_TCP) as with nearly all programs, or `ib` (RDMA_PS_IB). Default `tcp`. */
  readonly portSpace?: CmPortSpace;
  /**
   * In place of a port: the service of a program without rdma_cm, 64 bits. Its requests have no CMA header, so that they carry
   * 92 bytes of private data. Soft devices only.
   */
  readonly serviceId?: bigint;
}

export type CmPortSpace = 'tcp' | 'ib';

export interface CmConnectOptions extends CmDepthOptions, CmServiceOptions {
  /** An address, or a name whose addresses are tried in turn, as far as the device can reach them. */
  readonly host: string;
  /** Of rdma_cm; no TCP or UDP port is involved. Needed, unless there is a `serviceId`. */
  readonly port?: number;
  /**
   * An RC queue pair of the device in RESET or INIT, or an endpoint. Receives can be posted before, in INIT. In RESET it
   * gets every right of remote access that the device offers; in INIT it keeps those it has.
   */
  readonly qp: CmQueuePair;
  /** 56 bytes at most, 92 to a service ID. The peer gets all of them, zeros after these: its length is for the program to tell. */
  readonly privateData?: Uint8Array;
  /** 0–7 retransmissions of either end without progress. Default 7. */
  readonly retryCount?: number;
  /** 0–6 retries of the peer when this end has no receive posted, 7 = for ever. Default 7. */
  readonly rnrRetryCount?: number;
  /** The address of the device to connect from. Default: the first that fits. */
  readonly localHost?: string;
  /** UDP port of the peer's device. Default 4791; others only towards soft devices that share a host. */
  readonly udpPort?: number;
  /** DSCP and ECN bits. Default 0. */
  readonly trafficClass?: number;
  /** Code 1–31: 4.096 µs × 2^code until a retransmission. Default: from the path, as rdma_cm does. */
  readonly ackTimeout?: number;
  /** Time until the peer has answered, the lookup of its name included. Default 10 000. */
  readonly timeoutMillis?: number;
  readonly signal?: AbortSignal;
}

export interface EndpointConnectOptions extends Omit<CmConnectOptions, 'qp'> {
  /**
   * The meeting sets `trafficClass`, `flowLabel`, `timeout`, `retryCount` and `rnrRetry` of its `path` anew, and on devices of
   * the operating system `port`, `gidIndex` and `hopLimit` as well.
   */
  readonly endpoint?: EndpointOptions;
}

export interface CmAcceptOptions extends CmDepthOptions {
  /** As {@link CmConnectOptions.qp}. Post receives before: the peer may send as soon as it hears of the accept. */
  readonly qp: CmQueuePair;
  /** 196 bytes at most. */
  readonly privateData?: Uint8Array;
  /** 0–6 retries of the peer when this end has no receive posted, 7 = for ever. Default 7. */
  readonly rnrRetryCount?: number;
  /** Gives up the wait for the client, which is told no. One that has aborted already leaves the request as it is. */
  readonly signal?: AbortSignal;
}

export interface CmRejectOptions {
  /** Of IBTA table 109, but 4, which is no answer. Default 28; devices of the operating system send 28 alone. */
  readonly reason?: number;
  /** 148 bytes at most. */
  readonly privateData?: Uint8Array;
}

export interface CmDisconnectOptions {
  /** How long the peer has to answer before this end forgets it. Default 10,000. */
  readonly timeoutMillis?: number;
}

export interface CmNextOptions {
  /** Gives up the wait: the next request goes to somebody else. */
  readonly signal?: AbortSignal;
}

export interface CmListenOptions extends CmServiceOptions, CmDatagramListenOptions {}

export interface CmDatagramListenOptions {
  /** An address of the device. Default, as 0.0.0.0 and :: are: all of them. */
  readonly host?: string;
  /** Default 0: the device chooses. */
  readonly port?: number;
  /**
   * Requests that the program has not answered, at most. Default 256. A soft device drops further ones, so that their clients
   * ask again; devices of the operating system reject them (reason 28).
   */
  readonly backlog?: number;
}

export interface CmResolveOptions {
  readonly host: string;
  readonly port: number;
  /** 180 bytes at most. */
  readonly privateData?: Uint8Array;
  readonly localHost?: string;
  readonly udpPort?: number;
  readonly trafficClass?: number;
  /** Default 10 000. */
  readonly timeoutMillis?: number;
  readonly signal?: AbortSignal;
}

export interface CmDatagramAcceptOptions {
  /** The UD queue pair, or the UD endpoint, that the client shall send to. */
  readonly qp: CmQueuePair;
  /** What its datagrams must carry. Default: what the queue pair asks for. Linux takes RDMA_UDP_QKEY alone. */
  readonly qkey?: number;
  /** 136 bytes at most. */
  readonly privateData?: Uint8Array;
}

export interface CmDatagramRejectOptions {
  /** 136 bytes at most. */
  readonly privateData?: Uint8Array;
}
