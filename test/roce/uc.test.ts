import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { WcFlags, WcOpcode } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { NicPair, type PairOptions } from '../../testkit/nic-pair.js';

const UC = QpType.UC;
const REMOTE = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE;
const ucPeer = (options: PairOptions = {}): HandPeer => new HandPeer({ type: UC, mtu: 256, ...options });

test('UC SENDs and WRITEs of every interesting size arrive, with and without immediate', () => {
  for (const ipv6 of [false, true]) {
    for (const length of [0, 1, 255, 256, 257, 3000]) {
      const pair = new NicPair({ type: UC, mtu: 256, ipv6 });
      const [a, b] = pair.sides;
      const source = a.region(length, 0, 3).region;
      const targets = [b.region(length + 8).region, b.region(length + 8).region];
      for (const [i, target] of targets.entries()) b.postRecv(i, target);
      b.postRecv(2);
      const { region: remote, grant } = b.region(length + 32, REMOTE);
      const to = { remoteVa: remote.va + 16, rkey: grant.rkey };
      a.post({ opcode: WrOpcode.SEND, wrId: 1 }, [source, 0, length]);
      a.post({ opcode: WrOpcode.SEND_WITH_IMM, wrId: 2, imm: 0xfeedf00d }, [source, 0, length]);
      a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 3, ...to }, [source, 0, length]);
      a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 4, imm: 5, ...to }, [source, 0, length]);
      pair.run();
      assert.deepEqual(
        a.statuses('send'),
        [1, 2, 3, 4].map((id) => `${id}:SUCCESS`),
      );
      const received = b.completions('recv').map((wc) => [wc.wrId, wc.opcode, wc.byteLen, wc.flags, wc.imm]);
      assert.deepEqual(received, [
        [0, WcOpcode.RECV, length, 0, 0],
        [1, WcOpcode.RECV, length, WcFlags.WITH_IMM, 0xfeedf00d],
        [2, WcOpcode.RECV_RDMA_WITH_IMM, length, WcFlags.WITH_IMM, 5],
      ]);
      for (const target of targets) assert.deepEqual(target.bytes.subarray(0, length), source.bytes);
      assert.deepEqual(remote.bytes.subarray(16, 16 + length), source.bytes);
      assert.deepEqual(remote.bytes.subarray(16 + length), new Uint8Array(16));
      assert.equal(
        pair.sent.every((packet) => packet.to === 1),
        true,
        'nothing comes back',
      );
    }
  }
});

test('UC packets carry UC opcodes, ask for no ACK, and a request completes when its last packet is sent', () => {
  const peer = ucPeer();
  const { region } = peer.side.region(700, 0, 1);
  peer.side.send(1, region);
  peer.side.post({ opcode: WrOpcode.SEND, wrId: 2, solicited: true }, [region, 0, 4]);
  assert.deepEqual(peer.sendStatuses(), []);
  assert.deepEqual(peer.take(), ['SEND_FIRST 0', 'SEND_MIDDLE 1', 'SEND_LAST 2', 'SEND_ONLY 3 solicited']);
  assert.deepEqual(
    peer.pair.sent.map((item) => item.packet.opcode),
    [Opcode.UC_SEND_FIRST, Opcode.UC_SEND_MIDDLE, Opcode.UC_SEND_LAST, Opcode.UC_SEND_ONLY],
  );
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS']);
  assert.equal(peer.nic.nextDeadline(), Number.POSITIVE_INFINITY);
});

test('a UC message with a gap is dropped without an answer, and the next FIRST or ONLY starts anew', () => {
  const peer = ucPeer();
  const { region } = peer.side.region(1024);
  peer.side.postRecv(1, region);
  peer.side.postRecv(2, region);
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_FIRST, psn: 0, payloadLength: 256 }), '');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_LAST, psn: 2, payloadLength: 4 }), 'out_of_order');
  // In sequence again, but still of the message that is lost.
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_LAST, psn: 3, payloadLength: 4 }), 'out_of_order');
  assert.deepEqual(peer.recvStatuses(), []);
  // A gap before a new message does not hurt that one.
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 77, payloadLength: 5 }), '');
  const [wc] = peer.received();
  assert.deepEqual([wc?.wrId, wc?.byteLen], [1, 5], 'the receive of the dropped message is filled again');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 78, payloadLength: 6 }), '');
  assert.equal(peer.received()[0]?.wrId, 2);
  assert.deepEqual(peer.take(), []);
  assert.equal(peer.qp.state, QpState.RTS);
});

test('a UC message without its LAST gives way to the next one', () => {
  const peer = ucPeer();
  const { region } = peer.side.region(1024);
  const { region: target, grant } = peer.side.region(512, REMOTE);
  peer.side.postRecv(1, region);
  const reth = { va: target.va, rkey: grant.rkey, length: 512 };
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_FIRST, psn: 0, payloadLength: 256 }), '');
  assert.equal(peer.give({ opcode: Opcode.UC_WRITE_FIRST, psn: 1, payloadLength: 256, reth }), '');
  assert.equal(peer.give({ opcode: Opcode.UC_WRITE_LAST, psn: 2, payloadLength: 256 }), '');
  assert.deepEqual(peer.recvStatuses(), [], 'the WRITE takes no receive');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 3, payloadLength: 9 }), '');
  assert.equal(peer.received()[0]?.byteLen, 9);
});

test('with a shared receive queue, the receive of an unfinished UC message completes with an error', () => {
  const peer = ucPeer({ srq: true });
  const { region } = peer.side.region(1024);
  for (const id of [1, 2]) peer.side.postRecv(id, region);
  peer.give({ opcode: Opcode.UC_SEND_FIRST, psn: 0, payloadLength: 256 });
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 1, payloadLength: 4 }), '');
  assert.deepEqual(peer.recvStatuses(), ['1:REM_INV_REQ_ERR', '2:SUCCESS']);
  assert.equal(peer.qp.state, QpState.RTS);
});

test('what a UC peer may not do is dropped without an answer and without an effect', () => {
  const peer = ucPeer();
  const { region: target, grant } = peer.side.region(256, REMOTE);
  const { grant: readOnly } = peer.side.region(256, AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ);
  const write = (psn: number, reth: { va: number; rkey: number; length: number }): string =>
    peer.give({ opcode: Opcode.UC_WRITE_ONLY, psn, payloadLength: 8, reth });
  const { va } = target;
  const { rkey } = grant;
  assert.equal(write(0, { va, rkey: rkey ^ 1, length: 8 }), 'remote_access');
  assert.equal(write(1, { va: va + 249, rkey, length: 8 }), 'remote_access');
  assert.equal(write(2, { va: readOnly.va, rkey: readOnly.rkey, length: 8 }), 'remote_access');
  assert.equal(write(3, { va, rkey, length: 9 }), 'bad_length');
  assert.equal(write(4, { va, rkey, length: 2 ** 31 + 1 }), 'bad_reth');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 5, payloadLength: 8 }), 'no_receive');
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_LAST, psn: 6, payloadLength: 8 }), 'out_of_order');
  peer.side.postRecv(1, target, 0, 4);
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 7, payloadLength: 8 }), 'receive_too_small');
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 8, payloadLength: 1 }), 'wrong_service');
  assert.equal(peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: 31 } }), 'wrong_service');
  assert.deepEqual(target.bytes, new Uint8Array(256));
  assert.deepEqual(peer.take(), []);
  assert.deepEqual(peer.recvStatuses(), []);
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 8, payloadLength: 4 }), '', 'it goes on');
  assert.deepEqual(peer.recvStatuses(), ['1:SUCCESS']);
  assert.deepEqual(peer.events(), []);
});

test('a UC queue pair without REMOTE_WRITE lets no WRITE in', () => {
  const peer = ucPeer({ attributes: { accessFlags: AccessFlags.LOCAL_WRITE } });
  const { region, grant } = peer.side.region(64, REMOTE);
  const reth = { va: region.va, rkey: grant.rkey, length: 4 };
  assert.equal(peer.give({ opcode: Opcode.UC_WRITE_ONLY, psn: 0, payloadLength: 4, reth }), 'bad_operation');
  assert.deepEqual(region.bytes, new Uint8Array(64));
});

test('a receive with bad memory ends a UC queue pair with LOC_PROT_ERR', () => {
  const peer = ucPeer();
  const { region } = peer.side.region(64, 0);
  peer.side.postRecv(1, region);
  peer.side.postRecv(2);
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 0, payloadLength: 4 }), 'receive_protection');
  assert.deepEqual(peer.recvStatuses(), ['1:LOC_PROT_ERR', '2:WR_FLUSH_ERR']);
  assert.equal(peer.qp.state, QpState.ERR);
});

test('a UC request that fails puts the queue pair into SQE: sends are flushed, receives go on, RTS comes back', () => {
  const peer = ucPeer();
  const { side } = peer;
  const { region } = side.region(600, AccessFlags.LOCAL_WRITE, 1);
  const gone = side.region(600).region;
  side.nic.regions.deregister(gone);
  side.send(1, region);
  side.send(2, gone);
  side.send(3, region);
  side.postRecv(9, region);
  assert.deepEqual(peer.take(), ['SEND_FIRST 0', 'SEND_MIDDLE 1', 'SEND_LAST 2']);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:LOC_PROT_ERR', '3:WR_FLUSH_ERR']);
  assert.equal(peer.qp.state, QpState.SQE);
  side.send(4, region);
  assert.deepEqual(peer.sendStatuses(), ['4:WR_FLUSH_ERR']);
  assert.equal(peer.give({ opcode: Opcode.UC_SEND_ONLY, psn: 0, payloadLength: 4 }), '');
  assert.deepEqual(peer.recvStatuses(), ['9:SUCCESS']);
  peer.qp.modify({ state: QpState.RTS, curState: QpState.SQE });
  side.send(5, region, 0, 4);
  assert.deepEqual(peer.take(), ['SEND_ONLY 3'], 'PSNs go on');
  assert.deepEqual(peer.sendStatuses(), ['5:SUCCESS']);
});

test('UC offers no READs, atomics and SENDs with invalidate', () => {
  for (const opcode of [WrOpcode.RDMA_READ, WrOpcode.ATOMIC_FETCH_AND_ADD, WrOpcode.SEND_WITH_INV]) {
    const peer = ucPeer();
    const post = () => peer.side.post({ opcode, wrId: 1 }, [peer.side.region(8).region, 0, 8]);
    assert.throws(post, /a UC queue pair cannot do/);
    assert.deepEqual(peer.take(), []);
    assert.deepEqual(peer.sendStatuses(), []);
    assert.equal(peer.qp.state, QpState.RTS);
  }
});

test('SQD holds new UC requests, and SQ_DRAINED comes at once when nothing is half sent', () => {
  const peer = ucPeer();
  peer.qp.modify({ state: QpState.SQD, enSqdAsyncNotify: true });
  assert.deepEqual(peer.events(), ['SQ_DRAINED']);
  peer.side.send(1, peer.side.region(4, 0, 1).region);
  assert.deepEqual(peer.take(), []);
  peer.qp.modify({ state: QpState.RTS });
  assert.deepEqual(peer.take(), ['SEND_ONLY 0']);
});

test('UC PSNs wrap', () => {
  const pair = new NicPair({ type: UC, mtu: 256, psns: [0xfffffe, 0xffffff] });
  const [a, b] = pair.sides;
  const source = a.region(256 * 5, 0, 3).region;
  const target = b.region(256 * 5).region;
  b.postRecv(1, target);
  a.send(1, source);
  pair.run();
  assert.deepEqual(b.statuses('recv'), ['1:SUCCESS']);
  assert.deepEqual(target.bytes, source.bytes);
});

test('a lost packet costs exactly the UC message that it belongs to', () => {
  for (let lost = 1; lost <= 9; lost++) {
    const pair = new NicPair({ type: UC, mtu: 256, tap: (_, number) => number !== lost });
    const [a, b] = pair.sides;
    const source = a.region(256 * 3, 0, 3).region;
    for (const id of [0, 1, 2]) b.postRecv(id, b.region(800).region);
    for (const imm of [0, 1, 2]) a.post({ opcode: WrOpcode.SEND_WITH_IMM, wrId: imm, imm }, [source, 0, 768]);
    pair.run();
    const lostMessage = Math.floor((lost - 1) / 3);
    const got = b.completions('recv').map((wc) => wc.imm);
    assert.deepEqual(
      got,
      [0, 1, 2].filter((imm) => imm !== lostMessage),
      `lost packet ${lost}`,
    );
  }
});
