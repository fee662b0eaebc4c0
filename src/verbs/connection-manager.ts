/**
 * The communication manager of a device (IBTA chapter 12, annex A11; `rdma_cm`): the contract that every kind of device
 * implements, and that the room `cm/` gives Node's manners. It carries numbers and private data of queue pairs that
 * their owners made and move themselves; it never touches a queue pair.
 *
 * Invariants: an id tells its events in order, on the thread of the program, never within the call that caused them; it
 * tells one ending (`rejected`, `unreachable`, `failed` or `disconnected`) at most, and nothing after `close`. A device that
 * is closed by force tells each of its ids `failed`. A listener that throws is told the next event all the same; what it
 * threw is reported as an exception that nobody catches (`verbs/listeners.ts`).
 */
import type { QKey, Qpn } from './brands.js';
import type { OwnPath, PathOptions } from './bring-up.js';
import { type RdmaError, usageError } from './errors.js';
import type { PathMtu } from './mtu.js';
import type { PeerPath } from './peer-path.js';

/** Upper half of a service ID of rdma_cm (`rdma_port_space`). TCP and IB are for connections, UDP is for datagrams. */
export const PortSpace = { TCP: 0x0106, UDP: 0x0111, IB: 0x013f } as const;
export type PortSpace = (typeof PortSpace)[keyof typeof PortSpace];

/** `undefined` for a service ID that is none of rdma_cm. */
export function portSpaceOf(serviceId: bigint): PortSpace | undefined {
  const space = serviceId >> 16n;
  return Object.values(PortSpace).find((value) => BigInt(value) === space);
}

export type ConnectionPortSpace = Exclude<PortSpace, typeof PortSpace.UDP>;

/** Bytes of private data that a program may add to each message; the receiver always gets all of them, zero-padded. */
export const PrivateDataBytes = {
  REQUEST: 56,
  /** To a service ID that is none of rdma_cm. */
  SERVICE_REQUEST: 92,
  REPLY: 196,
  REJECT: 148,
  DATAGRAM_REQUEST: 180,
  DATAGRAM_REPLY: 136,
} as const;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for private data that a message has no room for. */
export function checkPrivateData(privateData: Uint8Array, maxBytes: number): void {
  if (privateData.length <= maxBytes) return;
  throw usageError(
    `private data of ${privateData.length} bytes is too long: this message carries ${maxBytes} at most; send the rest over the connection`,
  );
}

/** Neither private data nor other words. */
export const NO_DATA = new Uint8Array(0);

/** Why a REJ is sent (IBTA table 109), by number: those that this code sends or tells apart. */
export const RejectReason = {
  /** Its sender has given up. */
  TIMEOUT: 4,
  INVALID_SERVICE_ID: 8,
  INVALID_TRANSPORT: 9,
  STALE_CONNECTION: 10,
  INVALID_GID: 12,
  INVALID_ALTERNATE_GID: 18,
  INVALID_MTU: 26,
  /** The program said no. */
  CONSUMER: 28,
} as const;
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason];

/** An end as programs name it. The port is one of the port space, not of TCP or UDP. */
export interface CmAddress {
  /** An IPv4 or IPv6 address as text, never a name. */
  readonly host: string;
  readonly port: number;
}

/** What a client of connections asks for, beside the port of an address. */
export interface CmService {
  /** Default TCP. */
  readonly portSpace?: ConnectionPortSpace;
  /** In place of port (0) and port space: a service ID that is none of rdma_cm, 64 bits. Soft devices only. */
  readonly serviceId?: bigint;
}

/** How both ends bring their queue pairs up, as their messages agreed: the arguments of `toRtr` and `toRts`. */
export interface CmPath {
  /** `psn`: the first PSN that the peer sends. `rdAtomic`: READs and atomics that may be under way to it. */
  readonly peer: PeerPath;
  /** `psn`: the first PSN to send. `rdAtomic`: READs and atomics of the peer that this end must hold. */
  readonly own: OwnPath;
  readonly options: PathOptions;
}

/** What an end says of its queue pair (`rdma_conn_param`). */
export interface CmParameters {
  /** READs and atomics of the peer that this end can hold, 0–255. */
  readonly responderResources: number;
  /** READs and atomics that this end wants to have under way, 0–255. */
  readonly initiatorDepth: number;
  /** 0–7, for the queue pairs of both ends. Said by a request only. */
  readonly retryCount: number;
  /** 0–7, for the queue pair of the receiver of this message; 7 = for ever. */
  readonly rnrRetryCount: number;
  readonly flowControl: boolean;
  /** Receives are taken from a shared receive queue. */
  readonly srq: boolean;
}

export interface OwnCmParameters extends CmParameters {
  readonly qpn: Qpn;
  /** At most {@link PrivateDataBytes}. */
  readonly privateData: Uint8Array;
}

export interface CmConnectRequest extends OwnCmParameters, CmService {
  readonly remote: CmAddress;
  /** The address of this device to connect from. Default: the first that fits. */
  readonly localHost?: string;
  /** UDP port of the peer's device. Default 4791; others only towards soft devices. */
  readonly udpPort?: number;
  /** Largest path MTU, where the device lets a program choose. */
  readonly mtu?: PathMtu;
  readonly trafficClass?: number;
  /** Code 0–31 of the queue pairs' retransmission timeout, where the default is not wanted. */
  readonly ackTimeout?: number;
  /** Time for the whole meeting, until `response` or an ending. */
  readonly timeoutMillis: number;
}

/** What the peer said. Private data always has its full size. */
export interface CmPeerParameters extends CmParameters {
  readonly qpn: Qpn;
  readonly privateData: Uint8Array;
}

export type CmEvent =
  /** The active side: a reply came. Bring the queue pair up, then call `establish`, or `reject`. */
  | { readonly type: 'response'; readonly path: CmPath; readonly peer: CmPeerParameters }
  /** The passive side: the peer is ready, by its word or its first packet. */
  | { readonly type: 'established' }
  /** `reason`: of IBTA table 109. Private data of 148 bytes, zeros where the peer's device rejected, not its program. */
  | { readonly type: 'rejected'; readonly reason: number; readonly privateData: Uint8Array }
  /** Nobody answered in time. */
  | { readonly type: 'unreachable' }
  /** Of this machine: no address, no route, the wrong device. */
  | { readonly type: 'failed'; readonly error: RdmaError }
  /** `byPeer`: it asked for the end. `answered`: false when this end asked and nobody answered. */
  | { readonly type: 'disconnected'; readonly byPeer: boolean; readonly answered: boolean };

/** A meeting and the connection that it leads to (`rdma_cm_id`). */
export interface CmId {
  /** With port 0 until the device has chosen. */
  readonly local: CmAddress;
  readonly remote: CmAddress;
  /** The active side, after `response`: the queue pair is in RTS (`rdma_establish`; RTU). */
  establish(): Promise<void>;
  /** The passive side: the queue pair is in RTS (`rdma_accept`; REP). */
  accept(parameters: OwnCmParameters): Promise<void>;
  /** Either side, before it is established (`rdma_reject`; REJ). Private data of 148 bytes at most. */
  reject(reason: number, privateData: Uint8Array): Promise<void>;
  /** Asks for the end, or agrees to it (`rdma_disconnect`; DREQ or DREP). `disconnected` follows. Idempotent. */
  disconnect(): Promise<void>;
  /** Forgets it; tells the peer where it does not know (`rdma_destroy_id`). Idempotent; allowed at any time. */
  close(): Promise<void>;
}

/** A client asks for a connection. It must be accepted, rejected or closed. */
export interface CmRequest {
  readonly id: CmId;
  readonly peer: CmPeerParameters;
  /** As the client asked: depths may be above those of this device. */
  readonly path: CmPath;
  /** From now on events of the id go here; those until then are kept. */
  onEvent(listener: (event: CmEvent) => void): void;
}

export interface CmListenOptions {
  /** An address of the device, or `null` for all of them. */
  readonly host: string | null;
  /** 0: the device chooses. */
  readonly port: number;
  /** Requests that wait for the program, at most. */
  readonly backlog: number;
}

export interface CmListener {
  readonly address: CmAddress;
  /** Resolves when it takes no more requests, whether the program closed it or the device was closed. Never rejects. */
  readonly ended: Promise<void>;
  /** Takes no more requests; those told already stay. Idempotent. */
  close(): Promise<void>;
}

/** Where a datagram service is (SIDR). */
export interface CmDatagramService {
  readonly gid: string;
  readonly udpPort: number;
  readonly qpn: Qpn;
  readonly qkey: QKey;
  readonly options: PathOptions;
  /** 136 bytes. */
  readonly privateData: Uint8Array;
}

export interface CmDatagramLookup {
  readonly remote: CmAddress;
  readonly localHost?: string;
  readonly udpPort?: number;
  readonly trafficClass?: number;
  readonly privateData: Uint8Array;
  readonly timeoutMillis: number;
}

export type CmDatagramEvent =
  | { readonly type: 'found'; readonly service: CmDatagramService }
  /** `status` 1: no such service; 2: the program said no; others of IBTA 12.11. */
  | { readonly type: 'refused'; readonly status: number; readonly privateData: Uint8Array }
  | { readonly type: 'unreachable' }
  | { readonly type: 'failed'; readonly error: RdmaError };

/** A client asks for a datagram service. Answered once, within 30 s: after that it cannot be accepted, and is forgotten. */
export interface CmDatagramRequest {
  readonly remote: CmAddress;
  /** 180 bytes. */
  readonly privateData: Uint8Array;
  accept(qpn: Qpn, qkey: QKey, privateData: Uint8Array): Promise<void>;
  reject(privateData: Uint8Array): Promise<void>;
}

export interface ConnectionManager {
  /** Starts a meeting. @throws RdmaError ERR_RDMA_NOT_SUPPORTED for a service ID where the device knows ports alone. */
  connect(request: CmConnectRequest, onEvent: (event: CmEvent) => void): CmId;
  /**
   * @throws RdmaError ERR_RDMA_ADDRESS when the address is not of this device, or the port is taken, which its cause has as code EADDRINUSE;
   * ERR_RDMA_NOT_SUPPORTED as `connect`.
   */
  listen(options: CmListenOptions & CmService, onRequest: (request: CmRequest) => void): Promise<CmListener>;
  /** Starts to look a datagram service up, in the port space UDP. Returns the function that gives up. */
  lookUp(request: CmDatagramLookup, onEvent: (event: CmDatagramEvent) => void): () => void;
  /** @throws RdmaError as `listen`. */
  listenDatagram(
    options: CmListenOptions,
    onRequest: (request: CmDatagramRequest) => void,
  ): Promise<CmListener>;
}
