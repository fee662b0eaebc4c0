import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  IpUdpView,
  ipUdpLength,
  parseIpUdp,
  readAddress,
  writeAddress,
  writeIpUdp,
} from '../../../src/roce/wire/ip.js';
import { parseGid, sameGid, type UdpAddress } from '../../../src/verbs/address.js';
import { toHex } from '../../../testkit/worked-packets.js';

function address(ip: string, port: number): UdpAddress {
  const parsed = parseGid(ip);
  assert.ok(parsed !== undefined);
  parsed.port = port;
  return parsed;
}

const V4 = [address('192.0.2.1', 0xc123), address('198.51.100.9', 4791)] as const;
const V6 = [address('2001:db8::1', 0xc123), address('fe80::9', 4791)] as const;

function datagram(family: typeof V4 | typeof V6, payloadLength: number): Uint8Array {
  const bytes = new Uint8Array(ipUdpLength(family[1]) + payloadLength);
  writeIpUdp(bytes, 0, ...family, payloadLength);
  return bytes;
}

test('an IPv4 header has DF, a right checksum and the defaults', () => {
  const bytes = datagram(V4, 16);
  assert.equal(toHex(bytes.subarray(0, 28)), '4500002c0000400040114e83c0000201c6336409c12312b700180000');
});

test('an IPv6 header has the defaults', () => {
  const expected = `6000000000181140${'20010db8000000000000000000000001'}${'fe800000000000000000000000000009'}`;
  assert.equal(toHex(datagram(V6, 16).subarray(0, 48)), `${expected}c12312b700180000`);
});

test('what is written is read back, at any offset and with bytes that follow', () => {
  const octet = fc.nat(255);
  const property = (
    family: typeof V4 | typeof V6,
    [payloadLength, at, after]: [number, number, number],
    [identification, udpChecksum]: [number, number],
    [trafficClass, hopLimit]: [number, number],
  ) => {
    const length = ipUdpLength(family[1]) + payloadLength;
    const bytes = new Uint8Array(at + length + after).fill(0xee);
    const options = { identification, udpChecksum, trafficClass, hopLimit };
    assert.equal(writeIpUdp(bytes, at, ...family, payloadLength, options), length - payloadLength);
    const view = new IpUdpView();
    assert.equal(parseIpUdp(view, bytes, at, length + after), true);
    assert.ok(sameGid(view.source, family[0]) && sameGid(view.destination, family[1]));
    assert.deepEqual([view.source.port, view.destination.port], [family[0].port, family[1].port]);
    assert.deepEqual([view.payloadAt, view.payloadLength], [at + length - payloadLength, payloadLength]);
    assert.deepEqual(
      [view.trafficClass, view.hopLimit, view.udpChecksum],
      [trafficClass, hopLimit, udpChecksum],
    );
    assert.equal(view.identification, family === V4 ? identification : 0);
    assert.deepEqual([view.headerChecksumValid, view.dontFragment], [true, family === V4]);
  };
  const numbers = [
    fc.tuple(fc.nat(100), fc.nat(9), fc.nat(9)),
    fc.tuple(fc.nat(0xffff), fc.nat(0xffff)),
  ] as const;
  fc.assert(fc.property(fc.constantFrom(V4, V6), ...numbers, fc.tuple(octet, octet), property));
});

test('a wrong IPv4 header checksum is told, and not a reason to refuse', () => {
  const bytes = datagram(V4, 16);
  bytes[10] = (bytes[10] as number) ^ 1;
  const view = new IpUdpView();
  assert.equal(parseIpUdp(view, bytes, 0, bytes.length), true);
  assert.equal(view.headerChecksumValid, false);
});

test('what is not one whole UDP datagram is refused', () => {
  const cases: readonly (readonly [string, typeof V4 | typeof V6, number, number])[] = [
    ['IPv4 options', V4, 0, 0x46],
    ['version 5', V4, 0, 0x55],
    ['more fragments', V4, 6, 0x60],
    ['fragment offset', V4, 7, 1],
    ['TCP', V4, 9, 6],
    ['total length beyond the bytes', V4, 3, 45],
    ['total length that differs from the UDP length', V4, 3, 43],
    ['total length below the headers', V4, 3, 20],
    ['UDP length that differs', V4, 25, 23],
    ['IPv6 extension header', V6, 6, 0],
    ['payload length beyond the bytes', V6, 5, 25],
    ['payload length below the UDP header', V6, 5, 7],
    ['UDP length that differs over IPv6', V6, 45, 25],
  ];
  for (const [name, family, at, value] of cases) {
    const bytes = datagram(family, 16);
    assert.equal(parseIpUdp(new IpUdpView(), bytes, 0, bytes.length), true);
    bytes[at] = value;
    assert.equal(parseIpUdp(new IpUdpView(), bytes, 0, bytes.length), false, name);
  }
  for (const [family, lengthAt, ipHeader] of [
    [V4, 3, 20],
    [V6, 5, 0],
  ] as const) {
    const bytes = datagram(family, 16);
    bytes[lengthAt] = ipHeader + 7;
    bytes[family === V4 ? 25 : 45] = 7;
    assert.equal(parseIpUdp(new IpUdpView(), bytes, 0, bytes.length), false, 'both lengths below the header');
  }
  for (const family of [V4, V6]) {
    const bytes = datagram(family, 16);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(parseIpUdp(new IpUdpView(), bytes, 0, length), false);
    }
    assert.equal(parseIpUdp(new IpUdpView(), bytes, 1, bytes.length), false);
  }
});

test('random bytes never throw, and what is accepted lies inside them', () => {
  const start = fc.constantFrom([], [0x45], [0x60]);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (head, tail) => {
      const bytes = Uint8Array.from([...head, ...tail]);
      const view = new IpUdpView();
      if (!parseIpUdp(view, bytes, 0, bytes.length)) return;
      assert.ok(view.payloadAt >= 28 && view.payloadLength >= 0);
      assert.ok(view.payloadAt + view.payloadLength <= bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test('the 16 bytes of a GID survive', () => {
  const bytes = new Uint8Array(20);
  writeAddress(bytes, 2, V6[0]);
  assert.equal(toHex(bytes), '000020010db80000000000000000000000010000');
  const read = address('::', 7);
  readAddress(bytes, 2, read);
  assert.ok(sameGid(read, V6[0]));
  assert.equal(read.port, 7);
});
