/**
 * The responder of an RC queue pair: takes request packets one by one and answers them (verbs facts: "Responder").
 *
 * A packet passes a list of checks, each a method that returns `NEXT` or the reason for which the packet has no
 * effect; only a packet that passed all of them is executed. So memory changes only for packets that are expected,
 * well-formed and allowed. A duplicate is answered but never executed again.
 *
 * The responder puts its answers into a `ResponseQueue`; `ResponseSender` makes packets of them.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { WcFlags, WcOpcode, WcStatus } from '../../verbs/work-completion.js';
import { copyBytes } from '../copy.js';
import { DropReason } from '../drop-reason.js';
import type { RemoteGrant } from '../memory/region.js';
import { psnAdd, psnDiff } from '../psn.js';
import { Syndrome } from '../wire/aeth.js';
import {
  atomicCompareHi,
  atomicCompareLo,
  atomicRkey,
  atomicSwapAddHi,
  atomicSwapAddLo,
  atomicVa,
} from '../wire/atomic-eth.js';
import { iethRkey } from '../wire/ieth.js';
import { immDt } from '../wire/imm-dt.js';
import { ATOMIC_ETH_AT, IETH_AT, Opcode, OpcodeFlag, opcodeImmOffset, RETH_AT } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { rethLength, rethRkey, rethVa } from '../wire/reth.js';
import { executeAtomic } from './atomics.js';
import type { Qp } from './qp.js';
import { CurrentReceive } from './receive-queue.js';
import { ResponseKind, ResponseQueue } from './response-queue.js';
import { SavedOperations } from './saved-operations.js';

/** The packet passed a check: go on to the next one. */
const NEXT = DropReason.NONE;
const MAX_RETH_LENGTH = 2 ** 31;

/** What kind of message is half received. */
const Progress = { NONE: 0, SEND: 1, WRITE: 2 } as const;
type Progress = (typeof Progress)[keyof typeof Progress];

export class Responder {
  responses = new ResponseQueue(4);
  readonly #qp: Qp;
  #saved = new SavedOperations(0);
  readonly #receive: CurrentReceive;
  #expectedPsn = 0;
  #msn = 0;
  /** A NAK for the present gap is out; none again until a packet arrives in order. */
  #nakSent = false;
  #progress: Progress = Progress.NONE;
  #receivedBytes = 0;
  #writeGrant: RemoteGrant | null = null;
  #writeVa = 0;
  #writeLength = 0;
  #writeRemaining = 0;

  constructor(qp: Qp, maxRecvSge: number) {
    this.#qp = qp;
    this.#receive = new CurrentReceive(maxRecvSge);
  }

  get expectedPsn(): number {
    return this.#expectedPsn;
  }

  get msn(): number {
    return this.#msn;
  }

  /** At the transition to RTR. `maxDestRdAtomic`: READs and atomics of the peer that can be held. */
  start(rqPsn: number, maxDestRdAtomic: number): void {
    this.reset();
    this.#saved = new SavedOperations(maxDestRdAtomic);
    this.responses = new ResponseQueue(maxDestRdAtomic * 2 + 4);
    this.#expectedPsn = rqPsn;
  }

  /** Forgets everything, without completions. */
  reset(): void {
    this.#expectedPsn = 0;
    this.#msn = 0;
    this.#nakSent = false;
    this.#endMessage();
    this.#receive.release();
    this.#saved.clear();
    this.responses.clear();
  }

  /** Completes the receive that was half filled when the queue pair failed. */
  flush(): void {
    if (this.#receive.active) this.#completeReceive(WcStatus.WR_FLUSH_ERR, 0, 0, 0, false);
    this.#endMessage();
  }

  /** Takes one request packet; returns the reason if it had no effect on memory or queues. */
  onRequest(packet: PacketView): DropReason {
    const order = psnDiff(packet.psn, this.#expectedPsn);
    if (order > 0) return this.#onGap();
    if (order < 0) return this.#onDuplicate(packet);
    let reason = this.#checkSequence(packet);
    if (reason === NEXT) reason = this.#checkOperation(packet);
    if (reason === NEXT) reason = this.#checkReceive(packet);
    if (reason === NEXT) reason = this.#checkLength(packet);
    if (reason === NEXT) reason = this.#checkMemory(packet);
    if (reason === NEXT) reason = this.#execute(packet);
    return reason;
  }

  // --- out of order -------------------------------------------------------------------------------------------------

  #onGap(): DropReason {
    if (!this.#nakSent) {
      this.#nakSent = true;
      this.#qp.counters.sequenceNaksSent++;
      this.#nak(Syndrome.NAK_SEQUENCE);
    }
    return DropReason.OUT_OF_ORDER;
  }

  #onDuplicate(packet: PacketView): DropReason {
    this.#qp.counters.duplicateRequests++;
    if ((packet.flags & OpcodeFlag.READ) !== 0) return this.#replayRead(packet);
    if ((packet.flags & OpcodeFlag.ATOMIC) !== 0) return this.#replayAtomic(packet);
    this.#acknowledge();
    return DropReason.DUPLICATE;
  }

  #replayRead(packet: PacketView): DropReason {
    const saved = this.#saved.find(packet.psn);
    if (saved === null || saved.isAtomic || !this.responses.hasRoom) return DropReason.DUPLICATE_UNKNOWN;
    const header = packet.at + RETH_AT;
    const va = rethVa(packet.bytes, header);
    const length = rethLength(packet.bytes, header);
    const offset = psnDiff(packet.psn, saved.firstPsn) * this.#qp.mtu;
    const sameMemory = length === 0 ? saved.length === 0 : rethRkey(packet.bytes, header) === saved.rkey;
    if (!sameMemory || va !== saved.va + offset || length > saved.length - offset) {
      return DropReason.DUPLICATE_UNKNOWN;
    }
    this.responses.cancel(saved);
    this.responses.pushOperation(ResponseKind.READ, packet.psn, saved, offset, length);
    this.#qp.counters.readReplays++;
    this.#qp.schedule();
    return DropReason.DUPLICATE;
  }

  #replayAtomic(packet: PacketView): DropReason {
    const saved = this.#saved.find(packet.psn);
    if (saved === null || saved.opcode !== packet.opcode || !this.responses.hasRoom) {
      return DropReason.DUPLICATE_UNKNOWN;
    }
    this.responses.pushOperation(ResponseKind.ATOMIC, packet.psn, saved, 0, 0);
    this.#qp.counters.atomicReplays++;
    this.#qp.schedule();
    return DropReason.DUPLICATE;
  }

  // --- the checks, in order -----------------------------------------------------------------------------------------

  /** Whether the opcode may follow the packet before it (facts, table of opcodes, "must follow"). */
  #checkSequence(packet: PacketView): DropReason {
    const flags = packet.flags;
    const inside = (flags & (OpcodeFlag.MIDDLE | OpcodeFlag.LAST)) !== 0;
    const expected =
      this.#progress === Progress.NONE
        ? !inside
        : inside && (flags & (this.#progress === Progress.SEND ? OpcodeFlag.SEND : OpcodeFlag.WRITE)) !== 0;
    if (expected) return NEXT;
    return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.BAD_SEQUENCE, 'QP_REQ_ERR');
  }

  /** Whether the queue pair allows the operation, and its header is one that could be carried out. */
  #checkOperation(packet: PacketView): DropReason {
    const flags = packet.flags;
    let right = 0;
    if ((flags & OpcodeFlag.WRITE) !== 0) right = AccessFlags.REMOTE_WRITE;
    else if ((flags & OpcodeFlag.READ) !== 0) right = AccessFlags.REMOTE_READ;
    else if ((flags & OpcodeFlag.ATOMIC) !== 0) right = AccessFlags.REMOTE_ATOMIC;
    if ((this.#qp.accessFlags & right) !== right) {
      return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.BAD_OPERATION, 'QP_REQ_ERR');
    }
    if ((flags & OpcodeFlag.RETH) !== 0 && rethLength(packet.bytes, packet.at + RETH_AT) > MAX_RETH_LENGTH) {
      return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.BAD_RETH, 'QP_REQ_ERR');
    }
    if ((flags & OpcodeFlag.ATOMIC) !== 0 && atomicVa(packet.bytes, packet.at + ATOMIC_ETH_AT) % 8 !== 0) {
      return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.BAD_OPERATION, 'QP_REQ_ERR');
    }
    return NEXT;
  }

  /** Whether there is a receive for a message that needs one, and room to remember and answer a READ or atomic. */
  #checkReceive(packet: PacketView): DropReason {
    const flags = packet.flags;
    if ((flags & (OpcodeFlag.READ | OpcodeFlag.ATOMIC)) !== 0) {
      return this.responses.hasRoom ? NEXT : DropReason.NO_RESOURCES;
    }
    if ((flags & OpcodeFlag.CONSUMES_RECV) === 0 || this.#receive.active) return NEXT;
    if (!this.#qp.takeReceive(this.#receive)) {
      this.#nakSent = true;
      this.#qp.counters.rnrNaksSent++;
      this.#nak(Syndrome.RNR_NAK | this.#qp.minRnrTimer);
      return DropReason.NO_RECEIVE;
    }
    if (!this.#receive.sges.allows(0, this.#qp.pd, AccessFlags.LOCAL_WRITE)) {
      this.#completeReceive(WcStatus.LOC_PROT_ERR, 0, 0, 0, false);
      return this.#refuse(Syndrome.NAK_REMOTE_OPERATION, DropReason.RECEIVE_PROTECTION, 'QP_FATAL');
    }
    return NEXT;
  }

  /** Every packet but the last of a message carries exactly one MTU; the last one what remains. */
  #checkLength(packet: PacketView): DropReason {
    const flags = packet.flags;
    const length = packet.payloadLength;
    const mtu = this.#qp.mtu;
    if ((flags & OpcodeFlag.PAYLOAD) === 0) return NEXT;
    let wellFormed = length <= mtu;
    if ((flags & OpcodeFlag.END) === 0) wellFormed = length === mtu;
    else if ((flags & OpcodeFlag.LAST) !== 0) wellFormed = length >= 1 && length <= mtu;
    if (wellFormed && (flags & OpcodeFlag.WRITE) !== 0) {
      const start = (flags & OpcodeFlag.START) !== 0;
      const remaining = start ? rethLength(packet.bytes, packet.at + RETH_AT) : this.#writeRemaining;
      wellFormed = (flags & OpcodeFlag.END) !== 0 ? length === remaining : length < remaining;
    }
    if (!wellFormed) return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.BAD_LENGTH, 'QP_REQ_ERR');
    if ((flags & OpcodeFlag.SEND) !== 0 && this.#receivedBytes + length > this.#receive.capacity) {
      this.#completeReceive(WcStatus.LOC_LEN_ERR, 0, 0, 0, false);
      return this.#refuse(Syndrome.NAK_INVALID_REQUEST, DropReason.RECEIVE_TOO_SMALL, 'QP_REQ_ERR');
    }
    return NEXT;
  }

  /** Whether the rkey opens all of the memory that the request names. A length of 0 names none. */
  #checkMemory(packet: PacketView): DropReason {
    const flags = packet.flags;
    const header = packet.at + RETH_AT;
    if ((flags & OpcodeFlag.RETH) !== 0) {
      const right = (flags & OpcodeFlag.READ) !== 0 ? AccessFlags.REMOTE_READ : AccessFlags.REMOTE_WRITE;
      const va = rethVa(packet.bytes, header);
      const length = rethLength(packet.bytes, header);
      const grant = length === 0 ? null : this.#qp.findGrant(rethRkey(packet.bytes, header));
      if (length > 0 && (grant === null || !grant.allows(this.#qp.pd, this.#qp.qpn, right, va, length))) {
        return this.#refuseAccess();
      }
      this.#writeGrant = grant;
      this.#writeVa = va;
      this.#writeLength = length;
      this.#writeRemaining = length;
    } else if ((flags & OpcodeFlag.WRITE) !== 0) {
      // A window may be revoked, and a region deregistered, in the middle of a message.
      const grant = this.#writeGrant;
      if (grant === null || !grant.valid || !grant.region.valid) return this.#refuseAccess();
    } else if ((flags & OpcodeFlag.ATOMIC) !== 0) {
      const va = atomicVa(packet.bytes, header);
      const grant = this.#qp.findGrant(atomicRkey(packet.bytes, header));
      if (grant === null || !grant.allows(this.#qp.pd, this.#qp.qpn, AccessFlags.REMOTE_ATOMIC, va, 8)) {
        return this.#refuseAccess();
      }
      this.#writeGrant = grant;
    } else if ((flags & OpcodeFlag.SEND) !== 0 && packet.payloadLength > 0) {
      if (!this.#receive.sges.allows(0, this.#qp.pd, AccessFlags.LOCAL_WRITE)) {
        this.#completeReceive(WcStatus.LOC_PROT_ERR, 0, 0, 0, false);
        return this.#refuse(Syndrome.NAK_REMOTE_OPERATION, DropReason.RECEIVE_PROTECTION, 'QP_FATAL');
      }
    }
    return NEXT;
  }

  // --- execution ----------------------------------------------------------------------------------------------------

  #execute(packet: PacketView): DropReason {
    const flags = packet.flags;
    if ((flags & OpcodeFlag.READ) !== 0) return this.#executeRead(packet);
    if ((flags & OpcodeFlag.ATOMIC) !== 0) return this.#executeAtomic(packet);
    if ((flags & OpcodeFlag.IETH) !== 0) {
      const rkey = iethRkey(packet.bytes, packet.at + IETH_AT);
      if (!this.#qp.invalidate(rkey)) return this.#refuseAccess();
    }
    if ((flags & OpcodeFlag.SEND) !== 0) {
      const length = packet.payloadLength;
      this.#receive.sges.scatter(0, this.#receivedBytes, packet.bytes, packet.payloadAt, length);
      this.#receivedBytes += length;
      this.#progress = Progress.SEND;
    } else {
      this.#writePayload(packet);
      this.#progress = Progress.WRITE;
    }
    this.#advance(1);
    if ((flags & OpcodeFlag.END) !== 0) this.#finishMessage(packet);
    if (packet.ackReq !== 0) this.#acknowledge();
    return NEXT;
  }

  #writePayload(packet: PacketView): void {
    const length = packet.payloadLength;
    const grant = this.#writeGrant;
    if (grant === null || length === 0) return;
    copyBytes(grant.region.bytes, grant.offsetOf(this.#writeVa), packet.bytes, packet.payloadAt, length);
    this.#writeVa += length;
    this.#writeRemaining -= length;
  }

  #finishMessage(packet: PacketView): void {
    const flags = packet.flags;
    this.#msn = psnAdd(this.#msn, 1);
    if (this.#receive.active) {
      const isSend = (flags & OpcodeFlag.SEND) !== 0;
      const opcode = isSend ? WcOpcode.RECV : WcOpcode.RECV_RDMA_WITH_IMM;
      let value = 0;
      let wcFlags = 0;
      if ((flags & OpcodeFlag.IMM) !== 0) {
        wcFlags = WcFlags.WITH_IMM;
        value = immDt(packet.bytes, packet.at + (opcodeImmOffset[packet.opcode] as number));
      } else if ((flags & OpcodeFlag.IETH) !== 0) {
        wcFlags = WcFlags.WITH_INV;
        value = iethRkey(packet.bytes, packet.at + IETH_AT);
      }
      const length = isSend ? this.#receivedBytes : this.#writeLength;
      this.#completeReceive(WcStatus.SUCCESS, opcode, length, value, packet.solicited !== 0, wcFlags);
    }
    this.#endMessage();
  }

  #executeRead(packet: PacketView): DropReason {
    const saved = this.#saved.reserve();
    if (saved === null) return DropReason.NO_RESOURCES;
    const length = this.#writeLength;
    const packets = Math.max(1, Math.ceil(length / this.#qp.mtu));
    this.#msn = psnAdd(this.#msn, 1);
    saved.isAtomic = false;
    saved.opcode = packet.opcode;
    saved.firstPsn = packet.psn;
    saved.packets = packets;
    saved.msn = this.#msn;
    saved.va = this.#writeVa;
    saved.length = length;
    saved.rkey = rethRkey(packet.bytes, packet.at + RETH_AT);
    saved.grant = this.#writeGrant;
    this.#endMessage();
    this.responses.pushOperation(ResponseKind.READ, packet.psn, saved, 0, length);
    this.#advance(packets);
    this.#qp.schedule();
    return NEXT;
  }

  #executeAtomic(packet: PacketView): DropReason {
    const saved = this.#saved.reserve();
    if (saved === null) return DropReason.NO_RESOURCES;
    const header = packet.at + ATOMIC_ETH_AT;
    const bytes = packet.bytes;
    const va = atomicVa(bytes, header);
    const grant = this.#writeGrant as RemoteGrant;
    this.#msn = psnAdd(this.#msn, 1);
    saved.isAtomic = true;
    saved.opcode = packet.opcode;
    saved.firstPsn = packet.psn;
    saved.packets = 1;
    saved.msn = this.#msn;
    executeAtomic(
      saved,
      grant.region.bytes,
      grant.offsetOf(va),
      packet.opcode === Opcode.RC_COMPARE_SWAP,
      atomicSwapAddHi(bytes, header),
      atomicSwapAddLo(bytes, header),
      atomicCompareHi(bytes, header),
      atomicCompareLo(bytes, header),
    );
    this.#endMessage();
    this.responses.pushOperation(ResponseKind.ATOMIC, packet.psn, saved, 0, 0);
    this.#advance(1);
    this.#qp.schedule();
    return NEXT;
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  #advance(packets: number): void {
    this.#expectedPsn = psnAdd(this.#expectedPsn, packets);
    this.#nakSent = false;
  }

  #endMessage(): void {
    this.#progress = Progress.NONE;
    this.#receivedBytes = 0;
    this.#writeGrant = null;
    this.#writeRemaining = 0;
  }

  #acknowledge(): void {
    this.responses.pushAck(psnAdd(this.#expectedPsn, -1), Syndrome.ACK, this.#msn);
    this.#qp.schedule();
  }

  #nak(syndrome: number): void {
    this.responses.pushNak(this.#expectedPsn, syndrome, this.#msn);
    this.#qp.schedule();
  }

  #completeReceive(
    status: WcStatus,
    opcode: number,
    length: number,
    value: number,
    solicited: boolean,
    wcFlags = 0,
  ): void {
    const wrId = this.#receive.wrId;
    this.#receive.release();
    this.#qp.completeReceive(wrId, status, opcode, length, wcFlags, value, solicited);
  }

  #refuseAccess(): DropReason {
    return this.#refuse(Syndrome.NAK_REMOTE_ACCESS, DropReason.REMOTE_ACCESS, 'QP_ACCESS_ERR');
  }

  /** A fatal NAK: it leaves first, then the queue pair is in ERR and drops what arrives. */
  #refuse(
    syndrome: number,
    reason: DropReason,
    event: 'QP_REQ_ERR' | 'QP_ACCESS_ERR' | 'QP_FATAL',
  ): DropReason {
    this.#qp.counters.fatalNaksSent++;
    this.#nak(syndrome);
    this.#qp.fail(event);
    return reason;
  }
}
