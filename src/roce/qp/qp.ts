/**
 * A queue pair of the engine: its state and attributes, and the two halves of its service (RC, UC or UD), a requester
 * and a responder, that do the work.
 *
 * Invariants: in RESET and INIT nothing is sent and what arrives is dropped; in ERR nothing is sent but the answers
 * that were due before the failure, and every request that is or will be posted completes with WR_FLUSH_ERR.
 */
import type { Qpn } from '../../verbs/brands.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from '../../verbs/qp-attributes.js';
import { mayPostRecv, mayPostSend, mayReceive, QpState, QpType, qpStateName } from '../../verbs/qp-state.js';
import { checkTransition } from '../../verbs/qp-transitions.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import type { Sized } from '../../verbs/request-checks.js';
import { WcOpcode, WcStatus } from '../../verbs/work-completion.js';
import { type ReceiveWorkRequest, type SendWorkRequest, WrOpcode } from '../../verbs/work-request.js';
import type { Cq } from '../completion/cq.js';
import { QpCounters } from '../counters.js';
import type { Datagram } from '../datagram.js';
import type { Timed } from '../deadlines.js';
import { DropReason } from '../drop-reason.js';
import { Flow } from '../flow.js';
import type { RemoteGrant } from '../memory/region.js';
import { psnAdd, psnDistance } from '../psn.js';
import type { Sender } from '../sender.js';
import type { TransmitBatch } from '../transmit-batch.js';
import { TURN_COST } from '../turns.js';
import { Opcode, OpcodeFlag } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { checkRanges, timeoutToMicros } from './attribute-ranges.js';
import { Completer } from './completer.js';
import { CongestionNotice } from './congestion-notice.js';
import type { NicHost } from './nic-host.js';
import {
  type EngineReceive,
  type EngineSend,
  enqueueReceive,
  enqueueSend,
  type Handles,
  OWN_HANDLES,
} from './posting.js';
import type { QpHost } from './qp-host.js';
import { type CurrentReceive, ReceiveQueue } from './receive-queue.js';
import { completionOpcode } from './request-opcodes.js';
import { Requester } from './requester.js';
import { Responder } from './responder.js';
import { SendQueue, type SendWqe } from './send-queue.js';
import type { RequesterHalf, ResponderHalf } from './service-halves.js';
import type { Srq } from './srq.js';
import { UcResponder } from './uc-responder.js';
import { UdResponder } from './ud-responder.js';
import { UnreliableRequester } from './unreliable-requester.js';

const { REQUEST } = OpcodeFlag;
const { RTS, SQD } = QpState;

/** More than a turn lets a queue pair send: what packets cost ends it. */
const TURN_PACKETS = 128;
/** What requests may cost even while answers take all of a turn: half of it. */
const LEAST_REQUEST_COST = TURN_COST / 2;

/** Of all that have no address yet. */
const NOWHERE = new Flow();

export interface QpInit {
  readonly type: QpType;
  readonly pd: number;
  readonly sendCq: Cq;
  readonly recvCq: Cq;
  readonly srq: Srq | null;
  readonly capacity: Readonly<QpCapacity>;
  readonly signalAll: boolean;
}

export class Qp implements Timed, Sender, QpHost {
  readonly nic: NicHost<Qp>;
  readonly qpn: Qpn;
  readonly type: QpType;
  readonly pd: number;
  readonly sendCq: Cq;
  readonly recvCq: Cq;
  readonly srq: Srq | null;
  readonly capacity: Readonly<QpCapacity>;
  readonly counters: QpCounters;
  readonly receives: ReceiveQueue;
  readonly requester: RequesterHalf;
  readonly responder: ResponderHalf;
  /** RC alone has answers to read. */
  readonly #completer: Completer | null;
  /** {@link OpcodeFlag}s of the packets that are for this service. */
  readonly serviceFlags: number;
  /** The same, or 0 while somebody waits for the first packet. */
  expectedFlags: number;
  /** What the opcodes of SENDs and WRITEs have more than those of RC. */
  readonly serviceBits: number;
  state: QpState = QpState.RESET;
  /** For the object that wraps this one. */
  context: unknown = null;

  flow = NOWHERE;
  destQpn = 0;
  mtu = 1024;
  qkey = 0;
  accessFlags = 0;
  minRnrTimer = 12;
  timeoutMicros = Number.POSITIVE_INFINITY;
  retryCount = 7;
  rnrRetry = 7;
  #attributes: QpAttributes = {};
  #notifyDrained = false;
  readonly #notice = new CongestionNotice();

  /** Kept by the NIC's scheduler. */
  scheduled = false;
  nextScheduled: Sender | null = null;
  credit = 0;
  destroyed = false;
  heapIndex = -1;
  heapKey = Number.POSITIVE_INFINITY;

  constructor(nic: NicHost<Qp>, qpn: number, init: QpInit) {
    this.nic = nic;
    this.qpn = qpn as Qpn;
    this.type = init.type;
    this.pd = init.pd;
    this.sendCq = init.sendCq;
    this.recvCq = init.recvCq;
    this.srq = init.srq;
    this.capacity = init.capacity;
    this.counters = new QpCounters(nic.counters);
    const { maxSendWr, maxSendSge, maxInlineData, maxRecvWr, maxRecvSge } = init.capacity;
    this.receives = new ReceiveQueue(maxRecvWr, maxRecvSge);
    const queue = new SendQueue(maxSendWr, Math.max(1, maxSendSge), maxInlineData, init.pd, init.signalAll);
    const receiveSges = init.srq?.maxSge ?? maxRecvSge;
    this.serviceBits = init.type === QpType.UC ? Opcode.UC_SEND_FIRST : 0;
    if (init.type === QpType.RC) {
      const requester = new Requester(this, queue);
      this.requester = requester;
      this.responder = new Responder(this, receiveSges);
      this.#completer = new Completer(this, requester);
      this.serviceFlags = OpcodeFlag.RC | OpcodeFlag.CNP;
      this.expectedFlags = this.serviceFlags;
      return;
    }
    const isDatagram = init.type === QpType.UD;
    this.requester = new UnreliableRequester(this, queue);
    this.responder = isDatagram ? new UdResponder(this, receiveSges) : new UcResponder(this, receiveSges);
    this.#completer = null;
    this.serviceFlags = (isDatagram ? OpcodeFlag.UD : OpcodeFlag.UC) | OpcodeFlag.CNP;
    this.expectedFlags = this.serviceFlags;
  }

  // --- state --------------------------------------------------------------------------------------------------------

  /** @throws RdmaError for a transition that is not in the table, and for values out of range. */
  modify(attributes: QpAttributes): void {
    const to = checkTransition(this.type, this.state, attributes);
    checkRanges(attributes);
    const flow = attributes.av === undefined ? null : this.nic.createFlow(attributes.av);
    if (to === QpState.RESET) this.#reset();
    else if (to === QpState.ERR) this.#enterErrorByUser();
    else this.#apply(attributes, flow, to);
    this.nic.settle();
  }

  query(): QpSnapshot {
    return { ...this.#attributes, state: this.state, capacity: this.capacity };
  }

  /** `null` for services that do not acknowledge. */
  get progress(): QueuePairProgress | null {
    const { requester, responder } = this;
    if (!(requester instanceof Requester) || !(responder instanceof Responder)) return null;
    const { sqPsn, rqPsn } = this.#attributes;
    return {
      sent: sqPsn === undefined ? 0 : psnDistance(sqPsn, requester.nextPsn),
      acknowledged: sqPsn === undefined ? 0 : psnDistance(sqPsn, requester.unackedPsn),
      received: rqPsn === undefined ? 0 : psnDistance(rqPsn, responder.expectedPsn),
    };
  }

  #apply(attributes: QpAttributes, flow: Flow | null, to: QpState): void {
    const all = { ...this.#attributes, ...attributes };
    delete all.curState;
    delete all.enSqdAsyncNotify;
    this.#attributes = all;
    if (flow !== null) this.flow = flow;
    if (all.destQpn !== undefined) this.destQpn = all.destQpn;
    if (this.type === QpType.UD) this.mtu = this.nic.activeMtu;
    else if (all.pathMtu !== undefined) this.mtu = all.pathMtu;
    if (all.qkey !== undefined) this.qkey = all.qkey;
    if (all.accessFlags !== undefined) this.accessFlags = all.accessFlags;
    if (all.minRnrTimer !== undefined) this.minRnrTimer = all.minRnrTimer;
    if (all.retryCount !== undefined) this.retryCount = all.retryCount;
    if (all.rnrRetry !== undefined) this.rnrRetry = all.rnrRetry;
    if (all.timeout !== undefined) this.timeoutMicros = timeoutToMicros(all.timeout);
    if (attributes.enSqdAsyncNotify !== undefined) this.#notifyDrained = attributes.enSqdAsyncNotify;
    else if (to !== QpState.SQD) this.#notifyDrained = false;
    const from = this.state;
    this.state = to;
    if (from === QpState.INIT && to === QpState.RTR) {
      // V8 keeps a number that was computed or parsed as a fraction, and every PSN after it; these are small integers.
      this.responder.start(psnAdd(all.rqPsn as number, 0), all.maxDestRdAtomic ?? 0);
    } else if (from === QpState.RTR && to === QpState.RTS) {
      this.requester.start(psnAdd(all.sqPsn as number, 0), all.maxRdAtomic ?? 0);
    }
    if (from === QpState.SQD && to === QpState.SQD) {
      if (attributes.maxRdAtomic !== undefined) this.requester.resize(attributes.maxRdAtomic);
      if (attributes.maxDestRdAtomic !== undefined) this.responder.resize(attributes.maxDestRdAtomic);
    }
    if (to === QpState.SQD) this.checkDrained();
    if (to === QpState.RTS) this.schedule();
  }

  #reset(): void {
    this.state = QpState.RESET;
    this.#attributes = {};
    this.#notifyDrained = false;
    this.expectedFlags = this.serviceFlags;
    this.requester.reset();
    this.responder.reset();
    this.receives.clear();
  }

  /** About to be destroyed: returns whether an acknowledgement should leave before. */
  prepareDestroy(): boolean {
    this.responder.dropAnswers();
    return this.responder.hasResponses;
  }

  #enterErrorByUser(): void {
    if (this.state === QpState.ERR) return;
    this.responder.dropAnswers();
    this.enterError();
  }

  /** A failure that no completion reports: the program is told by an event. */
  fail(event: 'QP_REQ_ERR' | 'QP_ACCESS_ERR' | 'QP_FATAL'): void {
    if (this.state === QpState.ERR || this.state === QpState.RESET) return;
    this.nic.raise({ type: event, qp: this });
    this.enterError();
  }

  /** Everything posted completes with WR_FLUSH_ERR. Answers that are queued still leave. */
  enterError(): void {
    if (this.state === QpState.ERR) return;
    this.state = QpState.ERR;
    this.#attributes = { ...this.#attributes, state: QpState.ERR };
    this.requester.flush();
    this.responder.flush();
    this.#flushReceives();
    if (this.srq !== null) this.nic.raise({ type: 'QP_LAST_WQE_REACHED', qp: this });
    this.schedule();
  }

  /** UC and UD: a request failed. The send queue stops and is flushed; receiving goes on. */
  enterSendQueueError(): void {
    if (this.state !== QpState.RTS && this.state !== QpState.SQD) return;
    this.state = QpState.SQE;
    this.requester.flush();
  }

  #flushReceives(): void {
    while (this.receives.count > 0) {
      this.completeReceive(this.receives.shift(), WcStatus.WR_FLUSH_ERR, WcOpcode.RECV, 0, 0, 0, 0, false);
    }
  }

  /** In SQD: raises SQ_DRAINED once, when what was in progress is done. */
  checkDrained(): void {
    if (this.state !== QpState.SQD || !this.#notifyDrained || !this.requester.drained) return;
    this.#notifyDrained = false;
    this.nic.raise({ type: 'SQ_DRAINED', qp: this });
  }

  /**
   * Raises COMM_EST at the next packet that the peer alone can have sent. Asked for, because there is no need of it but
   * where the word of the peer that it is ready can be lost.
   */
  awaitFirstPacket(): void {
    this.expectedFlags = 0;
  }

  // --- posting ------------------------------------------------------------------------------------------------------

  /** @throws RdmaError for a request that cannot be right, a state that does not allow it, and a queue that is full. */
  postSend(request: EngineSend): void;
  postSend<Mr extends Sized, Mw, Ah>(
    request: SendWorkRequest<Mr, Mw, Ah>,
    handles: Handles<Mr, Mw, Ah>,
  ): void;
  postSend(request: EngineSend, handles = OWN_HANDLES): void {
    if (!mayPostSend(this.state)) throw notAllowed('postSend', 'RTS', this.state);
    enqueueSend(this.requester.queue, this.type, request, handles);
    if (this.state === QpState.ERR || this.state === QpState.SQE) this.requester.flush();
    else this.schedule();
  }

  /** @throws RdmaError as `postSend` does, and where receives come from a shared queue. */
  postRecv(request: EngineReceive): void;
  postRecv<Mr extends Sized, Mw, Ah>(request: ReceiveWorkRequest<Mr>, handles: Handles<Mr, Mw, Ah>): void;
  postRecv(request: EngineReceive, handles = OWN_HANDLES): void {
    if (this.srq !== null) throw usageError('the queue pair has a shared receive queue: post to that one');
    if (!mayPostRecv(this.state)) throw notAllowed('postRecv', 'INIT or later', this.state);
    enqueueReceive(this.receives, 'receive queue', request, handles);
    if (this.state === QpState.ERR) this.#flushReceives();
  }

  // --- packets ------------------------------------------------------------------------------------------------------

  /** In a state in which it may receive, and from where it may. */
  onPacket(packet: PacketView, datagram: Datagram, now: number): DropReason {
    if ((packet.flags & REQUEST) !== 0) return this.responder.onRequest(packet, datagram, now);
    return this.#completer === null ? DropReason.WRONG_SERVICE : this.#completer.onResponse(packet, now);
  }

  /** A packet for this queue pair met congestion on its way. UD has no one peer to tell. */
  onCongestionMark(now: number): void {
    if (this.type === QpType.UD) return;
    this.#notice.onMark(now);
    if (this.#notice.isDue) this.schedule();
  }

  /** Sends what may be sent; returns whether there is more that only wants for room or its turn. */
  transmit(batch: TransmitBatch, now: number): boolean {
    if (this.#notice.isDue && mayReceive(this.state)) this.#notice.send(this, batch, now);
    const { responder } = this;
    if (this.state !== RTS && this.state !== SQD) {
      responder.transmit(batch, TURN_PACKETS);
      return responder.hasResponses;
    }
    const isLate = this.nic.acknowledgesLast && responder.hasOnlyAcknowledgement;
    // A peer that never stops reading must not starve what this side has to send.
    if (!isLate && responder.transmit(batch, TURN_PACKETS) > 0) batch.prolongTurn(LEAST_REQUEST_COST);
    const hasRequests = this.requester.transmit(batch, TURN_PACKETS, now);
    if (isLate) {
      batch.prolongTurn(1);
      responder.transmit(batch, 1);
    }
    return hasRequests || responder.hasResponses;
  }

  /** When `handleTimeout` will find something to do, µs; Infinity = never. */
  get nextDeadline(): number {
    return Math.min(this.requester.nextDeadline, this.responder.nextDeadline);
  }

  handleTimeout(now: number): void {
    this.requester.handleTimeout(now);
    this.responder.handleTimeout(now);
    this.nic.armTimer(this, this.nextDeadline);
  }

  // --- what requester and responder need ----------------------------------------------------------------------------

  schedule(): void {
    this.nic.schedule(this);
  }

  armTimer(at: number): void {
    this.nic.armTimer(this, at);
  }

  takeReceive(current: CurrentReceive): boolean {
    return this.srq === null ? this.receives.takeInto(current) : this.srq.takeInto(current);
  }

  findGrant(rkey: number): RemoteGrant | null {
    return this.nic.regions.findGrant(rkey) ?? null;
  }

  /** SEND_WITH_INV of the peer, or LOCAL_INV: only windows that are bound to this queue pair. */
  invalidate(rkey: number): boolean {
    const grant = this.findGrant(rkey);
    if (grant === null || grant.qpn !== this.qpn) return false;
    this.nic.regions.revoke(grant);
    return true;
  }

  /** Carries out LOCAL_INV or BIND_MW; returns the status that it completes with. */
  executeLocal(wqe: SendWqe): WcStatus {
    if (wqe.opcode === WrOpcode.LOCAL_INV) {
      return this.invalidate(wqe.rare.invalidateRkey) ? WcStatus.SUCCESS : WcStatus.MW_BIND_ERR;
    }
    return wqe.bind !== null && this.nic.bindWindow(this, wqe.bind) ? WcStatus.SUCCESS : WcStatus.MW_BIND_ERR;
  }

  completeSend(wqe: SendWqe, status: WcStatus): void {
    if (status === WcStatus.SUCCESS && !wqe.signaled) return;
    const opcode = completionOpcode(wqe.opcode);
    this.sendCq.push(wqe.wrId, status, opcode, wqe.length, this.qpn, 0, 0, 0, false);
  }

  completeReceive(
    wrId: number,
    status: WcStatus,
    opcode: number,
    length: number,
    wcFlags: number,
    value: number,
    sourceQpn: number,
    solicited: boolean,
  ): void {
    this.recvCq.push(wrId, status, opcode, length, this.qpn, wcFlags, value, sourceQpn, solicited);
  }
}

function notAllowed(what: string, needed: string, state: QpState): RdmaError {
  const message = `${what} needs a queue pair in ${needed}, this one is in ${qpStateName(state)}`;
  return new RdmaError('ERR_RDMA_INVALID_STATE', message);
}
