import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IpUdpView, parseIpUdp } from '../../src/roce/wire/ip.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { formatIp } from '../../src/verbs/address.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { WcFlags, WcOpcode } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { pattern } from '../../testkit/craft-packet.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { NicPair, type PairOptions, type Side, toAddress } from '../../testkit/nic-pair.js';

const UD = QpType.UD;
const QKEY = 0x1111;
const udPeer = (options: PairOptions = {}): HandPeer => new HandPeer({ type: UD, mtu: 256, ...options });
const deth = { qkey: QKEY, sourceQpn: 0x4321 };

/** What an address handle and the rest of a UD request name. */
function towards(from: Side, to: Side, ipv6 = false): { flow: never; destQpn: number; qkey: number } {
  const dgid = ipv6 ? 'fd00::2' : '::ffff:10.0.0.2';
  return { flow: from.nic.createFlow({ dgid }) as never, destQpn: to.qp.qpn, qkey: QKEY };
}

for (const ipv6 of [false, true]) {
  test(`a UD datagram arrives behind 40 bytes of GRH, ${ipv6 ? 'IPv6' : 'IPv4'}`, () => {
    for (const length of [0, 1, 3, 256]) {
      const pair = new NicPair({ type: UD, mtu: 256, ipv6 });
      const [a, b] = pair.sides;
      const source = a.region(length, 0, 3).region;
      const target = b.region(40 + length + 8).region;
      target.bytes.fill(0xee);
      b.postRecv(7, target);
      a.post({ opcode: WrOpcode.SEND, wrId: 1, ...towards(a, b, ipv6) }, [source, 0, length]);
      pair.run();
      assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
      const [wc] = b.completions('recv');
      assert.ok(wc);
      assert.deepEqual([wc.wrId, wc.opcode, wc.byteLen], [7, WcOpcode.RECV, 40 + length]);
      assert.deepEqual([wc.flags, wc.srcQpn, wc.qpn], [WcFlags.GRH, a.qp.qpn, b.qp.qpn]);
      assert.deepEqual(target.bytes.subarray(40, 40 + length), source.bytes);
      assert.deepEqual(target.bytes.subarray(40 + length), new Uint8Array(8).fill(0xee));
      checkGrh(target.bytes.subarray(0, 40), ipv6, pair.sent[0]?.bytes.length ?? 0);
    }
  });
}

/** The IP header must be one that a parser of IP headers takes, in front of a UDP datagram of the right length. */
function checkGrh(grh: Uint8Array, ipv6: boolean, udpPayloadLength: number): void {
  const at = ipv6 ? 0 : 20;
  assert.deepEqual(grh.subarray(0, at), new Uint8Array(at));
  const whole = new Uint8Array(grh.length - at + 8 + udpPayloadLength);
  whole.set(grh.subarray(at));
  const udpLength = 8 + udpPayloadLength;
  whole.set([0x12, 0xb7, 0x12, 0xb7, udpLength >> 8, udpLength & 255], grh.length - at);
  const view = new IpUdpView();
  assert.equal(parseIpUdp(view, whole, 0, whole.length), true);
  assert.equal(view.headerChecksumValid, true);
  assert.equal(formatIp(view.source), ipv6 ? 'fd00::1' : '10.0.0.1');
  assert.equal(formatIp(view.destination), ipv6 ? 'fd00::2' : '10.0.0.2');
}

test('an immediate arrives with a UD datagram, and a solicited one fires', () => {
  const pair = new NicPair({ type: UD });
  const [a, b] = pair.sides;
  b.postRecv(1, b.region(64).region);
  b.recvCq.arm = 1;
  const request = { opcode: WrOpcode.SEND_WITH_IMM, imm: 0xcafebabe, solicited: true };
  a.post({ ...request, ...towards(a, b) }, [a.region(4).region, 0, 4]);
  pair.run();
  const [wc] = b.completions('recv');
  assert.equal(wc?.imm, 0xcafebabe);
  assert.equal(wc?.flags, WcFlags.GRH | WcFlags.WITH_IMM);
  assert.equal(b.nic.takeFiredCq(), b.recvCq);
});

test('one UD queue pair sends to several and hears several', () => {
  const pair = new NicPair({ type: UD });
  const [a, b] = pair.sides;
  const second = b.createQp();
  pair.bringUp(second, { sqPsn: 5 as never });
  const target = b.region(64).region;
  b.postRecv(1, target);
  second.postRecv({ wrId: 2, sges: [{ mr: target, length: 64 }] });
  const to = towards(a, b);
  a.post({ opcode: WrOpcode.SEND, wrId: 1, ...to }, [a.region(4).region, 0, 4]);
  a.post({ opcode: WrOpcode.SEND, wrId: 2, ...to, destQpn: second.qpn }, [a.region(4).region, 0, 4]);
  pair.run();
  assert.deepEqual(
    b.completions('recv').map((wc) => [wc.wrId, wc.qpn, wc.srcQpn]),
    [
      [1, b.qp.qpn, a.qp.qpn],
      [2, second.qpn, a.qp.qpn],
    ],
  );
});

test('a datagram with another Q_Key is dropped', () => {
  const peer = udPeer();
  peer.side.postRecv(1, peer.side.region(64).region);
  const wrong = { qkey: QKEY ^ 1, sourceQpn: 3 };
  assert.equal(peer.give({ opcode: Opcode.UD_SEND_ONLY, psn: 0, deth: wrong, payloadLength: 4 }), 'bad_qkey');
  assert.equal(peer.give({ opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 4 }), '');
});

test('a Q_Key with its highest bit set stands for the own one of the sender', () => {
  const pair = new NicPair({ type: UD });
  const [a, b] = pair.sides;
  b.postRecv(1, b.region(64).region);
  a.post({ opcode: WrOpcode.SEND, wrId: 1, ...towards(a, b), qkey: 0x80000000 }, [a.region(4).region, 0, 4]);
  pair.run();
  assert.deepEqual(b.statuses('recv'), ['1:SUCCESS']);
});

test('UD hears every source address, but only at an address of this NIC', () => {
  const peer = udPeer();
  for (const id of [1, 2]) peer.side.postRecv(id, peer.side.region(64).region);
  const packet = { opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 4 };
  assert.equal(peer.give({ ...packet, source: toAddress('192.0.2.99', 1234) }), '');
  assert.equal(peer.give({ ...packet, destination: toAddress('10.0.0.9') }), 'wrong_source');
  assert.deepEqual(peer.recvStatuses(), ['1:SUCCESS']);
});

test('PSNs of UD datagrams do not matter, and nothing is answered', () => {
  const peer = udPeer();
  for (const id of [1, 2, 3]) peer.side.postRecv(id, peer.side.region(64).region);
  for (const psn of [9, 9, 2]) {
    assert.equal(peer.give({ opcode: Opcode.UD_SEND_ONLY, psn, deth, ackReq: true, payloadLength: 4 }), '');
  }
  assert.deepEqual(peer.take(), []);
  assert.equal(peer.recvStatuses().length, 3);
});

test('a datagram that no receive waits for is dropped and counted', () => {
  const peer = udPeer();
  assert.equal(peer.give({ opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 4 }), 'no_receive');
  assert.deepEqual(peer.take(), []);
});

test('a datagram too long for the receive is dropped, and the receive stays', () => {
  const peer = udPeer();
  const { region } = peer.side.region(48);
  peer.side.postRecv(1, region);
  peer.side.postRecv(2, region);
  const packet = { opcode: Opcode.UD_SEND_ONLY, psn: 0, deth };
  assert.equal(peer.give({ ...packet, payloadLength: 9 }), 'receive_too_small');
  assert.deepEqual(region.bytes, new Uint8Array(48));
  assert.equal(peer.give({ ...packet, payload: pattern(8, 5) }), '');
  const [wc] = peer.received();
  assert.equal(wc?.wrId, 1);
  assert.deepEqual(region.bytes.subarray(40), pattern(8, 5));
  assert.equal(peer.give({ ...packet, payloadLength: 9 }), 'receive_too_small');
  peer.qp.modify({ state: QpState.ERR });
  assert.deepEqual(peer.recvStatuses(), ['2:WR_FLUSH_ERR'], 'and is flushed when its time comes');
});

test('with a shared receive queue, a receive that was too small completes with an error', () => {
  const peer = udPeer({ srq: true });
  peer.side.postRecv(1, peer.side.region(48).region);
  peer.side.postRecv(2, peer.side.region(64).region);
  const packet = { opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 9 };
  assert.equal(peer.give(packet), 'receive_too_small');
  assert.equal(peer.give(packet), '');
  assert.deepEqual(peer.recvStatuses(), ['1:REM_INV_REQ_ERR', '2:SUCCESS']);
});

test('a datagram above the MTU, and packets of other services, are dropped', () => {
  const peer = udPeer();
  peer.side.postRecv(1, peer.side.region(600).region);
  const packet = { opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 257 };
  assert.equal(peer.give(packet), 'bad_length');
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, payloadLength: 4 }), 'wrong_service');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 0, payloadLength: 4 }), 'wrong_service');
  assert.equal(peer.give({ ...packet, payloadLength: 256 }), '');
});

test('a receive with bad memory ends a UD queue pair', () => {
  const peer = udPeer();
  peer.side.postRecv(1, peer.side.region(64, 0).region);
  assert.equal(
    peer.give({ opcode: Opcode.UD_SEND_ONLY, psn: 0, deth, payloadLength: 4 }),
    'receive_protection',
  );
  assert.deepEqual(peer.recvStatuses(), ['1:LOC_PROT_ERR']);
  assert.equal(peer.qp.state, QpState.ERR);
});

test('a UD request that cannot be sent fails alone and puts the queue pair into SQE', () => {
  const peer = udPeer();
  const [to, side] = peer.pair.sides;
  const { region } = side.region(300, AccessFlags.LOCAL_WRITE, 1);
  const handle = { ...towards(side, to), flow: side.nic.createFlow({ dgid: '::ffff:10.0.0.1' }) };
  side.post({ opcode: WrOpcode.SEND, wrId: 1, ...handle }, [region, 0, 257]);
  side.post({ opcode: WrOpcode.SEND, wrId: 2, ...handle }, [region, 0, 4]);
  assert.deepEqual(peer.take(), []);
  assert.deepEqual(peer.sendStatuses(), ['1:LOC_LEN_ERR', '2:WR_FLUSH_ERR']);
  assert.equal(peer.qp.state, QpState.SQE);
});

test('what UD cannot do is refused when it is posted, and the queue pair stays as it is', () => {
  const { LOCAL_INV, RDMA_WRITE, SEND } = WrOpcode;
  const cases: [opcode: number, hasHandle: boolean, why: RegExp][] = [
    [RDMA_WRITE, true, /a UD queue pair cannot do RDMA_WRITE/],
    [LOCAL_INV, true, /a UD queue pair cannot do LOCAL_INV/],
    [SEND, false, /SEND needs ah/],
  ];
  for (const [opcode, hasHandle, why] of cases) {
    const peer = udPeer();
    const { side } = peer;
    const flow = hasHandle ? { flow: side.nic.createFlow({ dgid: '::ffff:10.0.0.1' }) } : {};
    assert.throws(() => side.post({ opcode, ...flow }, [side.region(4).region, 0, 4]), why);
    assert.deepEqual(peer.take(), []);
    assert.deepEqual(peer.sendStatuses(), []);
    assert.equal(peer.qp.state, QpState.RTS);
  }
});

test('a UD message is one packet of at most the active MTU', () => {
  const peer = udPeer();
  const [to, side] = peer.pair.sides;
  const handle = towards(side, to);
  handle.flow = side.nic.createFlow({ dgid: '::ffff:10.0.0.1' }) as never;
  side.post({ opcode: WrOpcode.SEND, wrId: 1, ...handle }, [side.region(256).region, 0, 256]);
  assert.deepEqual(peer.take(), ['SEND_ONLY 0']);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});
