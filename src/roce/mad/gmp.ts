/**
 * General management packet (GMP): a MAD as the payload of a UD SEND_ONLY from queue pair 1 to queue pair 1.
 *
 * Invariants: the packet is 280 bytes of UDP payload, ICRC included. AckReq is set as Linux does, though no answer comes.
 * A received one is for queue pair 1, of the default partition, with the Q_Key of all queue pairs 1, and holds exactly a
 * MAD; the sender's queue pair number is not looked at, since answers go to queue pair 1 anyway.
 */
import { BTH_LENGTH, ICRC_LENGTH, writeBth } from '../wire/bth.js';
import { DETH_LENGTH, writeDeth } from '../wire/deth.js';
import { Opcode } from '../wire/opcodes.js';
import { MAD_BYTES } from './mad.js';

/** The queue pair that takes management packets. */
export const GSI_QPN = 1;
/** The Q_Key of every queue pair 1. */
export const GSI_QKEY = 0x80010000;

export const GMP_HEADER_BYTES = BTH_LENGTH + DETH_LENGTH;
/** UDP payload of a GMP, with its ICRC. */
export const GMP_PACKET_BYTES = GMP_HEADER_BYTES + MAD_BYTES + ICRC_LENGTH;

export function writeGmpHeaders(bytes: Uint8Array, at: number, psn: number): void {
  writeBth(bytes, at, Opcode.UD_SEND_ONLY, 0, 0, GSI_QPN, 1, psn);
  writeDeth(bytes, at + BTH_LENGTH, GSI_QKEY, GSI_QPN);
}

/** Writes headers and MAD to bytes[at], where 276 bytes must fit; the ICRC is for whoever knows the addresses. */
export function writeGmp(bytes: Uint8Array, at: number, psn: number, mad: Uint8Array): void {
  writeGmpHeaders(bytes, at, psn);
  bytes.set(mad, at + GMP_HEADER_BYTES);
}
