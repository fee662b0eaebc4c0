/**
 * Where a datagram comes from or goes to: an IP address in the form of a GID (IPv4 as ::ffff:a.b.c.d) and a UDP port.
 *
 * Invariants: the four words are int32 in network order, w0 first, so that comparing and hashing needs no strings. Text
 * is read strictly: no zone (`withoutZone`), no leading zeros in IPv4, no more than one `::`.
 */

export class UdpAddress {
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;
  port = 0;
}

const IPV4_PREFIX = 0xffff;
const GROUPS = 8;

/** Whether the address is an IPv4 address in the form of a GID. */
export const isIpv4 = (a: UdpAddress): boolean => a.w0 === 0 && a.w1 === 0 && a.w2 === IPV4_PREFIX;

/** Whether two addresses have the same IP address; ports are not compared. */
export const sameGid = (a: UdpAddress, b: UdpAddress): boolean =>
  a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0;

export function copyAddress(from: UdpAddress, to: UdpAddress): void {
  to.w0 = from.w0;
  to.w1 = from.w1;
  to.w2 = from.w2;
  to.w3 = from.w3;
  to.port = from.port;
}

/** Reads IPv4 or IPv6 text; port 0. Undefined for anything else. */
export function parseGid(text: string): UdpAddress | undefined {
  const address = new UdpAddress();
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) {
    address.w2 = IPV4_PREFIX;
    address.w3 = ipv4;
    return address;
  }
  const groups = parseIpv6(text);
  if (groups === undefined) return undefined;
  const word = (at: number): number => ((groups[at] as number) << 16) | (groups[at + 1] as number);
  address.w0 = word(0);
  address.w1 = word(2);
  address.w2 = word(4);
  address.w3 = word(6);
  return address;
}

/** `fe80::1` of `fe80::1%eth0`: a link-local address names its interface. Any other text as it is. */
export const withoutZone = (text: string): string =>
  /^(fe[89ab][0-9a-f]:[^%]*)%[^%]+$/i.exec(text)?.[1] ?? text;

/** Whether no packet to it leaves this machine: 127.0.0.0/8 and ::1. */
export const isLoopback = (a: UdpAddress): boolean =>
  isIpv4(a) ? a.w3 >>> 24 === 127 : (a.w0 | a.w1 | a.w2) === 0 && a.w3 === 1;

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    // A leading zero would be octal to some readers and decimal to others.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    word = (word << 8) | Number(part);
  }
  return word;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [before = '', after] = halves;
  const head = parseGroups(before, after === undefined);
  const tail = parseGroups(after ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = GROUPS - head.length - tail.length;
  // `::` stands for one group at least, and without it none may be missing.
  if (after === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** The groups of one side of `::`; only the last two of an address may be written as IPv4. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const ipv4 = isEnd && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (ipv4 === undefined) return undefined;
    groups.push(ipv4 >>> 16, ipv4 & 0xffff);
  }
  return groups;
}

/** The GID as text: `::ffff:192.0.2.1` for IPv4, the IPv6 address otherwise. */
export const formatGid = (a: UdpAddress): string =>
  isIpv4(a) ? `::ffff:${formatIpv4(a.w3)}` : formatIpv6(a);

/** The IP address as programs write it: `192.0.2.1` or an IPv6 address. */
export const formatIp = (a: UdpAddress): string => (isIpv4(a) ? formatIpv4(a.w3) : formatIpv6(a));

const formatIpv4 = (word: number): string =>
  `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;

/** RFC 5952: lower case, no leading zeros, the first of the longest runs of two zero groups or more becomes `::`. */
function formatIpv6(a: UdpAddress): string {
  const groups = [a.w0, a.w1, a.w2, a.w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  let bestAt = 0;
  let bestLength = 0;
  for (let at = 0; at < GROUPS; at += 1) {
    let end = at;
    while (groups[end] === 0) end += 1;
    if (end - at > bestLength) {
      bestAt = at;
      bestLength = end - at;
    }
  }
  const join = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return bestLength < 2 ? join(0, GROUPS) : `${join(0, bestAt)}::${join(bestAt + bestLength, GROUPS)}`;
}
