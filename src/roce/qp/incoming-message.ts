/**
 * The SEND or WRITE message that a queue pair is receiving: the part of a responder that RC and UC have in common.
 *
 * A packet passes a list of checks, each a method that returns NONE or the reason for which the packet has no effect;
 * what the reason means (a NAK, or a message dropped in silence) is for the service to say. `store` may be called only
 * for a packet that passed all of them: then memory changes only where a posted receive or a grant allows it.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { WcFlags, WcOpcode, WcStatus } from '../../verbs/work-completion.js';
import { copyBytes } from '../copy.js';
import { DropReason } from '../drop-reason.js';
import type { RemoteGrant } from '../memory/region.js';
import { iethRkey } from '../wire/ieth.js';
import { immDt } from '../wire/imm-dt.js';
import { IETH_AT, OpcodeFlag, opcodeImmOffset, RETH_AT } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { rethLength, rethRkey, rethVa } from '../wire/reth.js';
import type { QpHost } from './qp-host.js';
import { CurrentReceive } from './receive-queue.js';

/** The packet passed the check: go on to the next one. */
const NEXT = DropReason.NONE;
const MAX_RETH_LENGTH = 2 ** 31;
// Every packet needs these. Engines read a constant of the module itself faster than an imported one.
const { BAD_SEQUENCE, BAD_OPERATION, BAD_LENGTH, RECEIVE_TOO_SMALL } = DropReason;
const { SEND, WRITE, START, MIDDLE, LAST, END, RETH, IMM, IETH, PAYLOAD, CONSUMES_RECV } = OpcodeFlag;
const { LOCAL_WRITE } = AccessFlags;
const { SUCCESS } = WcStatus;
const { RECV, RECV_RDMA_WITH_IMM } = WcOpcode;

/** What kind of message is half received. */
const Progress = { NONE: 0, SEND: 1, WRITE: 2 } as const;
type Progress = (typeof Progress)[keyof typeof Progress];

export class IncomingMessage {
  readonly #qp: QpHost;
  readonly #receive: CurrentReceive;
  #progress: Progress = Progress.NONE;
  #receivedBytes = 0;
  /** What the last RETH named: memory (`null` where the length is 0), address and length. */
  grant: RemoteGrant | null = null;
  va = 0;
  length = 0;
  #written = 0;

  constructor(qp: QpHost, maxRecvSge: number) {
    this.#qp = qp;
    this.#receive = new CurrentReceive(maxRecvSge);
  }

  get inProgress(): boolean {
    return this.#progress !== Progress.NONE;
  }

  /** Forgets everything, without completions. */
  reset(): void {
    this.end();
    this.#receive.release();
  }

  /** Completes the receive that was taken, if any, with `status`, and forgets the message. */
  fail(status: WcStatus): void {
    if (this.#receive.active) this.#complete(status, RECV, 0, 0, 0, false);
    this.end();
  }

  /** Forgets the message but keeps the receive that it took, for the next one to fill from the start. */
  end(): void {
    this.#progress = Progress.NONE;
    this.#receivedBytes = 0;
    this.grant = null;
    this.length = 0;
    this.#written = 0;
  }

  // --- the checks, in order -----------------------------------------------------------------------------------------

  /** Whether the opcode may follow the packet before it (docs/rocev2.md, "Opcodes"). */
  checkSequence(flags: number): DropReason {
    const inside = (flags & (MIDDLE | LAST)) !== 0;
    const expected =
      this.#progress === Progress.NONE
        ? !inside
        : inside && (flags & (this.#progress === Progress.SEND ? SEND : WRITE)) !== 0;
    return expected ? NEXT : BAD_SEQUENCE;
  }

  /** Whether the queue pair allows the operation, and the message is of a legal length. */
  checkOperation(packet: PacketView, right: number): DropReason {
    if ((this.#qp.accessFlags & right) !== right) return BAD_OPERATION;
    const hasReth = (packet.flags & RETH) !== 0;
    if (hasReth && rethLength(packet.bytes, packet.at + RETH_AT) > MAX_RETH_LENGTH) {
      return DropReason.BAD_RETH;
    }
    return NEXT;
  }

  /** Whether there is a receive for a packet that needs one. */
  checkReceive(flags: number): DropReason {
    if ((flags & CONSUMES_RECV) === 0 || this.#receive.active) return NEXT;
    return this.#qp.takeReceive(this.#receive) ? NEXT : DropReason.NO_RECEIVE;
  }

  /** Every packet but the last of a message carries exactly one MTU; the last one what remains. */
  checkLength(packet: PacketView): DropReason {
    const flags = packet.flags;
    const length = packet.payloadLength;
    const mtu = this.#qp.mtu;
    if ((flags & PAYLOAD) === 0) return NEXT;
    let wellFormed = length <= mtu;
    if ((flags & END) === 0) wellFormed = length === mtu;
    else if ((flags & LAST) !== 0) wellFormed = length >= 1 && length <= mtu;
    if (wellFormed && (flags & WRITE) !== 0) {
      const start = (flags & START) !== 0;
      const remaining = start ? rethLength(packet.bytes, packet.at + RETH_AT) : this.length - this.#written;
      wellFormed = (flags & END) !== 0 ? length === remaining : length < remaining;
    }
    if (!wellFormed) return BAD_LENGTH;
    if ((flags & SEND) !== 0 && this.#receivedBytes + length > this.#receive.capacity) {
      return RECEIVE_TOO_SMALL;
    }
    return NEXT;
  }

  /** Whether the memory that the packet changes or names may be used so. A length of 0 names none. */
  checkMemory(packet: PacketView, right: number): DropReason {
    const flags = packet.flags;
    if ((flags & RETH) !== 0) {
      const header = packet.at + RETH_AT;
      const va = rethVa(packet.bytes, header);
      const length = rethLength(packet.bytes, header);
      const grant = length === 0 ? null : this.#qp.findGrant(rethRkey(packet.bytes, header));
      if (length > 0 && (grant === null || !grant.allows(this.#qp.pd, this.#qp.qpn, right, va, length))) {
        return DropReason.REMOTE_ACCESS;
      }
      this.grant = grant;
      this.va = va;
      this.length = length;
      this.#written = 0;
    } else if ((flags & WRITE) !== 0) {
      // A window may be revoked, and a region deregistered, in the middle of a message.
      if (this.grant?.usable !== true) return DropReason.REMOTE_ACCESS;
    } else if ((flags & SEND) !== 0 && packet.payloadLength > 0) {
      if (!this.#receive.sges.allows(0, this.#qp.pd, LOCAL_WRITE)) {
        return DropReason.RECEIVE_PROTECTION;
      }
    }
    return NEXT;
  }

  // --- execution ----------------------------------------------------------------------------------------------------

  /** Puts the payload where it belongs. */
  store(packet: PacketView): void {
    const length = packet.payloadLength;
    if ((packet.flags & SEND) !== 0) {
      if (length > 0) this.#receive.sges.scatter(0, this.#receivedBytes, packet.payload(), 0, length);
      this.#receivedBytes += length;
      this.#progress = Progress.SEND;
      return;
    }
    this.#progress = Progress.WRITE;
    const grant = this.grant;
    if (grant === null || length === 0) return;
    const at = grant.offsetOf(this.va) + this.#written;
    copyBytes(grant.region.bytes, at, packet.payload(), 0, length);
    this.#written += length;
  }

  /** After the last packet was stored: completes the receive, if the message took one. */
  finish(packet: PacketView): void {
    // At the end of a plain WRITE, a receive may be held that an unfinished SEND of UC has left behind.
    const takesReceive = (packet.flags & (SEND | IMM)) !== 0;
    if (takesReceive) this.#completeMessage(packet);
    this.end();
  }

  #completeMessage(packet: PacketView): void {
    const flags = packet.flags;
    const isSend = (flags & SEND) !== 0;
    let value = 0;
    let wcFlags = 0;
    if ((flags & IMM) !== 0) {
      wcFlags = WcFlags.WITH_IMM;
      value = immDt(packet.bytes, packet.at + (opcodeImmOffset[packet.opcode] as number));
    } else if ((flags & IETH) !== 0) {
      wcFlags = WcFlags.WITH_INV;
      value = iethRkey(packet.bytes, packet.at + IETH_AT);
    }
    const opcode = isSend ? RECV : RECV_RDMA_WITH_IMM;
    const length = isSend ? this.#receivedBytes : this.length;
    this.#complete(SUCCESS, opcode, length, wcFlags, value, packet.solicited !== 0);
  }

  #complete(
    status: WcStatus,
    opcode: number,
    length: number,
    wcFlags: number,
    value: number,
    solicited: boolean,
  ): void {
    const wrId = this.#receive.wrId;
    this.#receive.release();
    this.#qp.completeReceive(wrId, status, opcode, length, wcFlags, value, 0, solicited);
  }
}
