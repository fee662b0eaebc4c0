/**
 * The BTH opcodes, and all that is known about each of them, in one table: service, operation, place in the message,
 * extension headers, payload. Code that wants to know something about a packet tests a flag and never lists opcodes.
 *
 * Invariants: an opcode without flags is unknown. The order of headers is BTH, then DETH, RETH, AETH or AtomicETH, then
 * AtomicAckETH, ImmDt or IETH; hence every header but ImmDt and AtomicAckETH starts right after the BTH.
 */
import { AETH_LENGTH } from './aeth.js';
import { ATOMIC_ACK_ETH_LENGTH, ATOMIC_ETH_LENGTH } from './atomic-eth.js';
import { BTH_LENGTH } from './bth.js';
import { DETH_LENGTH } from './deth.js';
import { IETH_LENGTH } from './ieth.js';
import { IMM_DT_LENGTH } from './imm-dt.js';
import { RETH_LENGTH } from './reth.js';

export const Opcode = {
  RC_SEND_FIRST: 0x00,
  RC_SEND_MIDDLE: 0x01,
  RC_SEND_LAST: 0x02,
  RC_SEND_LAST_IMM: 0x03,
  RC_SEND_ONLY: 0x04,
  RC_SEND_ONLY_IMM: 0x05,
  RC_WRITE_FIRST: 0x06,
  RC_WRITE_MIDDLE: 0x07,
  RC_WRITE_LAST: 0x08,
  RC_WRITE_LAST_IMM: 0x09,
  RC_WRITE_ONLY: 0x0a,
  RC_WRITE_ONLY_IMM: 0x0b,
  RC_READ_REQUEST: 0x0c,
  RC_READ_RESPONSE_FIRST: 0x0d,
  RC_READ_RESPONSE_MIDDLE: 0x0e,
  RC_READ_RESPONSE_LAST: 0x0f,
  RC_READ_RESPONSE_ONLY: 0x10,
  RC_ACKNOWLEDGE: 0x11,
  RC_ATOMIC_ACKNOWLEDGE: 0x12,
  RC_COMPARE_SWAP: 0x13,
  RC_FETCH_ADD: 0x14,
  RC_SEND_LAST_INV: 0x16,
  RC_SEND_ONLY_INV: 0x17,
  UC_SEND_FIRST: 0x20,
  UC_SEND_MIDDLE: 0x21,
  UC_SEND_LAST: 0x22,
  UC_SEND_LAST_IMM: 0x23,
  UC_SEND_ONLY: 0x24,
  UC_SEND_ONLY_IMM: 0x25,
  UC_WRITE_FIRST: 0x26,
  UC_WRITE_MIDDLE: 0x27,
  UC_WRITE_LAST: 0x28,
  UC_WRITE_LAST_IMM: 0x29,
  UC_WRITE_ONLY: 0x2a,
  UC_WRITE_ONLY_IMM: 0x2b,
  UD_SEND_ONLY: 0x64,
  UD_SEND_ONLY_IMM: 0x65,
  /** Congestion notification: carries 16 reserved bytes, belongs to no service. */
  CNP: 0x81,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

export const OpcodeFlag = {
  /** Goes from requester to responder. */
  REQUEST: 1 << 0,
  /** Goes back: READ responses, ACK, atomic ACK. */
  RESPONSE: 1 << 1,
  SEND: 1 << 2,
  WRITE: 1 << 3,
  /** READ requests and READ responses; REQUEST and RESPONSE tell them apart, and so for ATOMIC. */
  READ: 1 << 4,
  ATOMIC: 1 << 5,
  /** ACKNOWLEDGE alone: every ACK and NAK, not the answer of an atomic. */
  ACK: 1 << 6,
  /** FIRST or ONLY. */
  START: 1 << 7,
  /** LAST or ONLY. */
  END: 1 << 8,
  FIRST: 1 << 9,
  MIDDLE: 1 << 10,
  LAST: 1 << 11,
  /** A message of one packet; READ requests, atomics and ACKs too. */
  ONLY: 1 << 12,
  RETH: 1 << 13,
  AETH: 1 << 14,
  ATOMIC_ETH: 1 << 15,
  ATOMIC_ACK_ETH: 1 << 16,
  IMM: 1 << 17,
  IETH: 1 << 18,
  DETH: 1 << 19,
  /** May carry payload. */
  PAYLOAD: 1 << 20,
  /** Takes a receive at this packet: SENDs at their start, WRITEs with immediate at their end. */
  CONSUMES_RECV: 1 << 21,
  RC: 1 << 22,
  UC: 1 << 23,
  UD: 1 << 24,
  CNP: 1 << 25,
} as const;

const F = OpcodeFlag;
const FIRST = F.FIRST | F.START;
const LAST = F.LAST | F.END;
const ONLY = F.ONLY | F.START | F.END;
const SEND = F.REQUEST | F.SEND | F.PAYLOAD;
const WRITE = F.REQUEST | F.WRITE | F.PAYLOAD;
const READ_RESPONSE = F.RESPONSE | F.READ | F.PAYLOAD;
const ATOMIC = F.REQUEST | F.ATOMIC | F.ATOMIC_ETH | ONLY;

/** SENDs and WRITEs, alike for RC and UC: operation code to flags. */
const SENDS_AND_WRITES: readonly (readonly [number, number])[] = [
  [0x00, SEND | FIRST | F.CONSUMES_RECV],
  [0x01, SEND | F.MIDDLE],
  [0x02, SEND | LAST],
  [0x03, SEND | LAST | F.IMM],
  [0x04, SEND | ONLY | F.CONSUMES_RECV],
  [0x05, SEND | ONLY | F.CONSUMES_RECV | F.IMM],
  [0x06, WRITE | FIRST | F.RETH],
  [0x07, WRITE | F.MIDDLE],
  [0x08, WRITE | LAST],
  [0x09, WRITE | LAST | F.IMM | F.CONSUMES_RECV],
  [0x0a, WRITE | ONLY | F.RETH],
  [0x0b, WRITE | ONLY | F.RETH | F.IMM | F.CONSUMES_RECV],
];

const RC_ALONE: readonly (readonly [number, number])[] = [
  [Opcode.RC_READ_REQUEST, F.REQUEST | F.READ | F.RETH | ONLY],
  [Opcode.RC_READ_RESPONSE_FIRST, READ_RESPONSE | FIRST | F.AETH],
  [Opcode.RC_READ_RESPONSE_MIDDLE, READ_RESPONSE | F.MIDDLE],
  [Opcode.RC_READ_RESPONSE_LAST, READ_RESPONSE | LAST | F.AETH],
  [Opcode.RC_READ_RESPONSE_ONLY, READ_RESPONSE | ONLY | F.AETH],
  [Opcode.RC_ACKNOWLEDGE, F.RESPONSE | F.ACK | F.AETH | ONLY],
  [Opcode.RC_ATOMIC_ACKNOWLEDGE, F.RESPONSE | F.ATOMIC | F.AETH | F.ATOMIC_ACK_ETH | ONLY],
  [Opcode.RC_COMPARE_SWAP, ATOMIC],
  [Opcode.RC_FETCH_ADD, ATOMIC],
  [Opcode.RC_SEND_LAST_INV, SEND | LAST | F.IETH],
  [Opcode.RC_SEND_ONLY_INV, SEND | ONLY | F.CONSUMES_RECV | F.IETH],
];

const UD_SEND = SEND | ONLY | F.CONSUMES_RECV | F.DETH | F.UD;

function buildFlags(): Int32Array {
  const flags = new Int32Array(256);
  for (const [operation, facts] of SENDS_AND_WRITES) {
    flags[operation] = facts | F.RC;
    flags[Opcode.UC_SEND_FIRST + operation] = facts | F.UC;
  }
  for (const [operation, facts] of RC_ALONE) flags[operation] = facts | F.RC;
  flags[Opcode.UD_SEND_ONLY] = UD_SEND;
  flags[Opcode.UD_SEND_ONLY_IMM] = UD_SEND | F.IMM;
  flags[Opcode.CNP] = F.CNP | F.PAYLOAD;
  return flags;
}

/** Opcode to {@link OpcodeFlag}s; 0 = unknown opcode. */
export const opcodeFlags: Int32Array = buildFlags();

const HEADERS: readonly (readonly [number, number])[] = [
  [F.DETH, DETH_LENGTH],
  [F.RETH, RETH_LENGTH],
  [F.AETH, AETH_LENGTH],
  [F.ATOMIC_ETH, ATOMIC_ETH_LENGTH],
  [F.ATOMIC_ACK_ETH, ATOMIC_ACK_ETH_LENGTH],
  [F.IMM, IMM_DT_LENGTH],
  [F.IETH, IETH_LENGTH],
];

const headersLength = (flags: number): number =>
  HEADERS.reduce((sum, [flag, length]) => ((flags & flag) === 0 ? sum : sum + length), BTH_LENGTH);

/** Opcode to the bytes of BTH and extension headers; 0 for an unknown opcode. */
export const opcodeHeaderLength: Uint8Array = Uint8Array.from(opcodeFlags, (flags) =>
  flags === 0 ? 0 : headersLength(flags),
);

/** Opcode to where its ImmDt is, from the start of the BTH; 0 = it has none. */
export const opcodeImmOffset: Uint8Array = Uint8Array.from(opcodeFlags, (flags) =>
  (flags & F.IMM) === 0 ? 0 : headersLength(flags) - IMM_DT_LENGTH,
);

/** Where the other extension headers are, from the start of the BTH, in each opcode that has them. */
export const RETH_AT = BTH_LENGTH;
export const AETH_AT = BTH_LENGTH;
export const ATOMIC_ETH_AT = BTH_LENGTH;
export const DETH_AT = BTH_LENGTH;
export const IETH_AT = BTH_LENGTH;
export const ATOMIC_ACK_ETH_AT: number = BTH_LENGTH + AETH_LENGTH;

/** BTH plus the longest extension headers: what a header arena must hold a packet. */
export const MAX_HEADER_LENGTH: number = BTH_LENGTH + ATOMIC_ETH_LENGTH;

const NAMES = new Map<number, string>(Object.entries(Opcode).map(([name, value]) => [value, name]));

/** `RC_SEND_ONLY` and so on; `OPCODE_0x1c` for one that is not known. */
export const opcodeName = (opcode: number): string =>
  NAMES.get(opcode) ?? `OPCODE_0x${opcode.toString(16).padStart(2, '0')}`;
