/** A crafted packet that is sent many times with other numbers in it, each time with the ICRC that it then needs. */

import { ICRC_LENGTH } from '../../src/roce/wire/bth.js';
import { Icrc, writeIcrc } from '../../src/roce/wire/icrc.js';
import { fastCrc32 } from '../../src/soft/zlib-crc.js';
import type { UdpAddress } from '../../src/verbs/address.js';
import { craftPacket, type PacketSpec } from '../../testkit/craft-packet.js';

const QPN_AT = 5;
const PSN_AT = 9;

export class PacketTemplate {
  readonly #bytes: Uint8Array;
  readonly #source: UdpAddress;
  readonly #destination: UdpAddress;
  readonly #icrc = new Icrc(fastCrc32);

  constructor(spec: PacketSpec, source: UdpAddress, destination: UdpAddress) {
    this.#bytes = craftPacket(spec, source, destination);
    this.#source = source;
    this.#destination = destination;
  }

  psn(value: number): this {
    return this.#u24(PSN_AT, value);
  }

  qpn(value: number): this {
    return this.#u24(QPN_AT, value);
  }

  /** Puts `value` where the packet's last four bytes of payload are, to tell tries apart. */
  mark(value: number): this {
    const { buffer, byteOffset, length } = this.#bytes;
    new DataView(buffer, byteOffset).setUint32(length - ICRC_LENGTH - 4, value);
    return this;
  }

  /** A copy, with its ICRC. */
  packet(): Uint8Array {
    const end = this.#bytes.length - ICRC_LENGTH;
    writeIcrc(this.#bytes, end, this.#icrc.compute(this.#source, this.#destination, this.#bytes, 0, end));
    return Uint8Array.from(this.#bytes);
  }

  #u24(at: number, value: number): this {
    this.#bytes[at] = value >>> 16;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value;
    return this;
  }
}

const icrc = new Icrc(fastCrc32);

/** The UDP payload `bytes` with the ICRC for other addresses. */
export function readdress(bytes: Uint8Array, source: UdpAddress, destination: UdpAddress): Uint8Array {
  const end = bytes.length - ICRC_LENGTH;
  writeIcrc(bytes, end, icrc.compute(source, destination, bytes, 0, end));
  return bytes;
}
