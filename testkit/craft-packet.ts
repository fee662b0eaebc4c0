/** Packets made by hand, with the ICRC that they need. Nothing is checked: tests craft what no requester would send. */

import { writeAeth } from '../src/roce/wire/aeth.js';
import { writeAtomicAckEth, writeAtomicEth } from '../src/roce/wire/atomic-eth.js';
import { ICRC_LENGTH, padCountOf, writeBth } from '../src/roce/wire/bth.js';
import { writeU16 } from '../src/roce/wire/bytes.js';
import { writeDeth } from '../src/roce/wire/deth.js';
import { Icrc, writeIcrc } from '../src/roce/wire/icrc.js';
import { writeIeth } from '../src/roce/wire/ieth.js';
import { writeImmDt } from '../src/roce/wire/imm-dt.js';
import {
  AETH_AT,
  ATOMIC_ACK_ETH_AT,
  ATOMIC_ETH_AT,
  DETH_AT,
  IETH_AT,
  opcodeHeaderLength,
  opcodeImmOffset,
  RETH_AT,
} from '../src/roce/wire/opcodes.js';
import { writeReth } from '../src/roce/wire/reth.js';
import type { UdpAddress } from '../src/verbs/address.js';

export interface PacketSpec {
  readonly opcode: number;
  readonly psn: number;
  readonly destQpn: number;
  readonly ackReq?: boolean;
  readonly solicited?: boolean;
  readonly pkey?: number;
  readonly payload?: Uint8Array;
  /** A number: that many bytes of a pattern. */
  readonly payloadLength?: number;
  readonly reth?: { readonly va: number; readonly rkey: number; readonly length: number };
  readonly atomic?: {
    readonly va: number;
    readonly rkey: number;
    readonly swapAdd: number;
    readonly compare?: number;
  };
  readonly aeth?: { readonly syndrome: number; readonly msn?: number };
  /** Instead of the address in `reth` or `atomic`: any 64 bits. */
  readonly va64?: bigint;
  readonly original?: number;
  readonly imm?: number;
  readonly invalidateRkey?: number;
  readonly deth?: { readonly qkey: number; readonly sourceQpn: number };
  /** The ICRC is wrong by one bit. */
  readonly badIcrc?: boolean;
}

export const pattern = (length: number, start = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (start + i * 7) & 0xff);

/** The UDP payload of the packet, from BTH to ICRC. */
export function craftPacket(spec: PacketSpec, source: UdpAddress, destination: UdpAddress): Uint8Array {
  const payload = spec.payload ?? pattern(spec.payloadLength ?? 0);
  const headerLength = opcodeHeaderLength[spec.opcode] || 12;
  const pad = padCountOf(payload.length);
  const end = headerLength + payload.length + pad;
  const bytes = new Uint8Array(end + ICRC_LENGTH);
  writeBth(
    bytes,
    0,
    spec.opcode,
    spec.solicited ? 1 : 0,
    pad,
    spec.destQpn,
    spec.ackReq ? 1 : 0,
    spec.psn & 0xffffff,
  );
  if (spec.pkey !== undefined) writeU16(bytes, 2, spec.pkey);
  if (spec.deth) writeDeth(bytes, DETH_AT, spec.deth.qkey, spec.deth.sourceQpn);
  if (spec.reth) writeReth(bytes, RETH_AT, spec.reth.va, spec.reth.rkey, spec.reth.length);
  if (spec.aeth) writeAeth(bytes, AETH_AT, spec.aeth.syndrome, spec.aeth.msn ?? 0);
  if (spec.atomic) {
    const { va, rkey, swapAdd, compare } = spec.atomic;
    writeAtomicEth(bytes, ATOMIC_ETH_AT, va, rkey, 0, swapAdd, 0, compare ?? 0);
  }
  if (spec.va64 !== undefined) new DataView(bytes.buffer).setBigUint64(RETH_AT, spec.va64);
  if (spec.original !== undefined) writeAtomicAckEth(bytes, ATOMIC_ACK_ETH_AT, 0, spec.original);
  if (spec.imm !== undefined) writeImmDt(bytes, opcodeImmOffset[spec.opcode] as number, spec.imm);
  if (spec.invalidateRkey !== undefined) writeIeth(bytes, IETH_AT, spec.invalidateRkey);
  bytes.set(payload, headerLength);
  const icrc = new Icrc().compute(source, destination, bytes, 0, end);
  writeIcrc(bytes, end, spec.badIcrc ? icrc ^ 1 : icrc);
  return bytes;
}
