/**
 * What the halves of a queue pair need of it: its attributes, where requests and receives complete, memory of peers, and its
 * turn to send. A half knows no more, so that it can be built and tested without a whole queue pair and its NIC.
 */
import type { Qpn } from '../../verbs/brands.js';
import type { QpState, QpType } from '../../verbs/qp-state.js';
import type { WcStatus } from '../../verbs/work-completion.js';
import type { QpCounters } from '../counters.js';
import type { Flow } from '../flow.js';
import type { RemoteGrant } from '../memory/region.js';
import type { CurrentReceive } from './receive-queue.js';
import type { SendWqe } from './send-queue.js';
import type { Srq } from './srq.js';

export interface QpHost {
  readonly qpn: Qpn;
  readonly type: QpType;
  readonly pd: number;
  readonly srq: Srq | null;
  readonly counters: QpCounters;
  /** What the opcodes of SENDs and WRITEs have more than those of RC. */
  readonly serviceBits: number;
  readonly state: QpState;
  readonly flow: Flow;
  readonly destQpn: number;
  readonly mtu: number;
  readonly qkey: number;
  readonly accessFlags: number;
  readonly minRnrTimer: number;
  readonly timeoutMicros: number;
  readonly retryCount: number;
  readonly rnrRetry: number;
  /** There is something to send. */
  schedule(): void;
  /** Has `handleTimeout` called at `at`, µs, or before. */
  armTimer(at: number): void;
  /** In SQD: raises SQ_DRAINED once, when what was in progress is done. */
  checkDrained(): void;
  /** A failure that no completion reports: the program is told by an event. */
  fail(event: 'QP_REQ_ERR' | 'QP_ACCESS_ERR' | 'QP_FATAL'): void;
  /** Everything posted completes with WR_FLUSH_ERR. Answers that are queued still leave. */
  enterError(): void;
  /** UC and UD: a request failed. The send queue stops and is flushed; receiving goes on. */
  enterSendQueueError(): void;
  takeReceive(current: CurrentReceive): boolean;
  findGrant(rkey: number): RemoteGrant | null;
  /** SEND_WITH_INV of the peer, or LOCAL_INV: only windows that are bound to this queue pair. */
  invalidate(rkey: number): boolean;
  /** Carries out LOCAL_INV or BIND_MW; returns the status that it completes with. */
  executeLocal(wqe: SendWqe): WcStatus;
  completeSend(wqe: SendWqe, status: WcStatus): void;
  completeReceive(
    wrId: number,
    status: WcStatus,
    opcode: number,
    length: number,
    wcFlags: number,
    value: number,
    sourceQpn: number,
    solicited: boolean,
  ): void;
}
