import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { CRC32_POLYNOMIAL, type Crc32 } from '../../../src/roce/wire/crc32.js';
import { Icrc, readIcrc, writeIcrc } from '../../../src/roce/wire/icrc.js';
import { solveIdentification } from '../../../src/roce/wire/identification.js';
import { writeIpUdp } from '../../../src/roce/wire/ip.js';
import { parseGid, type UdpAddress } from '../../../src/verbs/address.js';
import { Random } from '../../../testkit/random.js';

function address(ip: string, port: number): UdpAddress {
  const parsed = parseGid(ip);
  assert.ok(parsed !== undefined);
  parsed.port = port;
  return parsed;
}

const V4 = [address('192.0.2.1', 0xc123), address('198.51.100.9', 4791)] as const;
const V6 = [address('2001:db8::1', 0xc123), address('fe80::9', 4791)] as const;
const FAMILIES = [V4, V6];

/** Bytes from a fixed seed, for tests that count how often something happens. */
function seededBytes(seed: number): (length: number) => Uint8Array {
  const random = new Random(seed);
  return (length) => {
    const bytes = new Uint8Array(length);
    random.fill(bytes);
    return bytes;
  };
}

/** A packet of random bytes with its ICRC in place. */
function sealed(
  bytes: Uint8Array,
  [source, destination]: (typeof FAMILIES)[number],
  identification: number,
): Uint8Array {
  const length = bytes.length;
  const packet = new Uint8Array(length + 4);
  packet.set(bytes);
  writeIcrc(packet, length, new Icrc().compute(source, destination, bytes, 0, length, identification));
  return packet;
}

/** The ICRC by the book: write the whole packet, set the bytes that routers may change, one CRC over all of it. */
function icrcByTheBook(
  bytes: Uint8Array,
  [source, destination]: (typeof FAMILIES)[number],
  id: number,
): number {
  const input = new Uint8Array(8 + 48 + bytes.length).fill(0xff);
  const options = { identification: id, trafficClass: 0x5a, hopLimit: 3, udpChecksum: 0x1234 };
  const headerLength = writeIpUdp(input, 8, source, destination, bytes.length + 4, options);
  const isV6 = headerLength === 48;
  const udpAt = 8 + headerLength - 8;
  const masked = isV6 ? [9, 10, 11, 15] : [9, 16, 18, 19];
  if (isV6) input[8] = 0x6f;
  input.set(bytes, 8 + headerLength);
  for (const at of [...masked, udpAt + 6, udpAt + 7, 8 + headerLength + 4]) input[at] = 0xff;
  return zlibCrc32(input.subarray(0, 8 + headerLength + bytes.length));
}

const anyPacket = fc.uint8Array({ minLength: 12, maxLength: 200 });
const anyFamily = fc.constantFrom(...FAMILIES);
const anyId = fc.oneof(fc.constantFrom(0, 1, 0x8000, 0xffff), fc.nat(0xffff));

test('the ICRC is the CRC of the masked packet', () => {
  fc.assert(
    fc.property(anyPacket, anyFamily, anyId, (bytes, family, id) => {
      assert.equal(
        new Icrc().compute(...family, bytes, 0, bytes.length, id),
        icrcByTheBook(bytes, family, id),
      );
    }),
  );
});

test('a packet in pieces has the ICRC of the packet in one piece', () => {
  const icrc = new Icrc();
  const property = (
    bytes: Uint8Array,
    family: (typeof FAMILIES)[number],
    id: number,
    a: number,
    b: number,
  ) => {
    const headerLength = 12 + (a % (bytes.length - 11));
    const cut = headerLength + (b % (bytes.length - headerLength + 1));
    const header = new Uint8Array(300);
    header.set(bytes.subarray(0, headerLength), 7);
    const started = icrc.start(...family, header, 7, headerLength, bytes.length, id);
    const middle = icrc.crc(bytes, headerLength, cut, started);
    const whole = icrc.crc(bytes, cut, bytes.length, middle);
    assert.equal(whole, icrc.compute(...family, bytes, 0, bytes.length, id));
  };
  fc.assert(fc.property(anyPacket, anyFamily, anyId, fc.nat(), fc.nat(), property));
});

test('an injected CRC computes the same ICRC', () => {
  const injected: Crc32 = (bytes, at, end, seed) => zlibCrc32(bytes.subarray(at, end), seed);
  const [ours, theirs] = [new Icrc(), new Icrc(injected)];
  fc.assert(
    fc.property(anyPacket, anyFamily, anyId, (bytes, family, id) => {
      assert.equal(
        ours.compute(...family, bytes, 0, bytes.length, id),
        theirs.compute(...family, bytes, 0, bytes.length, id),
      );
    }),
  );
});

test('a packet is found at any offset of a larger buffer', () => {
  fc.assert(
    fc.property(anyPacket, anyFamily, anyId, fc.nat(50), (bytes, family, id, at) => {
      const packet = sealed(bytes, family, id);
      const ring = new Uint8Array(at + packet.length + 9).fill(0x77);
      ring.set(packet, at);
      const icrc = new Icrc();
      assert.equal(icrc.verify(...family, ring, at, packet.length), true);
      assert.equal(icrc.lastIdentification, family === V4 ? id : 0);
    }),
  );
});

test('families alternate on one object without a trace of each other', () => {
  const icrc = new Icrc();
  const bytes = seededBytes(11)(40);
  for (let round = 0; round < 3; round += 1) {
    for (const family of FAMILIES) {
      const expected = icrcByTheBook(bytes, family, 0);
      assert.equal(icrc.compute(...family, bytes, 0, bytes.length), expected);
    }
  }
});

test('every identification is found, whatever the length', () => {
  fc.assert(
    fc.property(anyPacket, anyId, (bytes, id) => {
      const icrc = new Icrc();
      const difference =
        icrc.compute(...V4, bytes, 0, bytes.length, id) ^ icrc.compute(...V4, bytes, 0, bytes.length, 0);
      assert.equal(solveIdentification(difference, bytes.length), id);
    }),
    { numRuns: 500 },
  );
});

/** Rank over GF(2) by elimination. */
function rank(vectors: readonly number[]): number {
  const rest = [...vectors];
  let found = 0;
  for (let bit = 31; bit >= 0; bit -= 1) {
    const at = rest.findIndex((vector) => ((vector >>> bit) & 1) === 1);
    if (at < 0) continue;
    const [pivot = 0] = rest.splice(at, 1);
    for (const [i, vector] of rest.entries()) if (((vector >>> bit) & 1) === 1) rest[i] = vector ^ pivot;
    found += 1;
  }
  return found;
}

test('the 16 bits of the identification change the ICRC independently at every length', () => {
  const icrc = new Icrc();
  const bytes = new Uint8Array(4200);
  for (let length = 16; length <= bytes.length; length += length < 64 ? 1 : 52) {
    const zero = icrc.compute(...V4, bytes, 0, length, 0);
    const vectors = Array.from(
      { length: 16 },
      (_, bit) => icrc.compute(...V4, bytes, 0, length, 1 << bit) ^ zero,
    );
    assert.equal(rank(vectors), 16, `length ${length}`);
    for (const [bit, vector] of vectors.entries())
      assert.equal(solveIdentification(vector, length), 1 << bit);
  }
});

test('the longest datagram of IPv4 can be solved, and a length that cannot exist is refused', () => {
  const icrc = new Icrc();
  const bytes = new Uint8Array(65507 - 4);
  const zero = icrc.compute(...V4, bytes, 0, bytes.length, 0);
  const difference = icrc.compute(...V4, bytes, 0, bytes.length, 0xbeef) ^ zero;
  assert.equal(solveIdentification(difference, bytes.length), 0xbeef);
  assert.equal(solveIdentification(difference, 70_000), -1);
});

test('a difference just outside of what the 16 bits can make has no identification', () => {
  const icrc = new Icrc();
  const bytes = new Uint8Array(60);
  const zero = icrc.compute(...V4, bytes, 0, bytes.length, 0);
  // Bit 8 enters the CRC before the other bits of the field; a bit before it counts as one more power of x.
  let difference = icrc.compute(...V4, bytes, 0, bytes.length, 1 << 8) ^ zero;
  assert.equal(solveIdentification(difference, bytes.length), 1 << 8);
  for (let power = 1; power <= 16; power += 1) {
    difference = (difference >>> 1) ^ ((difference & 1) === 0 ? 0 : CRC32_POLYNOMIAL);
    assert.equal(solveIdentification(difference, bytes.length), -1, `${power} bits ahead of the field`);
  }
});

test('over IPv6 no identification excuses a difference', () => {
  const [bytes, icrc] = [seededBytes(9)(60), new Icrc()];
  const effect = icrc.compute(...V4, bytes, 0, 60, 0x718c) ^ icrc.compute(...V4, bytes, 0, 60, 0);
  for (const family of FAMILIES) {
    const packet = sealed(bytes, family, 0);
    writeIcrc(packet, 60, readIcrc(packet, 60) ^ effect);
    assert.equal(icrc.verify(...family, packet, 0, packet.length), family === V4);
  }
});

test('every single bit that flips is noticed, but for the byte that routers may change', () => {
  for (const [family, id] of [
    [V4, 0],
    [V4, 0x718c],
    [V6, 0],
  ] as const) {
    const packet = sealed(seededBytes(5)(64), family, id);
    const icrc = new Icrc();
    for (let bit = 0; bit < packet.length * 8; bit += 1) {
      const at = bit >>> 3;
      packet[at] = (packet[at] as number) ^ (1 << (bit & 7));
      assert.equal(icrc.verify(...family, packet, 0, packet.length), at === 4, `bit ${bit}`);
      packet[at] = (packet[at] as number) ^ (1 << (bit & 7));
    }
    assert.deepEqual([icrc.accepted, icrc.refused], [8, packet.length * 8 - 8]);
  }
});

test('random bytes pass over IPv4 about once in 65536 tries', () => {
  const random = seededBytes(0x5eed);
  const tries = 200_000;
  const icrc = new Icrc();
  for (let i = 0; i < tries; i += 1) icrc.verify(...V4, random(20), 0, 20);
  // Three are expected; the seed is fixed, so this is one number and not a matter of luck.
  assert.ok(icrc.accepted >= 1 && icrc.accepted <= 9, `${icrc.accepted} accepted`);
  assert.equal(icrc.accepted, icrc.solved);
  assert.equal(icrc.refused, tries - icrc.accepted);
});

test('another address or port than the packet was made for is noticed', () => {
  for (const family of FAMILIES) {
    const packet = sealed(seededBytes(3)(32), family, 0);
    const icrc = new Icrc();
    assert.equal(icrc.verify(...family, packet, 0, packet.length), true);
    for (const which of [0, 1] as const) {
      for (const field of ['w3', 'port'] as const) {
        const changed = family.map((item) => Object.assign(address('::', 0), item)) as [
          UdpAddress,
          UdpAddress,
        ];
        changed[which][field] ^= 1;
        assert.equal(icrc.verify(...changed, packet, 0, packet.length), false, `${which} ${field}`);
      }
    }
  }
});

test('a datagram too short for a BTH and an ICRC is refused', () => {
  const icrc = new Icrc();
  for (let length = -1; length < 16; length += 1) {
    assert.equal(icrc.verify(...V4, new Uint8Array(16), 0, length), false);
  }
  assert.equal(icrc.refused, 17);
  // Enough tries for some to pass by chance, were the length not looked at.
  const random = seededBytes(0x12);
  for (let i = 0; i < 400_000; i += 1) icrc.verify(...V4, random(12), 0, 12);
  assert.equal(icrc.accepted, 0);
});

test('the ICRC is stored low byte first', () => {
  const bytes = new Uint8Array(6);
  writeIcrc(bytes, 1, 0x82fd002a);
  assert.deepEqual([...bytes], [0, 0x2a, 0x00, 0xfd, 0x82, 0]);
  assert.equal(readIcrc(bytes, 1), 0x82fd002a);
});
