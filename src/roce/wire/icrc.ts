/**
 * The invariant CRC that ends every packet: a CRC-32 over a pseudo header (the IP, UDP and base transport headers with
 * all that routers may change set to ones) and the rest of the packet, stored low byte first.
 *
 * The pseudo header needs fields that a UDP socket does not show. IPv6 has none of these. Over IPv4 the flags are taken
 * to be DF, and the identification is an argument when sending; when receiving, 0 is tried first, and then the only
 * identification that would fit is computed (identification.ts). A packet that fits none is corrupted; one corrupted
 * packet in 2^16 fits by chance, where a known identification would let one in 2^32 pass.
 *
 * Invariants: nothing is allocated per call. Lengths named `length` are of the UDP payload without the ICRC. Source and
 * destination are of one family, which is read off the destination.
 */
import { isIpv4, type UdpAddress } from '../../verbs/address.js';
import { BTH_LENGTH, ICRC_LENGTH } from './bth.js';
import { writeU16, writeU32 } from './bytes.js';
import { type Crc32, crc32 } from './crc32.js';
import { solveIdentification } from './identification.js';
import { IPV4_DF, IPV4_LENGTH, IPV6_LENGTH, PROTOCOL_UDP, UDP_LENGTH, writeAddress } from './ip.js';

/** CRC-32 of the 8 bytes of ones that stand for the local routing header of InfiniBand. */
const START = 0x2144df1c;

export function writeIcrc(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export const readIcrc = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0;

/** A pseudo header whose constant bytes are already in place. */
function pseudoHeader(ipLength: number): Uint8Array {
  const scratch = new Uint8Array(ipLength + UDP_LENGTH + BTH_LENGTH).fill(0xff);
  if (ipLength === IPV4_LENGTH) {
    scratch[0] = 0x45;
    writeU16(scratch, 6, IPV4_DF);
    scratch[9] = PROTOCOL_UDP;
  } else {
    scratch[0] = 0x6f;
    scratch[6] = PROTOCOL_UDP;
  }
  return scratch;
}

export class Icrc {
  /** The CRC in use, to continue from {@link start}. */
  readonly crc: Crc32;
  /** Packets that `verify` accepted, and refused. */
  accepted = 0;
  refused = 0;
  /** Of the accepted ones, those whose IPv4 identification was not 0 and had to be solved for. */
  solved = 0;
  /** The IPv4 identification of the packet that `verify` accepted last; 0 over IPv6. */
  lastIdentification = 0;
  readonly #ipv4 = pseudoHeader(IPV4_LENGTH);
  readonly #ipv6 = pseudoHeader(IPV6_LENGTH);

  constructor(crc: Crc32 = crc32) {
    this.crc = crc;
  }

  /** The ICRC of the packet bytes[at, at + length), headers, payload and pad in one piece. */
  compute(
    source: UdpAddress,
    destination: UdpAddress,
    bytes: Uint8Array,
    at: number,
    length: number,
    ipv4Id = 0,
  ): number {
    return this.start(source, destination, bytes, at, length, length, ipv4Id);
  }

  /**
   * The running CRC after the pseudo header and the packet's first `headerLength` bytes (BTH and extension headers, 12
   * or more), which are bytes[at, at + headerLength). Continue with `crc(bytes, at, end, running)` over payload and pad;
   * what comes out last is the ICRC.
   *
   * @param length of headers, payload and pad together: the UDP payload without the ICRC.
   */
  start(
    source: UdpAddress,
    destination: UdpAddress,
    bytes: Uint8Array,
    at: number,
    headerLength: number,
    length: number,
    ipv4Id = 0,
  ): number {
    const udpLength = UDP_LENGTH + length + ICRC_LENGTH;
    const scratch = isIpv4(destination) ? this.#ipv4 : this.#ipv6;
    const udpAt = scratch.length - UDP_LENGTH - BTH_LENGTH;
    if (udpAt === IPV4_LENGTH) {
      writeU16(scratch, 2, IPV4_LENGTH + udpLength);
      writeU16(scratch, 4, ipv4Id);
      writeU32(scratch, 12, source.w3);
      writeU32(scratch, 16, destination.w3);
    } else {
      writeU16(scratch, 4, udpLength);
      writeAddress(scratch, 8, source);
      writeAddress(scratch, 24, destination);
    }
    writeU16(scratch, udpAt, source.port);
    writeU16(scratch, udpAt + 2, destination.port);
    writeU16(scratch, udpAt + 4, udpLength);
    const bthAt = udpAt + UDP_LENGTH;
    for (let i = 0; i < BTH_LENGTH; i += 1) scratch[bthAt + i] = bytes[at + i] as number;
    scratch[bthAt + 4] = 0xff;
    const running = this.crc(scratch, 0, scratch.length, START);
    return headerLength === BTH_LENGTH
      ? running
      : this.crc(bytes, at + BTH_LENGTH, at + headerLength, running);
  }

  /** Whether the packet bytes[at, at + lengthWithIcrc) ends with the right ICRC. A shorter one than 16 bytes does not. */
  verify(
    source: UdpAddress,
    destination: UdpAddress,
    bytes: Uint8Array,
    at: number,
    lengthWithIcrc: number,
  ): boolean {
    const length = lengthWithIcrc - ICRC_LENGTH;
    if (length < BTH_LENGTH) return this.#refuse();
    const found = readIcrc(bytes, at + length);
    const computed = this.compute(source, destination, bytes, at, length, 0);
    if (found === computed) return this.#accept(0);
    if (!isIpv4(destination)) return this.#refuse();
    const identification = solveIdentification(found ^ computed, length);
    if (identification < 0) return this.#refuse();
    this.solved += 1;
    return this.#accept(identification);
  }

  #accept(identification: number): true {
    this.accepted += 1;
    this.lastIdentification = identification;
    return true;
  }

  #refuse(): false {
    this.refused += 1;
    return false;
  }
}
