/** Forged management packets for queue pair 1: a message of the communication manager, or any bytes, with a right ICRC. */
import { type CmMessage, writeCmMessage } from '../../src/roce/cm/wire/message.js';
import { GMP_HEADER_BYTES, GSI_QKEY, GSI_QPN } from '../../src/roce/mad/gmp.js';
import { ICRC_LENGTH } from '../../src/roce/wire/bth.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import type { UdpAddress } from '../../src/verbs/address.js';
import { craftPacket } from '../../testkit/craft-packet.js';
import { readdress } from './packet-template.js';

type Ends = { readonly source: UdpAddress; readonly destination: UdpAddress };

/** Keeps the headers, which are the same for all. */
export class ForgedGmp {
  readonly #ends: Ends;
  readonly #model: Uint8Array;

  constructor(ends: Ends) {
    this.#ends = ends;
    this.#model = forgedPacket(new Uint8Array(256), ends);
  }

  packet(message: CmMessage): Uint8Array {
    const bytes = Uint8Array.from(this.#model);
    bytes.set(writeCmMessage(message), GMP_HEADER_BYTES);
    return readdress(bytes, this.#ends.source, this.#ends.destination);
  }
}

/** Of any length, whether or not it is a MAD. */
export function forgedPacket(payload: Uint8Array, { source, destination }: Ends): Uint8Array {
  const spec = {
    opcode: Opcode.UD_SEND_ONLY,
    psn: 0,
    destQpn: GSI_QPN,
    deth: { qkey: GSI_QKEY, sourceQpn: GSI_QPN },
    payload,
  };
  return craftPacket(spec, source, destination);
}

/** The MAD in a packet that was heard. */
export const madOf = (packet: Uint8Array): Uint8Array =>
  packet.subarray(GMP_HEADER_BYTES, packet.length - ICRC_LENGTH);
