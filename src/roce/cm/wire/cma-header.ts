/**
 * The 36 bytes that rdma_cm puts before the private data of REQ and SIDR_REQ: which addresses the programs asked for.
 *
 *     0      CMA version, 0
 *     1      IP version (bits 7-4): 4 or 6
 *     2-3    source port; the destination port is in the service ID
 *     4-19   source address; IPv4 in the last 4 bytes behind zeros, not behind ::ffff:
 *     20-35  destination address
 *
 * Invariant: addresses come out as GIDs, IPv4 as ::ffff:a.b.c.d, and both are of the family that the header names.
 */
import { isIpv4, UdpAddress } from '../../../verbs/address.js';
import { readU16, writeU16, writeU32 } from '../../wire/bytes.js';
import { readAddress, writeAddress } from '../../wire/ip.js';

export const CMA_HEADER_BYTES = 36;
const CMA_VERSION = 0;
const IPV4_WORD = 0xffff;

export interface CmaHeader {
  readonly sourcePort: number;
  readonly source: UdpAddress;
  readonly destination: UdpAddress;
}

/** Undefined for other versions, and for IPv4 addresses that do not stand behind zeros. */
export function readCmaHeader(bytes: Uint8Array, at: number): CmaHeader | undefined {
  const ipVersion = (bytes[at + 1] as number) >>> 4;
  if (bytes[at] !== CMA_VERSION || (ipVersion !== 4 && ipVersion !== 6)) return undefined;
  const source = readFamily(bytes, at + 4, ipVersion);
  const destination = readFamily(bytes, at + 20, ipVersion);
  if (source === undefined || destination === undefined) return undefined;
  return { sourcePort: readU16(bytes, at + 2), source, destination };
}

function readFamily(bytes: Uint8Array, at: number, ipVersion: number): UdpAddress | undefined {
  const address = new UdpAddress();
  readAddress(bytes, at, address);
  if (ipVersion === 6) return isIpv4(address) ? undefined : address;
  if ((address.w0 | address.w1 | address.w2) !== 0) return undefined;
  address.w2 = IPV4_WORD;
  return address;
}

/** Both addresses are of one family. */
export function writeCmaHeader(bytes: Uint8Array, at: number, header: CmaHeader): void {
  bytes[at] = CMA_VERSION;
  bytes[at + 1] = isIpv4(header.destination) ? 0x40 : 0x60;
  writeU16(bytes, at + 2, header.sourcePort);
  writeFamily(bytes, at + 4, header.source);
  writeFamily(bytes, at + 20, header.destination);
}

function writeFamily(bytes: Uint8Array, at: number, address: UdpAddress): void {
  writeAddress(bytes, at, address);
  if (isIpv4(address)) writeU32(bytes, at + 8, 0);
}
