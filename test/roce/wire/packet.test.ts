import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DROP_REASON_COUNT, DropReason } from '../../../src/roce/drop-reason.js';
import { ICRC_LENGTH, padCountOf, writeBth } from '../../../src/roce/wire/bth.js';
import { Opcode, opcodeFlags, opcodeHeaderLength } from '../../../src/roce/wire/opcodes.js';
import { PacketView, parsePacket } from '../../../src/roce/wire/packet.js';
import { OPCODE_FACTS } from './opcode-facts.js';

const QPN = 0xabcdef;
const PSN = 0x123456;

/** A packet of `opcode` with `payloadLength` bytes and the pad for it; the ICRC is zero. */
function packetOf(opcode: number, payloadLength: number): Uint8Array {
  const padCount = padCountOf(payloadLength);
  const headerLength = opcodeHeaderLength[opcode] as number;
  const bytes = new Uint8Array(headerLength + payloadLength + padCount + ICRC_LENGTH);
  writeBth(bytes, 0, opcode, 1, padCount, QPN, 1, PSN);
  return bytes;
}

function parse(bytes: Uint8Array, view = new PacketView()): DropReason {
  return parsePacket(view, bytes, 0, bytes.length);
}

test('every opcode with payload survives at every pad', () => {
  for (const { opcode, name, flags } of OPCODE_FACTS) {
    for (const payloadLength of flags.includes('PAYLOAD') && name !== 'CNP'
      ? [0, 1, 2, 3, 4, 1024, 4095]
      : [0]) {
      const packet = packetOf(opcode, payloadLength);
      const ring = new Uint8Array(packet.length + 20);
      ring.set(packet, 9);
      const view = new PacketView();
      assert.equal(parsePacket(view, ring, 9, packet.length), DropReason.NONE, name);
      assert.equal(view.bytes, ring);
      assert.deepEqual([view.at, view.opcode, view.flags], [9, opcode, opcodeFlags[opcode]]);
      assert.deepEqual([view.destQpn, view.psn, view.pkey], [QPN, PSN, 0xffff]);
      assert.deepEqual([view.solicited, view.ackReq], [1, 1]);
      assert.deepEqual([view.payloadLength, view.padCount], [payloadLength, padCountOf(payloadLength)]);
      assert.equal(view.payloadAt, 9 + (opcodeHeaderLength[opcode] as number));
    }
  }
});

test('every opcode refuses a datagram that is too short for its headers', () => {
  for (const { opcode, name } of OPCODE_FACTS) {
    const whole = packetOf(opcode, 0);
    for (let length = 0; length < whole.length; length += 1) {
      const reason = parse(whole.subarray(0, length));
      assert.equal(
        reason,
        length < 16 ? DropReason.TOO_SHORT : DropReason.BAD_LENGTH,
        `${name} in ${length} bytes`,
      );
    }
  }
});

test('an opcode that carries no payload refuses one', () => {
  for (const { opcode, name, flags } of OPCODE_FACTS) {
    if (flags.includes('PAYLOAD')) continue;
    for (const payloadLength of [1, 4, 1024]) {
      assert.equal(parse(packetOf(opcode, payloadLength)), DropReason.BAD_LENGTH, name);
    }
  }
});

test('a CNP carries its 16 reserved bytes or nothing', () => {
  for (const payloadLength of [0, 16])
    assert.equal(parse(packetOf(Opcode.CNP, payloadLength)), DropReason.NONE);
  for (const payloadLength of [4, 12, 20, 1024]) {
    assert.equal(parse(packetOf(Opcode.CNP, payloadLength)), DropReason.BAD_LENGTH);
  }
});

test('a pad that the datagram has no room for, or that does not fill up to four, is refused', () => {
  const empty = packetOf(Opcode.RC_SEND_ONLY, 0);
  for (const padCount of [1, 2, 3]) {
    empty[1] = padCount << 4;
    assert.equal(parse(empty), DropReason.BAD_PAD);
  }
  const ack = packetOf(Opcode.RC_ACKNOWLEDGE, 0);
  ack[1] = 0x10;
  assert.equal(parse(ack), DropReason.BAD_PAD);
  for (const excess of [1, 2, 3, 5]) {
    const bytes = new Uint8Array(packetOf(Opcode.RC_SEND_ONLY, 8).length + excess);
    bytes.set(packetOf(Opcode.RC_SEND_ONLY, 8));
    assert.equal(parse(bytes), DropReason.BAD_PAD);
  }
});

test('a version other than 0 and an unknown opcode are told apart', () => {
  for (let version = 1; version < 16; version += 1) {
    const bytes = packetOf(Opcode.RC_SEND_ONLY, 4);
    bytes[1] = (bytes[1] as number) | version;
    assert.equal(parse(bytes), DropReason.BAD_VERSION);
  }
  const known = new Set(OPCODE_FACTS.map((facts) => facts.opcode));
  for (let opcode = 0; opcode < 256; opcode += 1) {
    const bytes = packetOf(Opcode.RC_SEND_ONLY, 64);
    bytes[0] = opcode;
    assert.equal(parse(bytes) === DropReason.UNKNOWN_OPCODE, !known.has(opcode), `opcode ${opcode}`);
  }
});

test('what is refused for its opcode or lengths still shows its BTH, and no payload', () => {
  const view = new PacketView();
  assert.equal(parse(packetOf(Opcode.RC_SEND_ONLY, 100), view), DropReason.NONE);
  const bytes = packetOf(Opcode.RC_ACKNOWLEDGE, 8);
  assert.equal(parse(bytes, view), DropReason.BAD_LENGTH);
  assert.deepEqual([view.opcode, view.destQpn, view.psn], [Opcode.RC_ACKNOWLEDGE, QPN, PSN]);
  assert.equal(view.payloadLength, 0);
});

test('MigReq, FECN, BECN and reserved bits are not a reason to refuse', () => {
  const bytes = packetOf(Opcode.RC_SEND_ONLY, 4);
  bytes[1] = (bytes[1] as number) | 0x40;
  bytes[4] = 0xff;
  bytes[8] = 0xff;
  const view = new PacketView();
  assert.equal(parse(bytes, view), DropReason.NONE);
  assert.deepEqual([view.ackReq, view.psn], [1, PSN]);
});

test('a datagram that its buffer does not hold is refused', () => {
  const bytes = packetOf(Opcode.RC_SEND_ONLY, 4);
  const view = new PacketView();
  assert.equal(parsePacket(view, bytes, 1, bytes.length), DropReason.TRUNCATED_BY_PORT);
  assert.equal(parsePacket(view, bytes, -1, bytes.length), DropReason.TRUNCATED_BY_PORT);
  assert.equal(parsePacket(view, bytes, 0, bytes.length + 1), DropReason.TRUNCATED_BY_PORT);
});

/** Checks what holds for any datagram whatever; returns the reason. */
function checkAny(bytes: Uint8Array, at: number, length: number): DropReason {
  const view = new PacketView();
  const before = bytes.slice();
  const reason = parsePacket(view, bytes, at, length);
  assert.ok(Number.isInteger(reason) && reason >= 0 && reason < DROP_REASON_COUNT);
  assert.deepEqual(bytes, before);
  if (reason !== DropReason.NONE) {
    assert.equal(view.payloadLength, 0);
    return reason;
  }
  assert.ok(view.flags !== 0 && view.payloadLength >= 0);
  assert.equal(view.payloadAt, at + (opcodeHeaderLength[view.opcode] as number));
  assert.equal(view.payloadAt + view.payloadLength + view.padCount + ICRC_LENGTH, at + length);
  assert.ok(at + length <= bytes.length);
  return reason;
}

test('random bytes never throw and always have a reason', () => {
  const index = fc.integer({ min: -4, max: 140 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 128 }), index, index, (bytes, at, length) => {
      checkAny(bytes, at, length);
      checkAny(bytes, 0, bytes.length);
    }),
    { numRuns: 3000 },
  );
});

test('real packets with a few bytes changed, cut or added have a reason, and all reasons occur', () => {
  const seen = new Set<DropReason>();
  const anyOpcode = fc.constantFrom(...OPCODE_FACTS.map((facts) => facts.opcode));
  const change = fc.tuple(fc.nat(15), fc.nat(255));
  const property = (opcode: number, size: number, changes: [number, number][], grow: number) => {
    const whole = packetOf(opcode, size);
    const bytes = new Uint8Array(Math.max(0, whole.length + grow));
    bytes.set(whole.subarray(0, bytes.length));
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    seen.add(checkAny(bytes, 0, bytes.length));
  };
  const changes = fc.array(change, { maxLength: 2 });
  fc.assert(fc.property(anyOpcode, fc.nat(40), changes, fc.integer({ min: -30, max: 6 }), property), {
    numRuns: 5000,
  });
  const { NONE, TOO_SHORT, BAD_VERSION, UNKNOWN_OPCODE, BAD_PAD, BAD_LENGTH } = DropReason;
  assert.deepEqual(
    [...seen].sort(),
    [NONE, TOO_SHORT, BAD_VERSION, UNKNOWN_OPCODE, BAD_PAD, BAD_LENGTH].sort(),
  );
});
