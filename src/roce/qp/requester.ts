/**
 * The requester of an RC queue pair: turns posted requests into packets, keeps them until they are acknowledged, and
 * sends them again when they are lost (docs/rocev2.md, "Requester").
 *
 * Three PSNs describe it: everything before `unackedPsn` is done; [unackedPsn, nextPsn) was sent at least once;
 * `sendPsn`, somewhere in between or at the end, is the next packet to leave. Going back (go-back-N) only moves
 * `sendPsn`: PSNs and segmentation of a request never change. `Completer` reads the answers, `Losses` decides when to go back.
 *
 * A request completes when `unackedPsn` passes its last PSN, in posting order. Answers to READs and atomics move
 * `unackedPsn` packet by packet; plain ACKs never move it over one that is not answered.
 */

import { AccessFlags } from '../../verbs/access-flags.js';
import { invariant } from '../../verbs/invariant.js';
import { QpState } from '../../verbs/qp-state.js';
import { WcStatus } from '../../verbs/work-completion.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { psnAdd, psnDiff, psnDistance } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
import { AckRequests } from './ack-requests.js';
import { Congestion } from './congestion.js';
import { Losses, type Sending } from './losses.js';
import { MIDDLE_HEADER_LENGTH } from './middle-packets.js';
import type { QpHost } from './qp-host.js';
import { ReadRequests } from './read-requests.js';
import { isAtomic, isLocalOperation, isReadOrAtomic } from './request-opcodes.js';
import { writeAtomicRequest, writeReadRequest, writeRequest, writeRequestRun } from './request-packets.js';
import { RequestTimers } from './request-timers.js';
import { Retransmissions } from './retransmissions.js';
import type { SendQueue, SendWqe } from './send-queue.js';
import type { RequesterHalf } from './service-halves.js';

/** A queue pair with a shorter timeout asks for every acknowledgement: the peer may give one of its own accord too late. */
const PATIENT_TIMEOUT_MICROS = 16_000;
// As constants of this file, which compiled code has no need to look up for every packet.
const { SUCCESS } = WcStatus;
const { RTS } = QpState;
const { RDMA_READ } = WrOpcode;

export class Requester implements RequesterHalf, Sending {
  readonly queue: SendQueue;
  readonly congestion = new Congestion();
  reads = new ReadRequests(0);
  unackedPsn = 0;
  nextPsn = 0;
  sendPsn = 0;
  /** Element and packet within it that `sendPsn` stands for. */
  #cursor = 0;
  #cursorPacket = 0;
  readonly #qp: QpHost;
  readonly #ackRequests = new AckRequests();
  /** The next packet to leave is a probe. */
  #owesProbe = false;
  readonly #timers: RequestTimers;
  readonly #sentAgain = new Retransmissions();
  readonly losses: Losses;

  constructor(qp: QpHost, queue: SendQueue) {
    this.#qp = qp;
    this.queue = queue;
    this.#timers = new RequestTimers(qp, this.congestion);
    this.losses = new Losses(qp, this, this.congestion, this.#timers, this.#sentAgain);
  }

  /** At the transition to RTS. */
  start(sqPsn: number, maxRdAtomic: number): void {
    this.unackedPsn = sqPsn;
    this.nextPsn = sqPsn;
    this.sendPsn = sqPsn;
    this.#sentAgain.start(sqPsn);
    this.#ackRequests.startAt(sqPsn);
    this.reads = new ReadRequests(maxRdAtomic);
    this.congestion.reset();
    this.losses.refresh();
  }

  resize(maxRdAtomic: number): void {
    this.reads.resize(maxRdAtomic);
    this.#qp.schedule();
  }

  /** Forgets everything, without completions. */
  reset(): void {
    while (!this.queue.empty) this.queue.retire();
    this.#halt();
  }

  /** Completes everything that is left with WR_FLUSH_ERR. */
  flush(): void {
    while (!this.queue.empty) this.#complete(WcStatus.WR_FLUSH_ERR);
    this.#halt();
  }

  get idle(): boolean {
    return this.unackedPsn === this.nextPsn;
  }

  /** Nothing started is unfinished: what SQD waits for. */
  get drained(): boolean {
    return this.queue.empty || !this.queue.at(this.queue.head).started;
  }

  get nextDeadline(): number {
    return this.#timers.next;
  }

  get waitsForReceiver(): boolean {
    return this.#timers.isPaused;
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** Sends up to `budget` packets; returns whether it stopped for want of budget or room, with more to send. */
  transmit(batch: TransmitBatch, budget: number, now: number): boolean {
    let left = budget;
    while (left > 0 && batch.hasRoom) {
      const sent = this.#sendNext(batch, left, now);
      if (sent === 0) return false;
      left -= sent;
      INVARIANT: invariant(this.#isInOrder(), 'oldest unacknowledged <= next to send <= first never sent');
    }
    return this.#cursor !== this.queue.tail;
  }

  /** Returns how many packets it sent, `most` at most. */
  #sendNext(batch: TransmitBatch, most: number, now: number): number {
    if (this.waitsForReceiver) return 0;
    if (this.#owesProbe) {
      this.#owesProbe = false;
      if (this.#sendProbe(batch)) return 1;
    }
    while (this.#cursor !== this.queue.tail) {
      const wqe = this.queue.at(this.#cursor);
      if (!wqe.started && !this.#start(wqe)) return 0;
      if (wqe.status !== SUCCESS) return 0;
      if (wqe.packets > 0) {
        const run = this.#sendRun(wqe, batch, most, now);
        if (run > 0) return run;
        return this.#sendPacket(wqe, batch, now) ? 1 : 0;
      }
      this.#cursor++;
      this.retire();
    }
    return 0;
  }

  /** Checks an element whose turn has come and gives it PSNs; `false` if it has to wait or cannot be done. */
  #start(wqe: SendWqe): boolean {
    if (this.#qp.state !== RTS) return false;
    if (wqe.fence && this.reads.count > 0) return false;
    if (isReadOrAtomic(wqe.opcode) && this.reads.full && this.reads.limit > 0) {
      this.#noteLimit();
      return false;
    }
    wqe.started = true;
    wqe.firstPsn = this.nextPsn;
    if (isLocalOperation(wqe.opcode)) {
      wqe.status = this.#qp.executeLocal(wqe);
    } else {
      wqe.status = this.#check(wqe);
      if (wqe.status === SUCCESS) {
        wqe.packets = isAtomic(wqe.opcode) ? 1 : Math.max(1, Math.ceil(wqe.length / this.#qp.mtu));
        return true;
      }
    }
    if (wqe.status === SUCCESS) return true;
    this.retire();
    return false;
  }

  #check(wqe: SendWqe): WcStatus {
    const writesHere = isReadOrAtomic(wqe.opcode);
    if (writesHere && this.reads.limit === 0) return WcStatus.LOC_QP_OP_ERR;
    if (this.queue.sges.totalLength(wqe.slot) < wqe.length) return WcStatus.LOC_LEN_ERR;
    const access = writesHere ? AccessFlags.LOCAL_WRITE : 0;
    return this.queue.sges.allows(wqe.slot, this.#qp.pd, access) ? SUCCESS : WcStatus.LOC_PROT_ERR;
  }

  /** Sending stops before the window is full: of READs, or of speed. More of a window means more of either. */
  #noteLimit(): void {
    const inFlight = psnDistance(this.unackedPsn, this.sendPsn);
    if (inFlight * 2 >= this.congestion.window) this.congestion.onLimit();
  }

  /** Whether pacing lets a packet leave now; if not, the queue pair wakes when it does. */
  #isPaced(now: number): boolean {
    const { nextSendAt } = this.congestion;
    if (nextSendAt <= now) return false;
    this.#noteLimit();
    this.#timers.paceUntil(nextSendAt);
    return true;
  }

  /**
   * Sends packets from the middle of a message that leave for the first time, about none of which `#sendPacket` would have anything to
   * decide; returns how many, 0 if there are none such.
   */
  #sendRun(wqe: SendWqe, batch: TransmitBatch, most: number, now: number): number {
    const index = this.#cursorPacket;
    if (index === 0 || index + 2 >= wqe.packets || isReadOrAtomic(wqe.opcode)) return 0;
    if (this.sendPsn !== this.nextPsn || this.#sentAgain.mustWait(this.sendPsn)) return 0;
    const { sges } = this.queue;
    if (!sges.isOnePiece(wqe.slot) || !sges.allows(wqe.slot, this.#qp.pd, 0)) return 0;
    const { window } = this.congestion;
    // The last packet that the window takes asks for an acknowledgement.
    const room = window - 1 - psnDistance(this.unackedPsn, this.sendPsn);
    const quiet = this.#ackRequests.quietPackets(this.#isLossNear(now), window);
    const packets = Math.min(
      most,
      wqe.packets - 1 - index,
      room,
      quiet,
      this.congestion.packetsNow(now),
      batch.roomFor(MIDDLE_HEADER_LENGTH, this.#qp.mtu),
    );
    if (packets <= 0) return 0;
    this.#ackRequests.onRun(packets, now);
    writeRequestRun(this.#qp, this.queue, wqe, index, packets, batch);
    this.#onSent(wqe, packets, now);
    return packets;
  }

  #sendPacket(wqe: SendWqe, batch: TransmitBatch, now: number): boolean {
    if (this.#sentAgain.mustWait(this.sendPsn) || this.#isPaced(now)) return false;
    const inFlight = psnDistance(this.unackedPsn, this.sendPsn);
    const window = this.congestion.window;
    if (wqe.opcode === RDMA_READ) {
      const repeatedEnd = this.reads.endOf(this.sendPsn);
      const wanted = wqe.packets - this.#cursorPacket;
      const packets =
        repeatedEnd < 0
          ? this.reads.packetsOfNext(wanted, inFlight, window, this.congestion.isRoomy)
          : this.reads.packetsOfRepeated(this.sendPsn, repeatedEnd, inFlight, window);
      if (packets === 0) {
        this.#noteLimit();
        return false;
      }
      writeReadRequest(this.#qp, wqe, this.sendPsn, this.#cursorPacket, packets, batch);
      if (repeatedEnd < 0) this.reads.push(this.sendPsn, psnAdd(this.sendPsn, packets));
      this.#time(this.sendPsn, now);
      this.#onSent(wqe, packets, now);
      return true;
    }
    if (inFlight >= window && this.#answerIsDue()) {
      this.congestion.onLimit();
      return false;
    }
    if (isAtomic(wqe.opcode)) {
      const isRepeated = this.reads.endOf(this.sendPsn) >= 0;
      if (!isRepeated && this.reads.full) return false;
      writeAtomicRequest(this.#qp, wqe, batch);
      if (!isRepeated) this.reads.push(this.sendPsn, psnAdd(this.sendPsn, 1));
    } else {
      // At every packet: memory may be deregistered in the middle of a message.
      if (!this.queue.sges.allows(wqe.slot, this.#qp.pd, 0)) {
        wqe.status = WcStatus.LOC_PROT_ERR;
        this.retire();
        return false;
      }
      const isLast = this.#cursorPacket === wqe.packets - 1;
      // The first one after going back too: it tells soonest whether that has helped.
      const isAgain = psnDiff(this.sendPsn, this.nextPsn) < 0;
      const ackReq =
        this.#ackRequests.mustAsk(isLast, wqe.isAwaited, this.#isLossNear(now), window, now) ||
        inFlight + 1 >= window ||
        (inFlight === 0 && isAgain) ||
        this.#sentAgain.asksWith(this.sendPsn);
      if (ackReq) {
        this.#ackRequests.onAsked(this.sendPsn);
        this.#time(this.sendPsn, now);
      }
      writeRequest(this.#qp, this.queue, wqe, this.#cursorPacket, ackReq ? 1 : 0, batch);
    }
    this.#onSent(wqe, 1, now);
    return true;
  }

  /** An answer must not take its time: the path has lost packets lately, or the timeout is short. */
  #isLossNear(now: number): boolean {
    return this.#qp.timeoutMicros < PATIENT_TIMEOUT_MICROS || !this.congestion.isClean(now);
  }

  /**
   * Sends one packet again, out of turn: the newest, whose answer says whether everything has arrived. While READs or
   * atomics are open the oldest, as the loss of their answers shows in nothing else. Returns whether there was one.
   */
  #sendProbe(batch: TransmitBatch): boolean {
    const psn = this.reads.count > 0 ? this.unackedPsn : psnAdd(this.sendPsn, -1);
    if (psnDiff(psn, this.unackedPsn) < 0 || psnDiff(psn, this.sendPsn) >= 0) return false;
    const wqe = this.queue.at(this.#find(psn));
    const index = psnDistance(wqe.firstPsn, psn);
    if (wqe.opcode === RDMA_READ) {
      writeReadRequest(this.#qp, wqe, psn, index, psnDistance(psn, this.reads.endOf(psn)), batch);
    } else if (isAtomic(wqe.opcode)) {
      writeAtomicRequest(this.#qp, wqe, batch);
    } else {
      if (!this.queue.sges.allows(wqe.slot, this.#qp.pd, 0)) return false;
      this.#ackRequests.onProbe(psn, this.unackedPsn);
      writeRequest(this.#qp, this.queue, wqe, index, 1, batch);
    }
    this.#qp.counters.count('retransmittedPackets');
    return true;
  }

  /** The peer reports congestion on the way to it. */
  onCongestionNotice(): void {
    this.congestion.onNotice();
  }

  /** Whether an answer to something in flight must come, so that waiting for it makes sense. */
  #answerIsDue(): boolean {
    const { reads } = this;
    if (reads.count > 0 && psnDiff(reads.oldestPsn, this.sendPsn) < 0) return true;
    return this.#ackRequests.isAnswerDue(this.unackedPsn);
  }

  #onSent(wqe: SendWqe, packets: number, now: number): void {
    const psn = this.sendPsn;
    this.sendPsn = psnAdd(psn, packets);
    if (psnDiff(psn, this.nextPsn) < 0) this.#qp.counters.count('retransmittedPackets');
    if (psnDiff(this.sendPsn, this.nextPsn) > 0) this.nextPsn = this.sendPsn;
    this.#cursorPacket += packets;
    if (this.#cursorPacket === wqe.packets) {
      this.#cursor++;
      this.#cursorPacket = 0;
    }
    this.congestion.onSent(packets, now);
    this.#timers.onSent(now);
  }

  /** Begins to measure a round trip. */
  #time(psn: number, now: number): void {
    this.#sentAgain.time(psn, psn === this.nextPsn, now);
  }

  // --- progress -----------------------------------------------------------------------------------------------------

  /** The last PSN that a plain acknowledgement may reach: none of a READ or atomic that is not answered. */
  get acknowledgeLimit(): number {
    return psnAdd(this.reads.count > 0 ? this.reads.oldestPsn : this.nextPsn, -1);
  }

  /** Everything up to `psn`, which must be in [unackedPsn, nextPsn), is done. */
  acknowledge(psn: number, now: number): void {
    INVARIANT: invariant(psnDiff(psn, this.nextPsn) < 0, 'only what was sent is acknowledged');
    INVARIANT: invariant(psnDiff(psn, this.unackedPsn) >= 0, 'acknowledgements only move ahead');
    const packets = psnDistance(this.unackedPsn, psn) + 1;
    this.unackedPsn = psnAdd(psn, 1);
    this.reads.finishBefore(this.unackedPsn);
    this.#sentAgain.onProgress(this.unackedPsn);
    this.losses.refresh();
    this.congestion.onProgress(packets, now);
    const { roundTrips } = this.#sentAgain;
    const { probedAt } = this.#timers;
    const leftAt = roundTrips.finishUpTo(psn);
    if (probedAt >= 0) this.congestion.onProbeAnswer(now - probedAt, now);
    // What left before a probe may have been answered because of that: nobody knows how long its round trip was.
    if (leftAt >= 0 && leftAt >= probedAt) {
      this.congestion.onRoundTrip(now - leftAt, roundTrips.wasClear, now);
    }
    if (psnDiff(this.unackedPsn, this.sendPsn) > 0) this.#moveTo(this.unackedPsn);
    this.#timers.onProgress(this.idle, roundTrips.oldestLeftAt, now);
    INVARIANT: invariant(this.#isInOrder(), 'oldest unacknowledged <= next to send <= first never sent');
    this.retire();
    this.#qp.schedule();
  }

  /** Completes what is done, oldest first, up to the first element that is not. */
  retire(): void {
    while (!this.queue.empty) {
      const wqe = this.queue.at(this.queue.head);
      if (!wqe.started) break;
      if (wqe.status !== SUCCESS) {
        this.failAt(wqe.firstPsn, wqe.status);
        return;
      }
      if (psnDiff(this.unackedPsn, psnAdd(wqe.firstPsn, wqe.packets)) < 0) break;
      // Going back stopped at a local operation, which has nothing to send again.
      if (wqe.packets === 0 && this.queue.head === this.#cursor) this.#cursor++;
      this.#complete(SUCCESS);
    }
    this.#qp.checkDrained();
  }

  #complete(status: WcStatus): void {
    const wqe = this.queue.at(this.queue.head);
    this.#qp.completeSend(wqe, status);
    this.queue.retire();
  }

  // --- loss ---------------------------------------------------------------------------------------------------------

  /**
   * The peer missed `psn`, or refused it for now: send from there again. Of a READ or atomic it cannot have missed a
   * part: that is asked for again from the first packet whose answer is not here.
   */
  goBack(psn: number, now: number): void {
    const start = this.reads.startOf(psn);
    if (start < 0) this.#moveTo(psn);
    else this.#moveTo(psnDiff(this.unackedPsn, start) > 0 ? this.unackedPsn : start);
    INVARIANT: invariant(this.#isInOrder(), 'going back only moves what is sent next');
    this.#sentAgain.onGoBack(psn, this.sendPsn, now);
    this.congestion.onGoBack();
    this.#timers.startProbe(now, now);
    this.#ackRequests.startAt(this.unackedPsn);
    this.#qp.schedule();
  }

  /** The next packet to leave is a probe. */
  oweProbe(): void {
    this.#owesProbe = true;
    this.#qp.schedule();
  }

  handleTimeout(now: number): void {
    this.losses.handleTimeout(now);
  }

  /**
   * The element that `psn` belongs to has failed for good. Those before it whose outcome is open are flushed, so that
   * completions keep their order; the queue pair goes to ERR and flushes the rest.
   */
  failAt(psn: number, status: WcStatus): void {
    const index = this.#find(psn);
    while (this.queue.head !== index) this.#complete(WcStatus.WR_FLUSH_ERR);
    if (!this.queue.empty) this.#complete(status);
    this.#qp.enterError();
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  /** The three PSNs and the cursor stand in their order. */
  #isInOrder(): boolean {
    const inFlight = psnDiff(this.nextPsn, this.unackedPsn);
    const sent = psnDiff(this.sendPsn, this.unackedPsn);
    return (
      sent >= 0 && sent <= inFlight && this.#cursor >= this.queue.head && this.#cursor <= this.queue.tail
    );
  }

  /** Index of the element that `psn` belongs to. */
  #find(psn: number): number {
    let index = this.queue.head;
    while (index !== this.queue.tail) {
      const wqe = this.queue.at(index);
      if (!wqe.started || wqe.status !== SUCCESS) break;
      if (psnDiff(psn, psnAdd(wqe.firstPsn, wqe.packets)) < 0) break;
      index++;
    }
    return index;
  }

  #moveTo(psn: number): void {
    this.#cursor = this.#find(psn);
    const wqe = this.queue.at(this.#cursor);
    const inside = this.#cursor !== this.queue.tail && wqe.started && wqe.packets > 0;
    this.#cursorPacket = inside ? psnDistance(wqe.firstPsn, psn) : 0;
    this.sendPsn = psn;
  }

  #halt(): void {
    this.#cursor = this.queue.tail;
    this.#cursorPacket = 0;
    this.reads.clear();
    this.unackedPsn = this.nextPsn;
    this.sendPsn = this.nextPsn;
    this.#owesProbe = false;
    this.#timers.stop();
    this.#sentAgain.clear();
  }
}
