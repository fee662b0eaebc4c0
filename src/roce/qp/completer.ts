/**
 * Reads what comes back to a requester: acknowledgements, NAKs, READ data and atomic results.
 *
 * An answer counts only inside [oldest unacknowledged, last sent]: anything else is a ghost of the past or a forgery,
 * is counted and has no effect. READ data must come in order, byte for byte as asked for.
 */

import { AccessFlags } from '../../verbs/access-flags.js';
import { invariant } from '../../verbs/invariant.js';
import { WcStatus } from '../../verbs/work-completion.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { DropReason } from '../drop-reason.js';
import { psnAdd, psnDiff, psnDistance, psnInWindow } from '../psn.js';
import {
  aethSyndrome,
  rnrTimerMicros,
  Syndrome,
  SyndromeKind,
  syndromeCode,
  syndromeKind,
} from '../wire/aeth.js';
import { atomicAckOriginalHi, atomicAckOriginalLo } from '../wire/atomic-eth.js';
import { AETH_AT, ATOMIC_ACK_ETH_AT, OpcodeFlag } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { writeHostU64 } from './atomics.js';
import type { QpHost } from './qp-host.js';
import { isAtomic } from './request-opcodes.js';
import type { Requester } from './requester.js';
import type { SendWqe } from './send-queue.js';

/** For all: copied on at once. */
const atomicResult = new Uint8Array(8);

export class Completer {
  readonly #qp: QpHost;
  readonly #requester: Requester;

  constructor(qp: QpHost, requester: Requester) {
    this.#qp = qp;
    this.#requester = requester;
  }

  /** Takes one response packet; returns the reason if it had no effect. */
  onResponse(packet: PacketView, now: number): DropReason {
    const { unackedPsn, nextPsn } = this.#requester;
    const isAcknowledge = (packet.flags & OpcodeFlag.ACK) !== 0;
    if (!psnInWindow(packet.psn, unackedPsn, nextPsn)) {
      if (psnDiff(packet.psn, unackedPsn) < 0) return DropReason.STALE_RESPONSE;
      return isAcknowledge ? DropReason.GHOST_ACK : DropReason.GHOST_RESPONSE;
    }
    return isAcknowledge ? this.#onAcknowledge(packet, now) : this.#onData(packet, now);
  }

  #onAcknowledge(packet: PacketView, now: number): DropReason {
    const syndrome = aethSyndrome(packet.bytes, packet.at + AETH_AT);
    switch (syndromeKind(syndrome)) {
      case SyndromeKind.ACK:
        this.#qp.counters.ackReceived();
        return this.#onAck(packet.psn, now);
      case SyndromeKind.RNR:
        return this.#onReceiverNotReady(packet.psn, syndromeCode(syndrome), now);
      case SyndromeKind.NAK:
        if (syndrome === Syndrome.NAK_SEQUENCE) return this.#onSequenceNak(packet.psn, now);
        return this.#onFatalNak(packet.psn, syndrome, now);
      default:
        return DropReason.BAD_SYNDROME;
    }
  }

  /** An ACK never completes a READ or atomic: one beyond it means that the answer was lost. */
  #onAck(psn: number, now: number): DropReason {
    const requester = this.#requester;
    if (this.#acknowledgeUpTo(psn, now)) return DropReason.NONE;
    requester.losses.onResponseGap(this.#expectedDataPsn(), psn, now);
    return DropReason.RESPONSE_GAP;
  }

  #onSequenceNak(psn: number, now: number): DropReason {
    const requester = this.#requester;
    this.#qp.counters.count('sequenceNaksReceived');
    if (requester.waitsForReceiver) return DropReason.STALE_RESPONSE;
    this.#acknowledgeUpTo(psnAdd(psn, -1), now);
    if (psnDiff(psn, requester.sendPsn) >= 0) return DropReason.STALE_RESPONSE;
    return requester.losses.onSequenceNak(psn, now) ? DropReason.NONE : DropReason.STALE_RESPONSE;
  }

  #onReceiverNotReady(psn: number, timerCode: number, now: number): DropReason {
    const requester = this.#requester;
    this.#qp.counters.count('rnrNaksReceived');
    this.#acknowledgeUpTo(psnAdd(psn, -1), now);
    if (psnDiff(psn, requester.sendPsn) >= 0) return DropReason.STALE_RESPONSE;
    requester.losses.onReceiverNotReady(psn, rnrTimerMicros[timerCode] as number, now);
    return DropReason.NONE;
  }

  #onFatalNak(psn: number, syndrome: number, now: number): DropReason {
    let status: WcStatus;
    if (syndrome === Syndrome.NAK_INVALID_REQUEST) status = WcStatus.REM_INV_REQ_ERR;
    else if (syndrome === Syndrome.NAK_REMOTE_ACCESS) status = WcStatus.REM_ACCESS_ERR;
    else if (syndrome === Syndrome.NAK_REMOTE_OPERATION) status = WcStatus.REM_OP_ERR;
    else return DropReason.BAD_SYNDROME;
    this.#qp.counters.count('fatalNaksReceived');
    this.#acknowledgeUpTo(psnAdd(psn, -1), now);
    this.#requester.failAt(psn, status);
    return DropReason.NONE;
  }

  /** Acknowledges as far as open READs allow; `false` if that is not all the way. */
  #acknowledgeUpTo(psn: number, now: number): boolean {
    const requester = this.#requester;
    const limit = requester.acknowledgeLimit;
    const reached = psnDiff(psn, limit) > 0 ? limit : psn;
    if (psnDiff(reached, requester.unackedPsn) >= 0) requester.acknowledge(reached, now);
    return reached === psn;
  }

  /** First PSN whose data is missing; only while READs or atomics are on the wire. */
  #expectedDataPsn(): number {
    const { unackedPsn, reads } = this.#requester;
    return psnDiff(unackedPsn, reads.oldestPsn) > 0 ? unackedPsn : reads.oldestPsn;
  }

  #onData(packet: PacketView, now: number): DropReason {
    const requester = this.#requester;
    if (requester.reads.count === 0) return DropReason.GHOST_RESPONSE;
    const expected = this.#expectedDataPsn();
    const order = psnDiff(packet.psn, expected);
    if (order < 0) return DropReason.STALE_RESPONSE;
    if (order > 0) {
      requester.losses.onResponseGap(expected, packet.psn, now);
      return DropReason.RESPONSE_GAP;
    }
    // Data for this PSN means that everything before it was carried out.
    if (psnDiff(expected, requester.unackedPsn) > 0) requester.acknowledge(psnAdd(expected, -1), now);
    const wqe = requester.queue.at(requester.queue.head);
    INVARIANT: invariant(
      wqe.started && psnDistance(wqe.firstPsn, expected) < wqe.packets,
      'the oldest request is the one that data answers',
    );
    const status = this.#checkData(packet, wqe);
    if (status !== WcStatus.SUCCESS) {
      requester.failAt(expected, status);
      return DropReason.BAD_RESPONSE;
    }
    this.#storeData(packet, wqe);
    requester.acknowledge(expected, now);
    return DropReason.NONE;
  }

  #checkData(packet: PacketView, wqe: SendWqe): WcStatus {
    const flags = packet.flags;
    if ((flags & OpcodeFlag.AETH) !== 0) {
      const syndrome = aethSyndrome(packet.bytes, packet.at + AETH_AT);
      if (syndromeKind(syndrome) !== SyndromeKind.ACK) return WcStatus.BAD_RESP_ERR;
    }
    if (isAtomic(wqe.opcode)) {
      if ((flags & OpcodeFlag.ATOMIC) === 0) return WcStatus.BAD_RESP_ERR;
    } else {
      if (wqe.opcode !== WrOpcode.RDMA_READ || (flags & OpcodeFlag.READ) === 0) return WcStatus.BAD_RESP_ERR;
      if (packet.payloadLength !== Math.min(this.#qp.mtu, wqe.length - this.#offsetOf(packet, wqe))) {
        return WcStatus.BAD_RESP_ERR;
      }
    }
    const mayStore = this.#requester.queue.sges.allows(wqe.slot, this.#qp.pd, AccessFlags.LOCAL_WRITE);
    return mayStore ? WcStatus.SUCCESS : WcStatus.LOC_PROT_ERR;
  }

  #storeData(packet: PacketView, wqe: SendWqe): void {
    const sges = this.#requester.queue.sges;
    if (isAtomic(wqe.opcode)) {
      const header = packet.at + ATOMIC_ACK_ETH_AT;
      writeHostU64(
        atomicResult,
        0,
        atomicAckOriginalHi(packet.bytes, header),
        atomicAckOriginalLo(packet.bytes, header),
      );
      sges.scatter(wqe.slot, 0, atomicResult, 0, atomicResult.length);
    } else {
      const length = packet.payloadLength;
      if (length > 0) sges.scatter(wqe.slot, this.#offsetOf(packet, wqe), packet.payload(), 0, length);
    }
  }

  #offsetOf(packet: PacketView, wqe: SendWqe): number {
    return psnDistance(wqe.firstPsn, packet.psn) * this.#qp.mtu;
  }
}
