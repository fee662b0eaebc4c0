/** Queue pair attributes (`ibv_qp_attr`) and capacities (`ibv_qp_cap`), shared by every device. */
import type { AddressVector } from './address-handle.js';
import type { Psn, QKey, Qpn } from './brands.js';
import type { PathMtu } from './mtu.js';
import type { QpState } from './qp-state.js';

/** How much a queue pair can hold. Devices may give more than was asked: use the values that they return. */
export interface QpCapacity {
  maxSendWr: number;
  maxRecvWr: number;
  maxSendSge: number;
  maxRecvSge: number;
  maxInlineData: number;
}

/** Attributes of a `modify` call. Which are required and which are allowed is said by the transition table. */
export interface QpAttributes {
  state?: QpState;
  /** The state that the caller believes the queue pair is in; the call fails if it is not. */
  curState?: QpState;
  enSqdAsyncNotify?: boolean;
  /** `AccessFlags`: what the peer may do through this queue pair. */
  accessFlags?: number;
  pkeyIndex?: number;
  port?: number;
  qkey?: QKey;
  /** The peer's address. */
  av?: AddressVector;
  pathMtu?: PathMtu;
  destQpn?: Qpn;
  /** First PSN that the peer will send: the peer's `sqPsn`. */
  rqPsn?: Psn;
  /** First PSN that this queue pair sends. */
  sqPsn?: Psn;
  /** READs and atomics that this side keeps unfinished; at most the peer's `maxDestRdAtomic`. */
  maxRdAtomic?: number;
  /** READs and atomics of the peer that this side can hold. */
  maxDestRdAtomic?: number;
  /** RNR timer code 0–31: how long a peer must wait when no receive was posted. 12 is 0.64 ms. */
  minRnrTimer?: number;
  /** Code 0–31: 4.096 µs × 2^code until a retransmission; 0 = never. 14 is 67 ms. */
  timeout?: number;
  /** 0–7 retransmissions without progress before RETRY_EXC_ERR. */
  retryCount?: number;
  /** 0–6 RNR retries, 7 = for ever. */
  rnrRetry?: number;
}

/** What `query` returns: every attribute as it stands, defaults included (`ibv_query_qp`). */
export interface QpSnapshot extends Readonly<QpAttributes> {
  readonly state: QpState;
  readonly capacity: Readonly<QpCapacity>;
}
