/**
 * What a {@link CmMachine} is told and what it tells, as plain data. Vocabulary of programs (`CmPath`, `CmParameters`) is
 * in verbs/connection-manager.ts.
 */
import type { UdpAddress } from '../../verbs/address.js';
import type { CmAddress, CmPath, CmPeerParameters, OwnCmParameters } from '../../verbs/connection-manager.js';
import type { PathMtu } from '../../verbs/mtu.js';
import type { RandomU32 } from '../random.js';

/** Names a connection, request, listener or lookup of one machine; never used again. */
export type CmHandle = number;

export interface CmLimits {
  /** Connections in all, with those that end. */
  readonly maxConnections: number;
  /** Requests of peers that are not established, in all and of one address. */
  readonly maxHalfOpen: number;
  readonly maxHalfOpenOfSource: number;
  /** Answers to refused requests and datagram lookups that are kept for their repetition. */
  readonly maxRemembered: number;
}

export interface CmMachineOptions {
  readonly random: RandomU32;
  /** Addresses of this host. The port is the device's UDP port, the same for all. */
  readonly addresses: readonly UdpAddress[];
  /** The largest path MTU that the device takes. */
  readonly maxMtu: PathMtu;
  /** Code of the time that this device takes to acknowledge. Default 15, as rxe says. */
  readonly ackDelay?: number;
  readonly limits?: Partial<CmLimits>;
}

export interface CmConnectOptions extends OwnCmParameters {
  readonly serviceId: bigint;
  /** With the UDP port of its device. */
  readonly remote: UdpAddress;
  readonly local: UdpAddress;
  /** Of the port space. Default: a random one above 49151. */
  readonly sourcePort?: number;
  readonly mtu: PathMtu;
  /** Default 0. */
  readonly trafficClass?: number;
  /** Default: from the two ports, as rdma_cm does. */
  readonly flowLabel?: number;
  /** Code of the queue pairs' retransmission timeout. Default: from the path. */
  readonly ackTimeout?: number;
  /** Until `response` or an ending. */
  readonly timeoutMillis: number;
}

export interface CmListenerOptions {
  readonly serviceId: bigint;
  /** `null`: all addresses of this host. */
  readonly address: UdpAddress | null;
  /** Takes SIDR_REQs rather than REQs. */
  readonly forDatagrams: boolean;
  /** Requests that were told and not answered, at most; more are dropped, so that the peers ask again. */
  readonly backlog: number;
}

export interface CmLookupOptions {
  readonly serviceId: bigint;
  readonly remote: UdpAddress;
  readonly local: UdpAddress;
  readonly sourcePort?: number;
  readonly trafficClass?: number;
  readonly privateData: Uint8Array;
  readonly timeoutMillis: number;
}

export interface CmLookupAnswer {
  /** A `SidrStatus`. */
  readonly status: number;
  /** 0 unless the status is SUCCESS, as is the Q_Key. */
  readonly qpn: number;
  readonly qkey: number;
  readonly privateData: Uint8Array;
}

/** A GMP to send from queue pair 1 to queue pair 1. */
export interface CmSend {
  readonly type: 'send';
  /** 256 bytes. */
  readonly mad: Uint8Array;
  readonly source: UdpAddress;
  readonly destination: UdpAddress;
  readonly trafficClass: number;
}

export interface CmRequestEvent {
  readonly type: 'request';
  readonly id: CmHandle;
  readonly listener: CmHandle;
  readonly serviceId: bigint;
  readonly local: CmAddress;
  readonly remote: CmAddress;
  readonly path: CmPath;
  readonly peer: CmPeerParameters;
}

export interface CmLookupRequestEvent {
  readonly type: 'lookup-request';
  readonly id: CmHandle;
  readonly listener: CmHandle;
  readonly serviceId: bigint;
  readonly local: CmAddress;
  readonly remote: CmAddress;
  readonly privateData: Uint8Array;
}

export type CmMachineEvent =
  | CmRequestEvent
  | CmLookupRequestEvent
  /** Active side: bring the queue pair up, then `establish` or `reject`. */
  | {
      readonly type: 'response';
      readonly id: CmHandle;
      readonly path: CmPath;
      readonly peer: CmPeerParameters;
    }
  /** Passive side. */
  | { readonly type: 'established'; readonly id: CmHandle }
  /** An ending, as the three that follow: one of them at most is told of a connection. */
  | {
      readonly type: 'rejected';
      readonly id: CmHandle;
      readonly reason: number;
      readonly info: Uint8Array;
      readonly privateData: Uint8Array;
    }
  | { readonly type: 'unreachable'; readonly id: CmHandle }
  | {
      readonly type: 'disconnected';
      readonly id: CmHandle;
      readonly byPeer: boolean;
      readonly answered: boolean;
    }
  /** The time after the end is over: late packets are gone, the queue pair's number may be used again. */
  | { readonly type: 'released'; readonly id: CmHandle; readonly qpn: number }
  | {
      readonly type: 'lookup-answer';
      readonly id: CmHandle;
      readonly status: number;
      readonly remote: UdpAddress;
      readonly qpn: number;
      readonly qkey: number;
      readonly privateData: Uint8Array;
    }
  | { readonly type: 'lookup-unreachable'; readonly id: CmHandle };

export type CmOutput = CmSend | CmMachineEvent;
