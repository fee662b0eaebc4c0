/**
 * IP and UDP headers around a packet: for capture files and tests. Sockets write their own.
 *
 * Invariants: IPv4 has no options and DF set, IPv6 no extension headers and flow label 0. Parsing never throws;
 * fragments, options and anything that is not UDP are refused. UDP checksums are handed through, not verified.
 */
import { isIpv4, UdpAddress } from '../../verbs/address.js';
import { readI32, readU16, writeU16, writeU32 } from './bytes.js';

export const IPV4_LENGTH = 20;
export const IPV6_LENGTH = 40;
export const UDP_LENGTH = 8;
export const PROTOCOL_UDP = 17;
/** Don't fragment, in the 16 bits of flags and fragment offset. */
export const IPV4_DF = 0x4000;
/** More fragments, or a fragment offset. */
const IPV4_FRAGMENT = 0x3fff;

export interface IpUdpOptions {
  /** IPv4 only. Default 0. */
  readonly identification?: number;
  /** TOS of IPv4. Default 0. */
  readonly trafficClass?: number;
  /** TTL of IPv4. Default 64. */
  readonly hopLimit?: number;
  /** As it shall appear. Default 0 = none. */
  readonly udpChecksum?: number;
}

const DEFAULTS: IpUdpOptions = {};

/** Bytes that `writeIpUdp` writes towards `destination`. */
export const ipUdpLength = (destination: UdpAddress): number =>
  (isIpv4(destination) ? IPV4_LENGTH : IPV6_LENGTH) + UDP_LENGTH;

/**
 * Writes the headers before a UDP payload of `udpPayloadLength` bytes (ICRC included), of the family of `destination`.
 * Returns the bytes written: 28 or 48.
 */
export function writeIpUdp(
  bytes: Uint8Array,
  at: number,
  source: UdpAddress,
  destination: UdpAddress,
  udpPayloadLength: number,
  options: IpUdpOptions = DEFAULTS,
): number {
  const udpLength = UDP_LENGTH + udpPayloadLength;
  const udpAt = isIpv4(destination)
    ? writeIpv4(bytes, at, source, destination, udpLength, options)
    : writeIpv6(bytes, at, source, destination, udpLength, options);
  writeU16(bytes, udpAt, source.port);
  writeU16(bytes, udpAt + 2, destination.port);
  writeU16(bytes, udpAt + 4, udpLength);
  writeU16(bytes, udpAt + 6, options.udpChecksum ?? 0);
  return udpAt + UDP_LENGTH - at;
}

function writeIpv4(
  bytes: Uint8Array,
  at: number,
  source: UdpAddress,
  destination: UdpAddress,
  udpLength: number,
  options: IpUdpOptions,
): number {
  bytes[at] = 0x45;
  bytes[at + 1] = options.trafficClass ?? 0;
  writeU16(bytes, at + 2, IPV4_LENGTH + udpLength);
  writeU16(bytes, at + 4, options.identification ?? 0);
  writeU16(bytes, at + 6, IPV4_DF);
  bytes[at + 8] = options.hopLimit ?? 64;
  bytes[at + 9] = PROTOCOL_UDP;
  writeU16(bytes, at + 10, 0);
  writeU32(bytes, at + 12, source.w3);
  writeU32(bytes, at + 16, destination.w3);
  writeU16(bytes, at + 10, internetChecksum(bytes, at, IPV4_LENGTH));
  return at + IPV4_LENGTH;
}

function writeIpv6(
  bytes: Uint8Array,
  at: number,
  source: UdpAddress,
  destination: UdpAddress,
  udpLength: number,
  options: IpUdpOptions,
): number {
  writeU32(bytes, at, (6 << 28) | ((options.trafficClass ?? 0) << 20));
  writeU16(bytes, at + 4, udpLength);
  bytes[at + 6] = PROTOCOL_UDP;
  bytes[at + 7] = options.hopLimit ?? 64;
  writeAddress(bytes, at + 8, source);
  writeAddress(bytes, at + 24, destination);
  return at + IPV6_LENGTH;
}

/** The 16 bytes of an IPv6 address or GID. */
export function writeAddress(bytes: Uint8Array, at: number, address: UdpAddress): void {
  writeU32(bytes, at, address.w0);
  writeU32(bytes, at + 4, address.w1);
  writeU32(bytes, at + 8, address.w2);
  writeU32(bytes, at + 12, address.w3);
}

/** RFC 1071, over an even number of bytes; 0 over a header that holds its own right checksum. */
function internetChecksum(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0;
  for (let i = at; i < at + length; i += 2) sum += readU16(bytes, i);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** What `parseIpUdp` found. */
export class IpUdpView {
  readonly source = new UdpAddress();
  readonly destination = new UdpAddress();
  /** 0 for IPv6, as are the two fields that follow. */
  identification = 0;
  dontFragment = false;
  /** Whether the checksum of the IPv4 header is right; always true for IPv6. */
  headerChecksumValid = true;
  trafficClass = 0;
  hopLimit = 0;
  udpChecksum = 0;
  payloadAt = 0;
  payloadLength = 0;
}

/**
 * Parses bytes[at, at + length), from the IP header on, into `view`; bytes after the IP packet (Ethernet padding) are
 * ignored. Returns whether it is a whole UDP datagram; if not, the view's content is undefined.
 */
export function parseIpUdp(view: IpUdpView, bytes: Uint8Array, at: number, length: number): boolean {
  if (at < 0 || at + length > bytes.length || length < IPV4_LENGTH + UDP_LENGTH) return false;
  const version = (bytes[at] as number) >>> 4;
  if (version === 4) return parseIpv4Header(view, bytes, at, length);
  return version === 6 && length >= IPV6_LENGTH + UDP_LENGTH && parseIpv6Header(view, bytes, at, length);
}

function parseIpv4Header(view: IpUdpView, bytes: Uint8Array, at: number, length: number): boolean {
  const totalLength = readU16(bytes, at + 2);
  const flags = readU16(bytes, at + 6);
  if (bytes[at] !== 0x45 || bytes[at + 9] !== PROTOCOL_UDP || (flags & IPV4_FRAGMENT) !== 0) return false;
  if (totalLength > length) return false;
  view.identification = readU16(bytes, at + 4);
  view.dontFragment = (flags & IPV4_DF) !== 0;
  view.headerChecksumValid = internetChecksum(bytes, at, IPV4_LENGTH) === 0;
  view.trafficClass = bytes[at + 1] as number;
  view.hopLimit = bytes[at + 8] as number;
  setIpv4(view.source, readI32(bytes, at + 12));
  setIpv4(view.destination, readI32(bytes, at + 16));
  return parseUdpHeader(view, bytes, at + IPV4_LENGTH, totalLength - IPV4_LENGTH);
}

function parseIpv6Header(view: IpUdpView, bytes: Uint8Array, at: number, length: number): boolean {
  const udpLength = readU16(bytes, at + 4);
  if (bytes[at + 6] !== PROTOCOL_UDP || IPV6_LENGTH + udpLength > length) return false;
  view.identification = 0;
  view.dontFragment = false;
  view.headerChecksumValid = true;
  view.trafficClass = (readU16(bytes, at) >>> 4) & 255;
  view.hopLimit = bytes[at + 7] as number;
  readAddress(bytes, at + 8, view.source);
  readAddress(bytes, at + 24, view.destination);
  return parseUdpHeader(view, bytes, at + IPV6_LENGTH, udpLength);
}

function parseUdpHeader(view: IpUdpView, bytes: Uint8Array, at: number, ipPayloadLength: number): boolean {
  if (ipPayloadLength < UDP_LENGTH || readU16(bytes, at + 4) !== ipPayloadLength) return false;
  view.source.port = readU16(bytes, at);
  view.destination.port = readU16(bytes, at + 2);
  view.udpChecksum = readU16(bytes, at + 6);
  view.payloadAt = at + UDP_LENGTH;
  view.payloadLength = ipPayloadLength - UDP_LENGTH;
  return true;
}

function setIpv4(address: UdpAddress, word: number): void {
  address.w0 = 0;
  address.w1 = 0;
  address.w2 = 0xffff;
  address.w3 = word;
}

/** Reads the 16 bytes of an IPv6 address or GID; the port stays. */
export function readAddress(bytes: Uint8Array, at: number, address: UdpAddress): void {
  address.w0 = readI32(bytes, at);
  address.w1 = readI32(bytes, at + 4);
  address.w2 = readI32(bytes, at + 8);
  address.w3 = readI32(bytes, at + 12);
}
