/** The wire of rsockets against what stock programs said to each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RsocketFault } from '../../../src/net/rsocket/rsocket-fault.js';
import {
  ImmediateKind,
  immediateKind,
  immediateShort,
  immediateValue,
  writeImmediate,
} from '../../../src/net/rsocket/wire/immediate.js';
import {
  IOMAP_ENTRY_BYTES,
  readIomapEntry,
  writeIomapEntry,
} from '../../../src/net/rsocket/wire/iomap-entry.js';
import {
  PRIVATE_DATA_BYTES,
  type RsocketTerms,
  readPrivateData,
  toldIomapEntries,
  writePrivateData,
} from '../../../src/net/rsocket/wire/private-data.js';
import { readSglEntry, SGL_ENTRY_BYTES, writeSglEntry } from '../../../src/net/rsocket/wire/sgl-entry.js';
import { CURL, RIOSTREAM } from '../../../testkit/rsocket-captured.js';

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function read(hex: string): RsocketTerms {
  const terms = readPrivateData(bytesOf(hex));
  assert.ok(typeof terms !== 'string', String(terms));
  return terms;
}

test('private data of curl says where its tables and its first buffer are', () => {
  assert.deepEqual(read(CURL.request), {
    isBigEndian: false,
    knowsIomap: true,
    credits: 384,
    iomapEntries: 0,
    tableAddr: 0x7fb1ac023000,
    tableRkey: 0x3b8,
    tableEntries: 2,
    bufferAddr: 0x7fb1ac025000,
    bufferRkey: 0x41c,
    bufferBytes: 65_536,
  });
  assert.equal(read(RIOSTREAM.reply).iomapEntries, 1);
});

test('captured private data comes out of its terms byte for byte', () => {
  for (const hex of [CURL.request, CURL.reply, RIOSTREAM.request, RIOSTREAM.reply]) {
    assert.equal(hexOf(writePrivateData(read(hex))), hex);
  }
});

test('private data that cannot be used is refused by name', () => {
  const refused = (change: (view: DataView) => void, length = PRIVATE_DATA_BYTES): unknown => {
    const bytes = bytesOf(CURL.request);
    change(viewOf(bytes));
    return readPrivateData(bytes.subarray(0, length));
  };
  const nothing = (): void => {};
  assert.equal(refused(nothing, PRIVATE_DATA_BYTES - 1), RsocketFault.SHORT_PRIVATE_DATA);
  assert.equal(
    refused((view) => view.setUint8(0, 2)),
    RsocketFault.BAD_VERSION,
  );
  assert.equal(
    refused((view) => view.setUint32(20, 1)),
    RsocketFault.TABLE_TOO_SMALL,
  );
  assert.equal(
    refused((view) => view.setBigUint64(8, 2n ** 64n - 16n)),
    RsocketFault.TABLE_OUT_OF_RANGE,
  );
  assert.equal(
    refused((view) => view.setBigUint64(8, 2n ** 53n - 20n)),
    RsocketFault.TABLE_OUT_OF_RANGE,
  );
  assert.equal(
    refused((view) => view.setBigUint64(24, 2n ** 53n - 65_535n)),
    RsocketFault.BUFFER_OUT_OF_RANGE,
  );
  assert.equal(
    refused((view) => view.setUint32(36, 0)),
    RsocketFault.EMPTY_BUFFER,
  );
});

test('any bytes make terms that can be used, or a reason', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 60 }), (bytes) => {
      const terms = readPrivateData(bytes);
      if (typeof terms === 'string') return;
      assert.ok(Number.isSafeInteger(terms.tableAddr + terms.tableEntries * SGL_ENTRY_BYTES));
      assert.ok(Number.isSafeInteger(terms.bufferAddr + terms.bufferBytes));
    }),
  );
});

test('a peer is told of no more iomap entries than there are, and of exactly 128 or a multiple of 256 above', () => {
  const cases = [0, 1, 128, 129, 255, 256, 300, 512, 32_512];
  assert.deepEqual(cases.map(toldIomapEntries), [0, 1, 128, 128, 128, 256, 256, 512, 32_512]);
});

test('immediate data has its kind in three bits', () => {
  const seen = CURL.writes.map(({ imm }) => [immediateKind(imm), immediateValue(imm)]);
  assert.deepEqual(seen[0], [ImmediateKind.SGL, 384]);
  assert.deepEqual(seen[2], [ImmediateKind.DATA, 79]);
  assert.deepEqual(seen.at(-2), [ImmediateKind.CONTROL, 2]);
  assert.deepEqual(seen.at(-1), [ImmediateKind.CONTROL, 0]);
  for (const { imm } of CURL.writes) {
    assert.equal(writeImmediate(immediateKind(imm) as ImmediateKind, immediateValue(imm)), imm);
  }
  assert.equal(immediateShort(0x8123_4567), 0x4567);
});

test('an announcement of curl is an entry of its server’s table', () => {
  const { payload } = CURL.writes[0] ?? assert.fail();
  const entry = { addr: 0, rkey: 0, bytes: 0 };
  readSglEntry(viewOf(bytesOf(payload)), 0, false, entry);
  assert.deepEqual(entry, { addr: 0x7fb1ac035000, rkey: 0x41c, bytes: 65_536 });
  const again = new Uint8Array(SGL_ENTRY_BYTES);
  writeSglEntry(viewOf(again), 0, false, entry);
  assert.equal(hexOf(again), payload);
});

test('memory that riostream offers is an entry of the iomap table', () => {
  const { payload, imm } = RIOSTREAM.writes[1] ?? assert.fail();
  assert.equal(immediateKind(imm), ImmediateKind.IOMAP);
  const entry = readIomapEntry(viewOf(bytesOf(payload)), 0, false);
  assert.deepEqual(entry, { offset: 0, addr: 0x556544980810, rkey: 0xba3, bytes: 1000 });
  const again = new Uint8Array(IOMAP_ENTRY_BYTES);
  writeIomapEntry(viewOf(again), 0, false, entry);
  assert.equal(hexOf(again), payload);
});

test('the byte order of entries is that of the table’s owner', () => {
  const bytes = new Uint8Array(SGL_ENTRY_BYTES);
  writeSglEntry(viewOf(bytes), 0, true, { addr: 0x0102_0304_0506, rkey: 0x0708090a, bytes: 0x0b0c0d0e });
  assert.equal(hexOf(bytes), '0000010203040506' + '0708090a' + '0b0c0d0e');
  const back = { addr: 0, rkey: 0, bytes: 0 };
  readSglEntry(viewOf(bytes), 0, true, back);
  assert.deepEqual(back, { addr: 0x0102_0304_0506, rkey: 0x0708090a, bytes: 0x0b0c0d0e });
});
