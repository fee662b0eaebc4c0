import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as aeth from '../../../src/roce/wire/aeth.js';
import * as atomic from '../../../src/roce/wire/atomic-eth.js';
import * as bth from '../../../src/roce/wire/bth.js';
import { dethQkey, dethSourceQpn, writeDeth } from '../../../src/roce/wire/deth.js';
import { iethRkey, writeIeth } from '../../../src/roce/wire/ieth.js';
import { immDt, writeImmDt } from '../../../src/roce/wire/imm-dt.js';
import { rethLength, rethRkey, rethVa, writeReth } from '../../../src/roce/wire/reth.js';
import { toHex } from '../../../testkit/worked-packets.js';

const AT = 3;
const u24 = fc.nat(0xffffff);
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const bit = fc.nat(1);
/** Old bytes under a header must not shine through. */
const dirty = (length: number): Uint8Array => new Uint8Array(AT + length + 2).fill(0xa5);

function assertUntouchedAround(bytes: Uint8Array, length: number): void {
  const around = [...bytes.subarray(0, AT), ...bytes.subarray(AT + length)];
  assert.deepEqual(
    around,
    around.map(() => 0xa5),
  );
}

test('a BTH has its fields where the protocol puts them', () => {
  const bytes = new Uint8Array(12).fill(0xa5);
  bth.writeBth(bytes, 0, 0x04, 1, 3, 0xabcdef, 1, 0x123456);
  assert.equal(toHex(bytes), '04b0ffff00abcdef80123456');
  bth.writeBth(bytes, 0, 0x11, 0, 0, 0x000011, 0, 0xffffff);
  assert.equal(toHex(bytes), '1100ffff0000001100ffffff');
});

test('a BTH survives, over old bytes', () => {
  const property = (opcode: number, se: number, pad: number, qpn: number, ackReq: number, psn: number) => {
    const bytes = dirty(bth.BTH_LENGTH);
    bth.writeBth(bytes, AT, opcode, se, pad, qpn, ackReq, psn);
    assertUntouchedAround(bytes, bth.BTH_LENGTH);
    assert.equal(bth.bthOpcode(bytes, AT), opcode);
    assert.deepEqual([bth.bthSolicited(bytes, AT), bth.bthPadCount(bytes, AT)], [se, pad]);
    assert.deepEqual([bth.bthDestQpn(bytes, AT), bth.bthAckReq(bytes, AT)], [qpn, ackReq]);
    assert.deepEqual([bth.bthPsn(bytes, AT), bth.bthPkey(bytes, AT)], [psn, 0xffff]);
    assert.deepEqual([bth.bthVersion(bytes, AT), bth.bthMigReq(bytes, AT)], [0, 0]);
    assert.deepEqual([bth.bthFecn(bytes, AT), bth.bthBecn(bytes, AT)], [0, 0]);
    bth.patchPsn(bytes, AT, psn ^ 0xffffff);
    bth.patchAckReq(bytes, AT, 1 - ackReq);
    assert.deepEqual([bth.bthPsn(bytes, AT), bth.bthAckReq(bytes, AT)], [psn ^ 0xffffff, 1 - ackReq]);
    assert.deepEqual([bth.bthDestQpn(bytes, AT), bth.bthPadCount(bytes, AT)], [qpn, pad]);
    assertUntouchedAround(bytes, bth.BTH_LENGTH);
  };
  fc.assert(fc.property(fc.nat(255), bit, fc.nat(3), u24, bit, u24, property));
});

test('the flags of one BTH byte are told apart', () => {
  const bytes = new Uint8Array(12);
  bytes[1] = 0x40;
  assert.deepEqual(
    [bth.bthSolicited(bytes, 0), bth.bthMigReq(bytes, 0), bth.bthPadCount(bytes, 0)],
    [0, 1, 0],
  );
  bytes[1] = 0x2f;
  assert.deepEqual(
    [bth.bthMigReq(bytes, 0), bth.bthPadCount(bytes, 0), bth.bthVersion(bytes, 0)],
    [0, 2, 15],
  );
  bytes[4] = 0x80;
  assert.deepEqual([bth.bthFecn(bytes, 0), bth.bthBecn(bytes, 0)], [1, 0]);
  bytes[4] = 0x7f;
  assert.deepEqual([bth.bthFecn(bytes, 0), bth.bthBecn(bytes, 0)], [0, 1]);
  bytes[8] = 0x7f;
  assert.equal(bth.bthAckReq(bytes, 0), 0);
});

test('pads bring any length to a multiple of four', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 4093, 2 ** 31].map(bth.padCountOf), [0, 3, 2, 1, 0, 3, 0]);
});

test('a RETH survives, and an address beyond 2^53 reads as -1', () => {
  const property = (va: number, rkey: number, length: number) => {
    const bytes = dirty(16);
    writeReth(bytes, AT, va, rkey, length);
    assertUntouchedAround(bytes, 16);
    assert.deepEqual([rethVa(bytes, AT), rethRkey(bytes, AT), rethLength(bytes, AT)], [va, rkey, length]);
  };
  fc.assert(fc.property(fc.maxSafeNat(), u32, u32, property));
  const bytes = new Uint8Array(16).fill(0xff);
  assert.deepEqual(
    [rethVa(bytes, 0), rethRkey(bytes, 0), rethLength(bytes, 0)],
    [-1, 0xffffffff, 0xffffffff],
  );
});

test('an AETH survives', () => {
  const property = (syndrome: number, msn: number) => {
    const bytes = dirty(4);
    aeth.writeAeth(bytes, AT, syndrome, msn);
    assertUntouchedAround(bytes, 4);
    assert.deepEqual([aeth.aethSyndrome(bytes, AT), aeth.aethMsn(bytes, AT)], [syndrome, msn]);
  };
  fc.assert(fc.property(fc.nat(255), u24, property));
});

test('every syndrome has one kind', () => {
  const { ACK, RNR, NAK, RESERVED } = aeth.SyndromeKind;
  for (let syndrome = 0; syndrome < 256; syndrome += 1) {
    const upper = syndrome >>> 5;
    const nak = [0x60, 0x61, 0x62, 0x63].includes(syndrome) ? NAK : RESERVED;
    const expected = upper === 0 ? ACK : upper === 1 ? RNR : nak;
    assert.equal(aeth.syndromeKind(syndrome), expected, `0x${syndrome.toString(16)}`);
  }
  assert.equal(aeth.syndromeCode(0x2c), 12);
});

test('credit codes and RNR timer codes mean what the tables say', () => {
  assert.equal(aeth.creditCount.length, 32);
  assert.equal(aeth.rnrTimerMicros.length, 32);
  // From code 4 on, credits double every second code; timers do so from code 6 on.
  for (let code = 6; code < 31; code += 1) {
    assert.equal(aeth.creditCount[code], 2 * (aeth.creditCount[code - 2] as number) || -1, `credits ${code}`);
  }
  for (let code = 6; code < 32; code += 1) {
    assert.equal(aeth.rnrTimerMicros[code], 2 * (aeth.rnrTimerMicros[code - 2] as number), `timer ${code}`);
  }
  assert.deepEqual([...aeth.creditCount.subarray(0, 7)], [0, 1, 2, 3, 4, 6, 8]);
  assert.deepEqual([aeth.creditCount[30], aeth.creditCount[31]], [32768, -1]);
  assert.deepEqual([...aeth.rnrTimerMicros.subarray(0, 7)], [655360, 10, 20, 30, 40, 60, 80]);
  assert.deepEqual([aeth.rnrTimerMicros[12], aeth.rnrTimerMicros[31]], [640, 491520]);
});

test('atomic headers survive word by word', () => {
  const property = (va: number, rkey: number, words: [number, number, number, number]) => {
    const bytes = dirty(28);
    atomic.writeAtomicEth(bytes, AT, va, rkey, ...words);
    assertUntouchedAround(bytes, 28);
    assert.deepEqual([atomic.atomicVa(bytes, AT), atomic.atomicRkey(bytes, AT)], [va, rkey]);
    const swapAdd = [atomic.atomicSwapAddHi(bytes, AT), atomic.atomicSwapAddLo(bytes, AT)];
    const compare = [atomic.atomicCompareHi(bytes, AT), atomic.atomicCompareLo(bytes, AT)];
    assert.deepEqual([...swapAdd, ...compare], words);
    const view = new DataView(bytes.buffer);
    assert.equal(view.getBigUint64(AT + 12), (BigInt(words[0]) << 32n) | BigInt(words[1]));
    assert.equal(view.getBigUint64(AT + 20), (BigInt(words[2]) << 32n) | BigInt(words[3]));
    const answer = dirty(8);
    atomic.writeAtomicAckEth(answer, AT, words[0], words[3]);
    assertUntouchedAround(answer, 8);
    assert.deepEqual(
      [atomic.atomicAckOriginalHi(answer, AT), atomic.atomicAckOriginalLo(answer, AT)],
      [words[0], words[3]],
    );
  };
  fc.assert(fc.property(fc.maxSafeNat(), u32, fc.tuple(u32, u32, u32, u32), property));
});

test('immediate data, IETH and DETH survive', () => {
  const property = (word: number, qpn: number) => {
    const bytes = dirty(8);
    writeDeth(bytes, AT, word, qpn);
    assertUntouchedAround(bytes, 8);
    assert.deepEqual([dethQkey(bytes, AT), dethSourceQpn(bytes, AT), bytes[AT + 4]], [word, qpn, 0]);
    writeImmDt(bytes, AT, word);
    assert.deepEqual(
      [immDt(bytes, AT), toHex(bytes.subarray(AT, AT + 4))],
      [word, word.toString(16).padStart(8, '0')],
    );
    writeIeth(bytes, AT, ~word >>> 0);
    assert.equal(iethRkey(bytes, AT), ~word >>> 0);
  };
  fc.assert(fc.property(u32, u24, property));
});
