/** Queue pair 1: which datagrams get through to the communication manager, and how its own leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GsiOwner } from '../../src/roce/gsi.js';
import { GSI_QKEY, GSI_QPN } from '../../src/roce/mad/gmp.js';
import { MAD_BYTES as GMP_BYTES } from '../../src/roce/mad/mad.js';
import { bthAckReq, bthDestQpn, bthPkey, bthPsn } from '../../src/roce/wire/bth.js';
import { dethQkey, dethSourceQpn } from '../../src/roce/wire/deth.js';
import { DETH_AT, Opcode } from '../../src/roce/wire/opcodes.js';
import { formatIp } from '../../src/verbs/address.js';
import { pattern } from '../../testkit/craft-packet.js';
import { type GivenPacket, HandPeer } from '../../testkit/hand-peer.js';
import { toAddress } from '../../testkit/nic-pair.js';

interface Taken {
  readonly gmp: Uint8Array;
  readonly from: string;
  readonly port: number;
  readonly now: number;
}

function openGsi(peer: HandPeer): Taken[] {
  const taken: Taken[] = [];
  peer.nic.openGsi({
    onGmp: (gmp, { source }, now) => {
      taken.push({ gmp: gmp.slice(), from: formatIp(source), port: source.port, now });
    },
    onTimeout: () => {},
  });
  return taken;
}

const NOBODY: GsiOwner = { onGmp: () => assert.fail('nothing came'), onTimeout: () => {} };

const GMP: GivenPacket = {
  opcode: Opcode.UD_SEND_ONLY,
  psn: 0,
  destQpn: GSI_QPN,
  payloadLength: GMP_BYTES,
  deth: { qkey: GSI_QKEY, sourceQpn: GSI_QPN },
};

test('a GMP reaches the sink with its bytes and its source, whoever sends it', () => {
  const peer = new HandPeer();
  const taken = openGsi(peer);
  peer.pair.now = 77;
  const source = toAddress('192.0.2.9', 55_000);
  assert.equal(peer.give({ ...GMP, source }), '');
  assert.deepEqual(taken, [{ gmp: pattern(GMP_BYTES), from: '192.0.2.9', port: 55_000, now: 77 }]);
});

test('with an immediate, another source queue pair, PSN or a P_Key of a limited member it is a GMP too', () => {
  const peer = new HandPeer();
  const taken = openGsi(peer);
  const odd: Partial<GivenPacket>[] = [
    { opcode: Opcode.UD_SEND_ONLY_IMM, imm: 7 },
    { deth: { qkey: GSI_QKEY, sourceQpn: 5 } },
    { psn: 0xffffff, solicited: true, ackReq: true },
    { pkey: 0x7fff },
  ];
  for (const part of odd) assert.equal(peer.give({ ...GMP, ...part }), '', JSON.stringify(part));
  assert.deepEqual(new Set(taken.map(({ gmp }) => gmp.join())), new Set([pattern(GMP_BYTES).join()]));
  assert.equal(taken.length, odd.length);
});

test('what is no GMP is dropped with its reason, and changes nothing for the next', () => {
  const peer = new HandPeer();
  const taken = openGsi(peer);
  const wrong: [string, Partial<GivenPacket>][] = [
    ['bad_length', { payloadLength: 260 }],
    ['bad_length', { payloadLength: 252 }],
    ['bad_length', { payloadLength: 255 }],
    ['bad_length', { payloadLength: 0 }],
    ['bad_length', { payloadLength: 4096 }],
    ['bad_qkey', { deth: { qkey: 0x11111111, sourceQpn: 1 } }],
    ['bad_qkey', { deth: { qkey: 0, sourceQpn: 1 } }],
    ['bad_pkey', { pkey: 0x8001 }],
    ['bad_icrc', { badIcrc: true }],
    ['wrong_source', { destination: toAddress('10.0.0.9') }],
    ['wrong_service', { opcode: Opcode.RC_SEND_ONLY }],
    ['wrong_service', { opcode: Opcode.CNP, payloadLength: 16 }],
    ['unknown_qpn', { destQpn: 0 }],
    ['unknown_qpn', { destQpn: 2 }],
  ];
  for (const [reason, part] of wrong) {
    assert.equal(peer.give({ ...GMP, ...part }), reason, JSON.stringify(part));
  }
  assert.equal(taken.length, 0);
  assert.equal(peer.give(GMP), '');
  assert.equal(taken.length, 1);
});

test('until queue pair 1 is opened its number is unknown', () => {
  const peer = new HandPeer();
  assert.equal(peer.give(GMP), 'unknown_qpn');
});

test('a GMP leaves in a UD packet to queue pair 1, with PSNs that count', () => {
  const peer = new HandPeer();
  const gsi = peer.nic.openGsi(NOBODY);
  const flow = peer.nic.createFlow({ dgid: '::ffff:10.0.0.1', trafficClass: 0x68 });
  const gmps = Array.from({ length: 100 }, (_, i) => pattern(GMP_BYTES, i));
  for (const gmp of gmps) gsi.send(gmp, flow);
  const sent = peer.takePackets();
  assert.equal(sent.length, gmps.length);
  for (const [i, { bytes, flow: way }] of sent.entries()) {
    assert.deepEqual(
      [bytes[0], bthPkey(bytes, 0), bthDestQpn(bytes, 0), bthAckReq(bytes, 0), bthPsn(bytes, 0)],
      [Opcode.UD_SEND_ONLY, 0xffff, 1, 1, i],
    );
    assert.deepEqual([dethQkey(bytes, DETH_AT), dethSourceQpn(bytes, DETH_AT)], [GSI_QKEY, 1]);
    assert.deepEqual(bytes.subarray(20, -4), gmps[i]);
    assert.equal(way.trafficClass, 0x68);
  }
  assert.equal(peer.nic.wantsTransmit, false);
  assert.equal(gsi.counters.txPackets, gmps.length);
});

test('nothing but 256 bytes leaves, and what waits is bounded', () => {
  const peer = new HandPeer();
  const gsi = peer.nic.openGsi(NOBODY);
  const flow = peer.nic.createFlow({ dgid: '::ffff:10.0.0.1' });
  for (const length of [0, 255, 257, 512]) gsi.send(new Uint8Array(length), flow);
  assert.equal(gsi.dropped, 4);
  for (let i = 0; i < 5000; i++) gsi.send(new Uint8Array(GMP_BYTES), flow);
  assert.equal(gsi.dropped, 4 + 5000 - 4096);
  assert.equal(peer.takePackets().length, 4096);
});

test('GMPs and the packets of queue pairs take turns', () => {
  const peer = new HandPeer();
  const gsi = peer.nic.openGsi(NOBODY);
  const flow = peer.nic.createFlow({ dgid: '::ffff:10.0.0.1' });
  for (let i = 0; i < 200; i++) gsi.send(new Uint8Array(GMP_BYTES), flow);
  const { region } = peer.side.region(16);
  for (let i = 0; i < 10; i++) peer.side.send(i, region);
  const queuePairs = peer.takePackets().map(({ bytes }) => bthDestQpn(bytes, 0) !== GSI_QPN);
  assert.equal(queuePairs.filter(Boolean).length, 10);
  assert.ok(queuePairs.lastIndexOf(true) < 50, 'the queue pair has its turn after 32 GMPs');
});

test('the owner of queue pair 1 is woken at its time, among the queue pairs', () => {
  const peer = new HandPeer();
  const woken: number[] = [];
  const gsi = peer.nic.openGsi({ ...NOBODY, onTimeout: (now) => woken.push(now) });
  gsi.armTimer(Number.POSITIVE_INFINITY);
  assert.equal(peer.nic.nextDeadline(), Number.POSITIVE_INFINITY);
  gsi.armTimer(500);
  peer.wait(400);
  assert.deepEqual(woken, []);
  peer.wait(400);
  assert.deepEqual(woken, [500]);
  peer.wait(10_000);
  assert.deepEqual(woken, [500]);
});
