/**
 * A received packet, read in place: where its parts are and what its BTH says. One view is reused for all packets.
 *
 * Invariants: `parsePacket` never throws and allocates nothing, whatever the bytes are. After NONE, headers, payload,
 * pad and ICRC lie inside the datagram and fill it, so that the readers of the extension headers need no checks.
 * Whether a length makes sense for the message (FIRST of exactly one MTU and so on) is for the engine to judge.
 */
import { DropReason } from '../drop-reason.js';
import {
  BTH_LENGTH,
  bthAckReq,
  bthDestQpn,
  bthOpcode,
  bthPadCount,
  bthPkey,
  bthPsn,
  bthSolicited,
  bthVersion,
  ICRC_LENGTH,
} from './bth.js';
import { OpcodeFlag, opcodeFlags, opcodeHeaderLength } from './opcodes.js';

/** The reserved bytes that follow the BTH of a CNP. */
export const CNP_PAYLOAD_LENGTH = 16;

export class PacketView {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the BTH starts in `bytes`. */
  at = 0;
  opcode = 0;
  /** {@link OpcodeFlag}s of the opcode. */
  flags = 0;
  /** 0 or 1, as is `ackReq`. */
  solicited = 0;
  padCount = 0;
  pkey = 0;
  destQpn = 0;
  ackReq = 0;
  psn = 0;
  /** Where the payload starts in `bytes`. */
  payloadAt = 0;
  /** Without the pad. */
  payloadLength = 0;
}

/**
 * Parses the UDP payload bytes[at, at + length), ICRC included, into `view`. The ICRC is not checked here.
 *
 * Once the datagram is long enough for a BTH, its fields are in the view even where another reason is returned, for
 * logs; `payloadLength` is then 0.
 */
export function parsePacket(view: PacketView, bytes: Uint8Array, at: number, length: number): DropReason {
  if (length < BTH_LENGTH + ICRC_LENGTH) return DropReason.TOO_SHORT;
  if (at < 0 || at + length > bytes.length) return DropReason.TRUNCATED_BY_PORT;
  const opcode = bthOpcode(bytes, at);
  const flags = opcodeFlags[opcode] as number;
  const padCount = bthPadCount(bytes, at);
  const headerLength = opcodeHeaderLength[opcode] as number;
  view.bytes = bytes;
  view.at = at;
  view.opcode = opcode;
  view.flags = flags;
  view.solicited = bthSolicited(bytes, at);
  view.padCount = padCount;
  view.pkey = bthPkey(bytes, at);
  view.destQpn = bthDestQpn(bytes, at);
  view.ackReq = bthAckReq(bytes, at);
  view.psn = bthPsn(bytes, at);
  view.payloadAt = at + headerLength;
  view.payloadLength = 0;
  if (bthVersion(bytes, at) !== 0) return DropReason.BAD_VERSION;
  if (flags === 0) return DropReason.UNKNOWN_OPCODE;
  const paddedLength = length - headerLength - ICRC_LENGTH;
  const reason = checkLengths(flags, paddedLength, padCount);
  if (reason === DropReason.NONE) view.payloadLength = paddedLength - padCount;
  return reason;
}

/** `paddedLength` is what lies between headers and ICRC, and negative where the headers do not fit. */
function checkLengths(flags: number, paddedLength: number, padCount: number): DropReason {
  if (paddedLength < 0) return DropReason.BAD_LENGTH;
  if (padCount > paddedLength || (paddedLength & 3) !== 0) return DropReason.BAD_PAD;
  if ((flags & OpcodeFlag.PAYLOAD) === 0 && paddedLength !== 0) return DropReason.BAD_LENGTH;
  // Some senders leave the reserved bytes of a CNP out; nothing else may stand in their place.
  if ((flags & OpcodeFlag.CNP) !== 0 && paddedLength !== 0 && paddedLength !== CNP_PAYLOAD_LENGTH) {
    return DropReason.BAD_LENGTH;
  }
  return DropReason.NONE;
}
