/**
 * Makes a responder answer a resumed READ in the other way that the wire format knows: our responder begins such an
 * answer with FIRST or ONLY, others go on with MIDDLE or LAST. Requesters must take both.
 */
import { psnAdd } from '../../src/roce/psn.js';
import { AETH_LENGTH } from '../../src/roce/wire/aeth.js';
import { BTH_LENGTH, bthDestQpn, bthOpcode, bthPsn, ICRC_LENGTH } from '../../src/roce/wire/bth.js';
import { Icrc, writeIcrc } from '../../src/roce/wire/icrc.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import type { Packet } from './network.js';

export class ResumeRewriter {
  readonly #icrc = new Icrc();
  /** By requester: PSNs at which an original READ began, and those at which a resumed one did. */
  readonly #originals = new Set<string>();
  readonly #resumed = new Set<string>();
  /** The furthest READ of each flow. */
  readonly #requested = new Map<string, number>();

  rewrite(packet: Packet): Packet {
    const { bytes } = packet;
    const opcode = bthOpcode(bytes, 0);
    if (opcode === Opcode.RC_READ_REQUEST) this.#onRequest(packet);
    else if (opcode === Opcode.RC_READ_RESPONSE_FIRST) return this.#onFirst(packet);
    else if (opcode === Opcode.RC_READ_RESPONSE_ONLY) return this.#onOnly(packet);
    return packet;
  }

  #onRequest(packet: Packet): void {
    const key = `${packet.from} ${packet.to} ${bthDestQpn(packet.bytes, 0)}`;
    const psn = bthPsn(packet.bytes, 0);
    const last = this.#requested.get(key);
    const isNew = last === undefined || ((psn - last) & 0xffffff) < 0x800000;
    const place = `${packet.from} ${packet.to} ${psn}`;
    if (isNew && psn !== last) {
      this.#requested.set(key, psnAdd(psn, 0));
      this.#originals.add(place);
    } else if (!this.#originals.has(place)) {
      this.#resumed.add(place);
    }
  }

  #isResumed(packet: Packet): boolean {
    return this.#resumed.has(`${packet.to} ${packet.from} ${bthPsn(packet.bytes, 0)}`);
  }

  #onFirst(packet: Packet): Packet {
    if (!this.#isResumed(packet)) return packet;
    const payload = packet.bytes.subarray(BTH_LENGTH + AETH_LENGTH, packet.bytes.length - ICRC_LENGTH);
    const bytes = new Uint8Array(packet.bytes.length - AETH_LENGTH);
    bytes.set(packet.bytes.subarray(0, BTH_LENGTH));
    bytes.set(payload, BTH_LENGTH);
    return this.#seal(packet, bytes, Opcode.RC_READ_RESPONSE_MIDDLE);
  }

  #onOnly(packet: Packet): Packet {
    return this.#isResumed(packet)
      ? this.#seal(packet, packet.bytes.slice(), Opcode.RC_READ_RESPONSE_LAST)
      : packet;
  }

  #seal(packet: Packet, bytes: Uint8Array, opcode: number): Packet {
    bytes[0] = opcode;
    const length = bytes.length - ICRC_LENGTH;
    const { source, destination } = packet;
    writeIcrc(bytes, length, this.#icrc.compute(source, destination, bytes, 0, length));
    return { ...packet, bytes };
  }
}
