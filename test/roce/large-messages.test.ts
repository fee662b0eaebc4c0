/**
 * Messages of 1 GiB, and one at the protocol's limit of 2^31 bytes. The memory behind them is small: pieces may name the
 * same bytes many times, and pages that nobody writes cost nothing. The link carries packets as they are made, one
 * buffer for all of them, without ICRC.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Datagram } from '../../src/roce/datagram.js';
import type { Region } from '../../src/roce/memory/region.js';
import { packetLength, writePacket } from '../../src/roce/packet-writer.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { copyAddress } from '../../src/verbs/address.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { NicPair, type Side } from '../../testkit/nic-pair.js';

const MTU = 4096;
const GIB = 2 ** 30;
const PIECES = 16;
const REMOTE = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE;
/** µs between a packet's leaving and its arrival. */
const STEP_MICROS = 1;

class NoIcrc extends Icrc {
  override compute(): number {
    return 0;
  }
}

/** Carries everything from side to side until both are quiet. */
class FastLink {
  readonly pair = new NicPair({ mtu: MTU });
  packets = 0;
  readonly #batch = new TransmitBatch(64);
  readonly #bytes = new Uint8Array(MTU + 128);
  readonly #datagram = new Datagram();
  readonly #icrc = new NoIcrc();
  #now = 0;

  run(): void {
    for (;;) {
      this.#now += STEP_MICROS;
      const moved = this.#carry(0) + this.#carry(1);
      if (moved > 0) continue;
      const next = Math.min(...this.pair.sides.map(({ nic }) => nic.nextDeadline()));
      if (next === Number.POSITIVE_INFINITY) return;
      this.#now = Math.max(this.#now, next);
      for (const { nic } of this.pair.sides) nic.handleTimeout(this.#now);
    }
  }

  #carry(from: 0 | 1): number {
    const { nic } = this.pair.sides[from];
    const to = this.pair.sides[1 - from] as Side;
    const batch = this.#batch;
    const count = nic.pollTransmit(batch, this.#now);
    for (let i = 0; i < count; i++) {
      const length = packetLength(batch, i);
      writePacket(batch, i, this.#bytes, 0, this.#icrc);
      const datagram = this.#datagram;
      datagram.bytes = this.#bytes;
      datagram.length = length;
      datagram.icrcVerified = true;
      const flow = batch.flow[i];
      assert.ok(flow);
      copyAddress(flow.source, datagram.source);
      copyAddress(flow.destination, datagram.destination);
      to.nic.receive(datagram, this.#now);
    }
    this.packets += count;
    batch.reset();
    return count;
  }
}

/** The same region `PIECES` times: a message of many times its length. */
const repeated = (region: Region): [Region, number, number][] =>
  Array.from({ length: PIECES }, () => [region, 0, region.bytes.length]);

function marked(side: Side, length: number): Region {
  const { region } = side.region(length);
  for (let at = 0; at < length; at += MTU) new DataView(region.bytes.buffer).setUint32(at, at / MTU + 1);
  return region;
}

test('a SEND of 1 GiB arrives whole, in one receive of 16 pieces', () => {
  const link = new FastLink();
  const [a, b] = link.pair.sides;
  const source = marked(a, GIB / PIECES);
  const target = b.region(GIB / PIECES).region;
  b.qp.postRecv({ wrId: 7, sges: repeated(target).map(([mr, offset, length]) => ({ mr, offset, length })) });
  a.post({ opcode: WrOpcode.SEND, wrId: 1 }, ...repeated(source));
  link.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  const [wc] = b.completions('recv');
  assert.equal(wc?.byteLen, GIB);
  assert.equal(Buffer.compare(target.bytes, source.bytes), 0);
  assert.equal(link.packets >= GIB / MTU, true);
});

test('a READ of 1 GiB brings every byte', () => {
  const link = new FastLink();
  const [a, b] = link.pair.sides;
  const { region: source, grant } = b.region(GIB, REMOTE);
  const last = GIB - GIB / PIECES;
  for (const at of [last, last + 12_345, GIB - 1]) source.bytes[at] = 0x5a;
  const target = a.region(GIB / PIECES).region;
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 1, remoteVa: source.va, rkey: grant.rkey }, ...repeated(target));
  link.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  // What stays is the last of the sixteen.
  assert.equal(Buffer.compare(target.bytes, source.bytes.subarray(last)), 0);
});

test('a WRITE of 1 GiB reaches the last byte of its target, and none beyond', () => {
  const link = new FastLink();
  const [a, b] = link.pair.sides;
  const source = marked(a, GIB / PIECES);
  const { region: target, grant } = b.region(GIB + 8, REMOTE);
  a.post(
    { opcode: WrOpcode.RDMA_WRITE, wrId: 1, remoteVa: target.va, rkey: grant.rkey },
    ...repeated(source),
  );
  link.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  for (let piece = 0; piece < PIECES; piece++) {
    const at = (piece * GIB) / PIECES;
    assert.equal(
      Buffer.compare(target.bytes.subarray(at, at + GIB / PIECES), source.bytes),
      0,
      `piece ${piece}`,
    );
  }
  assert.deepEqual(target.bytes.subarray(GIB), new Uint8Array(8));
});

test('a SEND of 2^31 bytes, the longest message that there can be, arrives whole', () => {
  const link = new FastLink();
  const [a, b] = link.pair.sides;
  const source = marked(a, (2 * GIB) / PIECES);
  const target = b.region((2 * GIB) / PIECES).region;
  b.qp.postRecv({ wrId: 7, sges: repeated(target).map(([mr, offset, length]) => ({ mr, offset, length })) });
  a.post({ opcode: WrOpcode.SEND, wrId: 1 }, ...repeated(source));
  link.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  assert.equal(b.completions('recv')[0]?.byteLen, 2 ** 31);
  assert.equal(Buffer.compare(target.bytes, source.bytes), 0);
});
