/**
 * The responder of an RC queue pair: takes request packets one by one and answers them (docs/rocev2.md, "Responder").
 *
 * A packet passes a list of checks, those of `IncomingMessage` and a few that are RC's own, each a method that returns
 * `NEXT` or the reason for which the packet has no effect; only a packet that passed all of them is executed. So memory
 * changes only for packets that are expected, well-formed and allowed. A duplicate is answered but never executed again.
 *
 * The responder puts its answers into a `ResponseQueue`; `sendResponses` makes packets of them.
 */

import { AccessFlags } from '../../verbs/access-flags.js';
import { invariant } from '../../verbs/invariant.js';
import { WcStatus } from '../../verbs/work-completion.js';
import type { Datagram } from '../datagram.js';
import { DropReason } from '../drop-reason.js';
import type { RemoteGrant } from '../memory/region.js';
import { psnAdd, psnDiff } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
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
import { ATOMIC_ETH_AT, IETH_AT, Opcode, OpcodeFlag, RETH_AT } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { rethLength, rethRkey, rethVa } from '../wire/reth.js';
import { AnswerLimit } from './answer-limit.js';
import { executeAtomic } from './atomics.js';
import { IncomingMessage } from './incoming-message.js';
import { OwedAcknowledgement } from './owed-acknowledgement.js';
import type { QpHost } from './qp-host.js';
import { ResponseKind, ResponseQueue } from './response-queue.js';
import { sendResponses } from './response-sender.js';
import { SavedOperations } from './saved-operations.js';
import type { ResponderHalf } from './service-halves.js';

/** The packet passed a check: go on to the next one. */
const NEXT = DropReason.NONE;
// Every packet needs these. Engines read a constant of the module itself faster than an imported one.
const { READ, WRITE, ATOMIC, END, IETH } = OpcodeFlag;
const { REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC } = AccessFlags;
const { ACK } = Syndrome;

/** The right that a request needs, at the queue pair and in the memory. */
function rightFor(flags: number): number {
  if ((flags & WRITE) !== 0) return REMOTE_WRITE;
  if ((flags & READ) !== 0) return REMOTE_READ;
  return (flags & ATOMIC) !== 0 ? REMOTE_ATOMIC : 0;
}

export class Responder implements ResponderHalf {
  responses = new ResponseQueue(4);
  readonly #qp: QpHost;
  readonly #message: IncomingMessage;
  readonly #limit = new AnswerLimit();
  readonly #owed = new OwedAcknowledgement();
  #saved = new SavedOperations(0);
  #expectedPsn = 0;
  #msn = 0;
  /** A NAK for the present gap is out; none again until a packet arrives in order. */
  #nakSent = false;
  /** Behind the furthest packet that was dropped for being ahead. */
  #gapEndPsn = 0;

  constructor(qp: QpHost, maxRecvSge: number) {
    this.#qp = qp;
    this.#message = new IncomingMessage(qp, maxRecvSge);
  }

  get expectedPsn(): number {
    return this.#expectedPsn;
  }

  get msn(): number {
    return this.#msn;
  }

  get hasResponses(): boolean {
    return !this.responses.empty;
  }

  get nextDeadline(): number {
    return Math.min(this.#limit.owedAt, this.#owed.wakeAt);
  }

  get hasOnlyAcknowledgement(): boolean {
    return this.responses.hasOnlyAcknowledgement;
  }

  /** At the transition to RTR. `maxDestRdAtomic`: READs and atomics of the peer that can be held. */
  start(rqPsn: number, maxDestRdAtomic: number): void {
    this.reset();
    this.#saved = new SavedOperations(maxDestRdAtomic);
    this.responses = new ResponseQueue(maxDestRdAtomic * 2 + 4);
    this.#expectedPsn = rqPsn;
    this.#gapEndPsn = rqPsn;
  }

  resize(maxDestRdAtomic: number): void {
    this.#saved.resize(maxDestRdAtomic);
    this.responses.resize(maxDestRdAtomic * 2 + 4);
  }

  reset(): void {
    this.#expectedPsn = 0;
    this.#msn = 0;
    this.#nakSent = false;
    this.#limit.settle();
    this.#owed.settle();
    this.#message.reset();
    this.responses.clear();
    this.#saved.clear();
  }

  flush(): void {
    if (this.#owed.isOwed) this.#acknowledge();
    this.#limit.settle();
    this.#message.fail(WcStatus.WR_FLUSH_ERR);
  }

  /**
   * The program ends the queue pair. What it was told of is acknowledged, as hardware does before it tells: the peer's
   * requests would fail although they were done. READs are not answered, for their memory may be gone, and what came behind
   * one is not acknowledged either.
   */
  dropAnswers(): void {
    if (this.#owed.isOwed) this.#acknowledge();
    if (!this.responses.isOneAck) this.responses.clear();
  }

  transmit(batch: TransmitBatch, budget: number): number {
    return sendResponses(this.#qp, this.responses, batch, budget);
  }

  handleTimeout(now: number): void {
    if (this.#limit.owedAt <= now) this.#answerDuplicate(now);
    if (this.#owed.isDue(now)) this.#acknowledge();
  }

  onRequest(packet: PacketView, _datagram: Datagram, now: number): DropReason {
    const order = psnDiff(packet.psn, this.#expectedPsn);
    if (order > 0) return this.#onGap(packet.psn);
    if (order < 0) return this.#onDuplicate(packet, now);
    const message = this.#message;
    const right = rightFor(packet.flags);
    let reason = message.checkSequence(packet.flags);
    if (reason === NEXT) reason = message.checkOperation(packet, right);
    if (reason === NEXT) reason = this.#checkReadOrAtomic(packet);
    if (reason === NEXT) reason = message.checkReceive(packet.flags);
    if (reason === NEXT) reason = message.checkLength(packet);
    if (reason === NEXT) reason = message.checkMemory(packet, right);
    if (reason === NEXT) reason = this.#execute(packet, now);
    return reason === NEXT ? NEXT : this.#answer(reason);
  }

  // --- out of order -------------------------------------------------------------------------------------------------

  #onGap(psn: number): DropReason {
    if (!this.#isMissing() || psnDiff(psn, this.#gapEndPsn) >= 0) this.#gapEndPsn = psnAdd(psn, 1);
    if (!this.#nakSent) {
      this.#nakSent = true;
      this.#qp.counters.count('sequenceNaksSent');
      this.#nak(Syndrome.NAK_SEQUENCE);
    }
    return DropReason.OUT_OF_ORDER;
  }

  #isMissing(): boolean {
    return psnDiff(this.#gapEndPsn, this.#expectedPsn) > 0;
  }

  #onDuplicate(packet: PacketView, now: number): DropReason {
    this.#qp.counters.count('duplicateRequests');
    if ((packet.flags & READ) !== 0) return this.#replayRead(packet);
    if ((packet.flags & ATOMIC) !== 0) return this.#replayAtomic(packet);
    this.#answerDuplicate(now);
    return DropReason.DUPLICATE;
  }

  /** What joins an acknowledgement that has not left is no answer more. */
  #answerDuplicate(now: number): void {
    if (this.responses.endsWithAcknowledgement || this.#limit.take(now)) {
      this.#acknowledge();
      return;
    }
    this.#qp.counters.count('answersDelayed');
    this.#qp.armTimer(this.#limit.owedAt);
  }

  #replayRead(packet: PacketView): DropReason {
    const saved = this.#saved.find(packet.psn);
    if (saved === null || saved.isAtomic) return DropReason.DUPLICATE_UNKNOWN;
    const header = packet.at + RETH_AT;
    const va = rethVa(packet.bytes, header);
    const length = rethLength(packet.bytes, header);
    const offset = psnDiff(packet.psn, saved.firstPsn) * this.#qp.mtu;
    const sameMemory = length === 0 ? saved.length === 0 : rethRkey(packet.bytes, header) === saved.rkey;
    if (!sameMemory || va !== saved.va + offset || length > saved.length - offset) {
      return DropReason.DUPLICATE_UNKNOWN;
    }
    if (saved.pending === 0 && !this.responses.hasRoom) return DropReason.DUPLICATE_UNKNOWN;
    this.responses.repeat(ResponseKind.READ, saved, packet.psn, offset, length);
    this.#qp.counters.count('readReplays');
    this.#qp.schedule();
    return DropReason.DUPLICATE;
  }

  #replayAtomic(packet: PacketView): DropReason {
    const saved = this.#saved.find(packet.psn);
    if (saved === null || saved.opcode !== packet.opcode) return DropReason.DUPLICATE_UNKNOWN;
    if (saved.pending === 0 && !this.responses.hasRoom) return DropReason.DUPLICATE_UNKNOWN;
    this.responses.repeat(ResponseKind.ATOMIC, saved, packet.psn, 0, 0);
    this.#qp.counters.count('atomicReplays');
    this.#qp.schedule();
    return DropReason.DUPLICATE;
  }

  // --- the checks that are RC's own ---------------------------------------------------------------------------------

  /** Alignment, access, and room to remember and to answer. */
  #checkReadOrAtomic(packet: PacketView): DropReason {
    const flags = packet.flags;
    if ((flags & (READ | ATOMIC)) === 0) return NEXT;
    if (this.#saved.capacity === 0) return DropReason.BAD_OPERATION;
    if ((flags & ATOMIC) !== 0) {
      const header = packet.at + ATOMIC_ETH_AT;
      const va = atomicVa(packet.bytes, header);
      if (va % 8 !== 0) return DropReason.BAD_OPERATION;
      const grant = this.#qp.findGrant(atomicRkey(packet.bytes, header));
      if (grant === null || !grant.allows(this.#qp.pd, this.#qp.qpn, REMOTE_ATOMIC, va, 8)) {
        return DropReason.REMOTE_ACCESS;
      }
    }
    return this.responses.hasRoom ? NEXT : DropReason.NO_RESOURCES;
  }

  // --- execution ----------------------------------------------------------------------------------------------------

  #execute(packet: PacketView, now: number): DropReason {
    INVARIANT: invariant(packet.psn === this.#expectedPsn, 'only the packet that is expected is executed');
    const flags = packet.flags;
    if ((flags & READ) !== 0) return this.#executeRead(packet);
    if ((flags & ATOMIC) !== 0) return this.#executeAtomic(packet);
    if ((flags & IETH) !== 0) {
      const rkey = iethRkey(packet.bytes, packet.at + IETH_AT);
      if (!this.#qp.invalidate(rkey)) return DropReason.REMOTE_ACCESS;
    }
    this.#message.store(packet);
    this.#advance(1);
    if ((flags & END) !== 0) {
      this.#msn = psnAdd(this.#msn, 1);
      this.#message.finish(packet);
    }
    // An answer that has not left says the same of what came since it was asked for.
    if (packet.ackReq !== 0 || this.responses.endsWithAcknowledgement) this.#acknowledge();
    else if ((flags & END) !== 0 && this.#owed.owe(now)) this.#qp.armTimer(this.#owed.wakeAt);
    return NEXT;
  }

  #executeRead(packet: PacketView): DropReason {
    const saved = this.#saved.reserve();
    if (saved === null) return DropReason.NO_RESOURCES;
    const { grant, va, length } = this.#message;
    const packets = Math.max(1, Math.ceil(length / this.#qp.mtu));
    this.#msn = psnAdd(this.#msn, 1);
    saved.isAtomic = false;
    saved.opcode = packet.opcode;
    saved.firstPsn = packet.psn;
    saved.packets = packets;
    saved.msn = this.#msn;
    saved.va = va;
    saved.length = length;
    saved.rkey = rethRkey(packet.bytes, packet.at + RETH_AT);
    saved.grant = grant;
    this.#message.end();
    this.responses.pushOperation(ResponseKind.READ, saved, length);
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
    const grant = this.#qp.findGrant(atomicRkey(bytes, header)) as RemoteGrant;
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
    this.responses.pushOperation(ResponseKind.ATOMIC, saved, 0);
    this.#advance(1);
    this.#qp.schedule();
    return NEXT;
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  #advance(packets: number): void {
    this.#expectedPsn = psnAdd(this.#expectedPsn, packets);
    this.#nakSent = false;
  }

  #acknowledge(): void {
    this.#limit.settle();
    this.#owed.settle();
    const newest = psnAdd(this.#expectedPsn, -1);
    if (this.responses.pushAck(newest, ACK, this.#msn, this.#isMissing())) this.#nakSent = true;
    this.#qp.schedule();
  }

  #nak(syndrome: number): void {
    this.#owed.settle();
    this.responses.pushNak(this.#expectedPsn, syndrome, this.#msn);
    this.#qp.schedule();
  }

  /** Says to the peer and to the program why a packet in order was not carried out. */
  #answer(reason: DropReason): DropReason {
    switch (reason) {
      case DropReason.NO_RESOURCES:
        break;
      case DropReason.NO_RECEIVE:
        this.#nakSent = true;
        this.#qp.counters.count('rnrNaksSent');
        this.#nak(Syndrome.RNR_NAK | this.#qp.minRnrTimer);
        break;
      case DropReason.REMOTE_ACCESS:
        this.#refuse(Syndrome.NAK_REMOTE_ACCESS);
        this.#qp.fail('QP_ACCESS_ERR');
        break;
      case DropReason.RECEIVE_TOO_SMALL:
        this.#refuse(Syndrome.NAK_INVALID_REQUEST);
        this.#message.fail(WcStatus.LOC_LEN_ERR);
        this.#qp.enterError();
        break;
      case DropReason.RECEIVE_PROTECTION:
        this.#refuse(Syndrome.NAK_REMOTE_OPERATION);
        this.#message.fail(WcStatus.LOC_PROT_ERR);
        this.#qp.enterError();
        break;
      default:
        this.#refuse(Syndrome.NAK_INVALID_REQUEST);
        this.#qp.fail('QP_REQ_ERR');
    }
    return reason;
  }

  /** A fatal NAK: it leaves first, then the queue pair is in ERR and drops what arrives. */
  #refuse(syndrome: number): void {
    this.#qp.counters.count('fatalNaksSent');
    this.#nak(syndrome);
  }
}
