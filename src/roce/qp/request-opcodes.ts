/** Which RC opcode carries which work request, by the packet's place in its message. UC's differ by its service bits. */
import { WcOpcode } from '../../verbs/work-completion.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { Opcode } from '../wire/opcodes.js';

/** Indexed by `WrOpcode`. READ and the atomics are always one packet; local operations have none. */
const only = new Uint8Array(16);
const first = new Uint8Array(16);
const middle = new Uint8Array(16);
const last = new Uint8Array(16);

function define(opcode: WrOpcode, ...opcodes: [number, number, number, number]): void {
  [only[opcode], first[opcode], middle[opcode], last[opcode]] = opcodes;
}

const O = Opcode;
define(WrOpcode.SEND, O.RC_SEND_ONLY, O.RC_SEND_FIRST, O.RC_SEND_MIDDLE, O.RC_SEND_LAST);
define(WrOpcode.SEND_WITH_IMM, O.RC_SEND_ONLY_IMM, O.RC_SEND_FIRST, O.RC_SEND_MIDDLE, O.RC_SEND_LAST_IMM);
define(WrOpcode.SEND_WITH_INV, O.RC_SEND_ONLY_INV, O.RC_SEND_FIRST, O.RC_SEND_MIDDLE, O.RC_SEND_LAST_INV);
define(WrOpcode.RDMA_WRITE, O.RC_WRITE_ONLY, O.RC_WRITE_FIRST, O.RC_WRITE_MIDDLE, O.RC_WRITE_LAST);
define(
  WrOpcode.RDMA_WRITE_WITH_IMM,
  O.RC_WRITE_ONLY_IMM,
  O.RC_WRITE_FIRST,
  O.RC_WRITE_MIDDLE,
  O.RC_WRITE_LAST_IMM,
);

export function requestOpcode(wrOpcode: number, isFirst: boolean, isLast: boolean): number {
  const table = isFirst ? (isLast ? only : first) : isLast ? last : middle;
  return table[wrOpcode] as number;
}

const completions = new Uint8Array(16);
completions[WrOpcode.SEND] = WcOpcode.SEND;
completions[WrOpcode.SEND_WITH_IMM] = WcOpcode.SEND;
completions[WrOpcode.SEND_WITH_INV] = WcOpcode.SEND;
completions[WrOpcode.RDMA_WRITE] = WcOpcode.RDMA_WRITE;
completions[WrOpcode.RDMA_WRITE_WITH_IMM] = WcOpcode.RDMA_WRITE;
completions[WrOpcode.RDMA_READ] = WcOpcode.RDMA_READ;
completions[WrOpcode.ATOMIC_CMP_AND_SWP] = WcOpcode.COMP_SWAP;
completions[WrOpcode.ATOMIC_FETCH_AND_ADD] = WcOpcode.FETCH_ADD;
completions[WrOpcode.LOCAL_INV] = WcOpcode.LOCAL_INV;
completions[WrOpcode.BIND_MW] = WcOpcode.BIND_MW;

/** The completion's opcode of a work request. */
export const completionOpcode = (wrOpcode: number): number => completions[wrOpcode] as number;

export const isAtomic = (wrOpcode: number): boolean =>
  wrOpcode === WrOpcode.ATOMIC_CMP_AND_SWP || wrOpcode === WrOpcode.ATOMIC_FETCH_AND_ADD;

/** READ and atomics: the responder answers with data, and memory of this side is written. */
export const isReadOrAtomic = (wrOpcode: number): boolean =>
  wrOpcode === WrOpcode.RDMA_READ || isAtomic(wrOpcode);

export const isLocalOperation = (wrOpcode: number): boolean =>
  wrOpcode === WrOpcode.LOCAL_INV || wrOpcode === WrOpcode.BIND_MW;

export const isWrite = (wrOpcode: number): boolean =>
  wrOpcode === WrOpcode.RDMA_WRITE || wrOpcode === WrOpcode.RDMA_WRITE_WITH_IMM;
