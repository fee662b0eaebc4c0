/**
 * A received packet, read in place: where its parts are and what its BTH says. One view is reused for all packets.
 *
 * Invariants: `parsePacket` never throws and allocates nothing, whatever the bytes are. After NONE, headers, payload,
 * pad and ICRC lie inside the datagram and fill it, so that the readers of the extension headers need no checks.
 * Whether a length makes sense for the message (FIRST of exactly one MTU and so on) is for the engine to judge.
 */
import { DropReason } from '../drop-reason.js';
import { ViewCache } from '../view-cache.js';
import { BTH_LENGTH, type BthFields, ICRC_LENGTH, readBth } from './bth.js';
import { OpcodeFlag, opcodeFlags, opcodeHeaderLength } from './opcodes.js';

// Every packet needs these. Engines read a constant of the module itself faster than an imported one.
const { NONE, TOO_SHORT, TRUNCATED_BY_PORT, BAD_VERSION, UNKNOWN_OPCODE, BAD_LENGTH, BAD_PAD } = DropReason;
const { PAYLOAD, CNP } = OpcodeFlag;
const ICRC_BYTES = ICRC_LENGTH;
const SHORTEST_BYTES = BTH_LENGTH + ICRC_LENGTH;
const FLAGS = opcodeFlags;
const HEADER_LENGTHS = opcodeHeaderLength;

/** The reserved bytes that follow the BTH of a CNP. */
export const CNP_PAYLOAD_LENGTH = 16;

export class PacketView implements BthFields {
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
  readonly #views = new ViewCache();

  /** The payload alone. */
  payload(): Uint8Array {
    return this.#views.view(this.bytes, this.payloadAt, this.payloadLength);
  }
}

/**
 * Parses the UDP payload bytes[at, at + length), ICRC included, into `view`. The ICRC is not checked here.
 *
 * Once the datagram is long enough for a BTH, its fields are in the view even where another reason is returned, for
 * logs; `payloadLength` is then 0.
 */
export function parsePacket(view: PacketView, bytes: Uint8Array, at: number, length: number): DropReason {
  if (length < SHORTEST_BYTES) return TOO_SHORT;
  if (at < 0 || at + length > bytes.length) return TRUNCATED_BY_PORT;
  const version = readBth(view, bytes, at);
  const { opcode, padCount } = view;
  const flags = FLAGS[opcode] as number;
  const headerLength = HEADER_LENGTHS[opcode] as number;
  view.bytes = bytes;
  view.at = at;
  view.flags = flags;
  view.payloadAt = at + headerLength;
  view.payloadLength = 0;
  if (version !== 0) return BAD_VERSION;
  if (flags === 0) return UNKNOWN_OPCODE;
  const paddedLength = length - headerLength - ICRC_BYTES;
  const reason = checkLengths(flags, paddedLength, padCount);
  if (reason === NONE) view.payloadLength = paddedLength - padCount;
  return reason;
}

/** `paddedLength` is what lies between headers and ICRC, and negative where the headers do not fit. */
function checkLengths(flags: number, paddedLength: number, padCount: number): DropReason {
  if (paddedLength < 0) return BAD_LENGTH;
  if (padCount > paddedLength || (paddedLength & 3) !== 0) return BAD_PAD;
  if ((flags & PAYLOAD) === 0 && paddedLength !== 0) return BAD_LENGTH;
  // Some senders leave the reserved bytes of a CNP out; nothing else may stand in their place.
  if ((flags & CNP) !== 0 && paddedLength !== 0 && paddedLength !== CNP_PAYLOAD_LENGTH) return BAD_LENGTH;
  return NONE;
}
