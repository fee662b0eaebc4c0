/**
 * A command as it stands at the beginning of its capsule: 64 bytes, little endian. 0 opcode, 1 flags, 2 command ID u16, 4 namespace
 * u32 (fabrics commands: byte 4 is their type), 24 SGL descriptor, 40 to 63 command dwords 10 to 15.
 *
 * Invariant: reading fills an object that exists already and allocates nothing, but for addresses beyond what numbers hold.
 */
import { readSgl, Sgl } from './sgl.js';

export const COMMAND_BYTES = 64;

/** Data is described by an SGL: the only way over fabrics. */
export const SGL_FLAGS = 0x40;

const SGL_OFFSET = 24;
const DWORD_10 = 40;

/** One command, filled anew by {@link readCommand}. */
export class Command {
  opcode = 0;
  flags = 0;
  cid = 0;
  /** Of fabrics commands, whose type lies there, it means nothing. */
  nsid = 0;
  fabricsType = 0;
  readonly sgl = new Sgl();
  /** Whether the SGL is of a type that exists over RDMA. */
  hasKnownSgl = false;
  cdw10 = 0;
  cdw11 = 0;
  cdw12 = 0;
  cdw13 = 0;
  cdw14 = 0;
  cdw15 = 0;
}

export function readCommand(view: DataView, at: number, into: Command): void {
  into.opcode = view.getUint8(at);
  into.flags = view.getUint8(at + 1);
  into.cid = view.getUint16(at + 2, true);
  into.nsid = view.getUint32(at + 4, true);
  into.fabricsType = view.getUint8(at + 4);
  into.hasKnownSgl = readSgl(view, at + SGL_OFFSET, into.sgl);
  into.cdw10 = view.getUint32(at + DWORD_10, true);
  into.cdw11 = view.getUint32(at + DWORD_10 + 4, true);
  into.cdw12 = view.getUint32(at + DWORD_10 + 8, true);
  into.cdw13 = view.getUint32(at + DWORD_10 + 12, true);
  into.cdw14 = view.getUint32(at + DWORD_10 + 16, true);
  into.cdw15 = view.getUint32(at + DWORD_10 + 20, true);
}

/** Parts of a command to write; what is left out is zero. The SGL is written by its own functions. */
export interface CommandFields {
  readonly opcode: number;
  readonly cid: number;
  readonly nsid?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
}

/** Writes all 64 bytes, with an SGL that says "no data"; returns where another one goes. */
export function writeCommand(view: DataView, at: number, fields: CommandFields): number {
  const { opcode, cid, nsid = 0, cdw10 = 0, cdw11 = 0, cdw12 = 0, cdw13 = 0, cdw14 = 0, cdw15 = 0 } = fields;
  for (let i = 0; i < COMMAND_BYTES; i += 4) view.setUint32(at + i, 0);
  view.setUint8(at, opcode);
  view.setUint8(at + 1, SGL_FLAGS);
  view.setUint16(at + 2, cid, true);
  view.setUint32(at + 4, nsid, true);
  view.setUint8(at + SGL_OFFSET + 15, 0x40);
  for (const [i, dword] of [cdw10, cdw11, cdw12, cdw13, cdw14, cdw15].entries()) {
    view.setUint32(at + DWORD_10 + 4 * i, dword, true);
  }
  return at + SGL_OFFSET;
}
