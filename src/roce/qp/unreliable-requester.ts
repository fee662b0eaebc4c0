/**
 * The requester of UC and UD queue pairs: sends what is posted, in order, and completes each request when its last
 * packet is in the batch. Nothing is answered, so nothing is kept, repeated or timed.
 *
 * A request that fails puts the queue pair into SQE: the rest of the send queue is flushed, receiving goes on, and the
 * program brings it back with SQE to RTS.
 */
import { invariant } from '../../verbs/invariant.js';
import { QpState, QpType } from '../../verbs/qp-state.js';
import { WcStatus } from '../../verbs/work-completion.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { psnAdd } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
import type { QpHost } from './qp-host.js';
import { isWrite } from './request-opcodes.js';
import { writeDatagram, writeRequest } from './request-packets.js';
import type { SendQueue, SendWqe } from './send-queue.js';
import type { RequesterHalf } from './service-halves.js';

export class UnreliableRequester implements RequesterHalf {
  readonly queue: SendQueue;
  readonly idle = true;
  readonly nextDeadline = Number.POSITIVE_INFINITY;
  nextPsn = 0;
  readonly #qp: QpHost;
  /** Packets of the oldest element that were sent. */
  #sentPackets = 0;

  constructor(qp: QpHost, queue: SendQueue) {
    this.#qp = qp;
    this.queue = queue;
  }

  start(sqPsn: number): void {
    this.nextPsn = sqPsn;
  }

  resize(): void {}

  reset(): void {
    while (!this.queue.empty) this.queue.retire();
    this.#sentPackets = 0;
  }

  flush(): void {
    while (!this.queue.empty) this.#complete(WcStatus.WR_FLUSH_ERR);
  }

  get drained(): boolean {
    return this.queue.empty || !this.queue.at(this.queue.head).started;
  }

  transmit(batch: TransmitBatch, budget: number): boolean {
    let left = budget;
    while (left > 0 && batch.hasRoom) {
      if (this.queue.empty) return false;
      const wqe = this.queue.at(this.queue.head);
      if (!wqe.started && !this.#start(wqe)) return false;
      if (wqe.packets > 0 && !this.#sendPacket(wqe, batch)) return false;
      if (this.#sentPackets === wqe.packets) this.#complete(WcStatus.SUCCESS);
      left--;
    }
    return !this.queue.empty;
  }

  handleTimeout(): void {}

  /** Nothing comes back that would tell how fast the path is. */
  onCongestionNotice(): void {}

  /** Checks an element whose turn has come; `false` if it has to wait or failed. */
  #start(wqe: SendWqe): boolean {
    if (this.#qp.state !== QpState.RTS) return false;
    wqe.started = true;
    wqe.firstPsn = this.nextPsn;
    const status = this.#check(wqe);
    if (status !== WcStatus.SUCCESS) this.#fail(status);
    return status === WcStatus.SUCCESS;
  }

  #check(wqe: SendWqe): WcStatus {
    const isDatagram = this.#qp.type === QpType.UD;
    INVARIANT: invariant(isLegal(wqe, isDatagram), 'posting refuses what the service cannot do');
    // Linux rxe completes an oversized datagram as if it had been sent; here nothing is lost without a word.
    if (isDatagram && wqe.length > this.#qp.mtu) return WcStatus.LOC_LEN_ERR;
    wqe.packets = Math.max(1, Math.ceil(wqe.length / this.#qp.mtu));
    return WcStatus.SUCCESS;
  }

  #sendPacket(wqe: SendWqe, batch: TransmitBatch): boolean {
    // At every packet: memory may be deregistered in the middle of a message.
    if (!this.queue.sges.allows(wqe.slot, this.#qp.pd, 0)) {
      this.#fail(WcStatus.LOC_PROT_ERR);
      return false;
    }
    const index = this.#sentPackets;
    if (this.#qp.type === QpType.UD) writeDatagram(this.#qp, this.queue, wqe, batch);
    else writeRequest(this.#qp, this.queue, wqe, index, 0, batch);
    this.#sentPackets = index + 1;
    this.nextPsn = psnAdd(this.nextPsn, 1);
    return true;
  }

  #fail(status: WcStatus): void {
    this.#complete(status);
    this.#qp.enterSendQueueError();
  }

  #complete(status: WcStatus): void {
    this.#sentPackets = 0;
    this.#qp.completeSend(this.queue.at(this.queue.head), status);
    this.queue.retire();
    this.#qp.checkDrained();
  }
}

function isLegal({ opcode, flow }: SendWqe, isDatagram: boolean): boolean {
  const isSend = opcode === WrOpcode.SEND || opcode === WrOpcode.SEND_WITH_IMM;
  return isDatagram ? isSend && flow !== null : isSend || isWrite(opcode);
}
