/**
 * For every cause of failure, the answer on the wire, the requester's completion, and
 * what the responder's program sees. Both ends are real; only where no real requester would do such a thing is the
 * request crafted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aethSyndrome } from '../../../src/roce/wire/aeth.js';
import { AETH_AT, Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import type { QpAttributes } from '../../../src/verbs/qp-attributes.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import { NicPair, type Side } from '../../../testkit/nic-pair.js';

const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

interface Outcome {
  /** Syndrome of the NAK, if one was sent. */
  readonly wire: number | undefined;
  readonly requester: string[];
  readonly responder: string[];
  readonly events: string[];
  readonly responderState: QpState;
}

interface Scene {
  readonly attributes?: Partial<QpAttributes>;
  readonly lossy?: boolean;
  /** Posts one request with wrId 1 at `a`; `memory` of `b` grants everything. */
  readonly act: (a: Side, b: Side, memory: { remoteVa: number; rkey: number }) => void;
  /** Receives that `b` posts, wrId 5 first; default one of 64 bytes. */
  readonly receives?: (b: Side) => void;
}

function eventsOf(side: Side): string[] {
  const types: string[] = [];
  for (let event = side.nic.takeEvent(); event !== undefined; event = side.nic.takeEvent())
    types.push(event.type);
  return types;
}

function play(scene: Scene): Outcome {
  const pair = new NicPair({
    mtu: 256,
    attributes: { timeout: 8, ...scene.attributes },
    ...(scene.lossy ? { tap: (item) => item.to === 0 } : {}),
  });
  const [a, b] = pair.sides;
  const { region, grant } = b.region(64, ALL);
  if (scene.receives === undefined) b.postRecv(5, b.region(64).region);
  else scene.receives(b);
  scene.act(a, b, { remoteVa: region.va, rkey: grant.rkey });
  a.send(2, a.region(4, 0, 1).region);
  pair.run();
  const naks = pair.sent
    .filter((item) => item.to === 0 && item.packet.opcode === Opcode.RC_ACKNOWLEDGE)
    .map((item) => aethSyndrome(item.bytes, AETH_AT))
    .filter((syndrome) => syndrome > 0x1f);
  assert.deepEqual(eventsOf(a), [], 'the requester has completions, and no event');
  return {
    wire: naks.at(-1),
    requester: a.statuses('send'),
    responder: b.statuses('recv'),
    events: eventsOf(b),
    responderState: b.qp.state,
  };
}

const eight = (a: Side): [never, number, number] => [a.region(8).region as never, 0, 8];
const FLUSHED = '2:WR_FLUSH_ERR';

test('no ACK, retries spent: RETRY_EXC_ERR, and the responder sees nothing', () => {
  const outcome = play({ lossy: true, act: (a) => a.send(1, a.region(4).region) });
  assert.deepEqual(outcome, {
    wire: undefined,
    requester: ['1:RETRY_EXC_ERR', FLUSHED],
    responder: [],
    events: [],
    responderState: QpState.RTS,
  });
});

test('RNR retries spent: an RNR NAK, RNR_RETRY_EXC_ERR, and the responder sees nothing', () => {
  const outcome = play({
    attributes: { rnrRetry: 2, minRnrTimer: 5 },
    receives: () => {},
    act: (a) => a.send(1, a.region(4).region),
  });
  assert.deepEqual(outcome, {
    wire: 0x25,
    requester: ['1:RNR_RETRY_EXC_ERR', FLUSHED],
    responder: [],
    events: [],
    responderState: QpState.RTS,
  });
});

const ACCESS = {
  wire: 0x62,
  requester: ['1:REM_ACCESS_ERR', FLUSHED],
  responder: ['5:WR_FLUSH_ERR'],
  events: ['QP_ACCESS_ERR'],
  responderState: QpState.ERR,
};

test('bad rkey: NAK 0x62, REM_ACCESS_ERR, QP_ACCESS_ERR and no failed receive', () => {
  for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ, WrOpcode.ATOMIC_FETCH_AND_ADD]) {
    const outcome = play({
      act: (a, _, { remoteVa, rkey }) => a.post({ opcode, wrId: 1, remoteVa, rkey: rkey ^ 1 }, eight(a)),
    });
    assert.deepEqual(outcome, ACCESS);
  }
});

test('out of bounds: the same', () => {
  for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ, WrOpcode.ATOMIC_FETCH_AND_ADD]) {
    const outcome = play({
      act: (a, _, { remoteVa, rkey }) => a.post({ opcode, wrId: 1, remoteVa: remoteVa + 64, rkey }, eight(a)),
    });
    assert.deepEqual(outcome, ACCESS);
  }
});

test('memory of another protection domain: the same', () => {
  const outcome = play({
    act: (a, b) => {
      const { region, grant } = b.nic.regions.register(new Uint8Array(64), ALL, b.pd + 1);
      a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, remoteVa: region.va, rkey: grant?.rkey ?? 0 }, eight(a));
    },
  });
  assert.deepEqual(outcome, ACCESS);
});

test('the region lacks the right: the same, right by right', () => {
  const rights: [number, number][] = [
    [WrOpcode.RDMA_WRITE, AccessFlags.REMOTE_WRITE],
    [WrOpcode.RDMA_READ, AccessFlags.REMOTE_READ],
    [WrOpcode.ATOMIC_FETCH_AND_ADD, AccessFlags.REMOTE_ATOMIC],
    [WrOpcode.ATOMIC_CMP_AND_SWP, AccessFlags.REMOTE_ATOMIC],
  ];
  for (const [opcode, right] of rights) {
    for (const access of [ALL & ~right, AccessFlags.LOCAL_WRITE | right]) {
      const outcome = play({
        act: (a, b) => {
          const { region, grant } = b.region(64, access);
          a.post({ opcode, wrId: 1, remoteVa: region.va, rkey: grant.rkey }, eight(a));
        },
      });
      if (access === (ALL & ~right)) assert.deepEqual(outcome, ACCESS);
      else assert.equal(outcome.requester[0], '1:SUCCESS');
    }
  }
});

test('the receive of a WRITE with immediate that is refused is flushed, not failed', () => {
  const outcome = play({
    act: (a, _, { remoteVa, rkey }) =>
      a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 1, remoteVa, rkey: rkey ^ 1 }, eight(a)),
  });
  assert.deepEqual(outcome, ACCESS);
});

const INVALID = {
  wire: 0x61,
  requester: ['1:REM_INV_REQ_ERR', FLUSHED],
  responder: ['5:WR_FLUSH_ERR'],
  events: ['QP_REQ_ERR'],
  responderState: QpState.ERR,
};

test('the queue pair lacks the access flag: NAK 0x61, REM_INV_REQ_ERR and QP_REQ_ERR, flag by flag', () => {
  const flags: [number, number][] = [
    [WrOpcode.RDMA_WRITE, AccessFlags.REMOTE_WRITE],
    [WrOpcode.RDMA_READ, AccessFlags.REMOTE_READ],
    [WrOpcode.ATOMIC_FETCH_AND_ADD, AccessFlags.REMOTE_ATOMIC],
  ];
  for (const [opcode, flag] of flags) {
    const outcome = play({
      attributes: { accessFlags: ALL & ~flag },
      act: (a, _, to) => a.post({ opcode, wrId: 1, ...to }, eight(a)),
    });
    assert.deepEqual(outcome, INVALID);
    const other = play({
      attributes: { accessFlags: flag },
      act: (a, _, to) => a.post({ opcode, wrId: 1, ...to }, eight(a)),
    });
    assert.equal(other.requester[0], '1:SUCCESS');
  }
});

test('misaligned atomic: the same', () => {
  const outcome = play({
    act: (a, _, { remoteVa, rkey }) =>
      a.post({ opcode: WrOpcode.ATOMIC_CMP_AND_SWP, wrId: 1, remoteVa: remoteVa + 4, rkey }, eight(a)),
  });
  assert.deepEqual(outcome, INVALID);
});

test('bad sequence and bad length: the same on the responder', () => {
  for (const [opcode, payloadLength] of [
    [Opcode.RC_SEND_LAST, 4],
    [Opcode.RC_SEND_FIRST, 4],
  ] as const) {
    const peer = new HandPeer();
    peer.side.postRecv(5, peer.side.region(64).region);
    peer.give({ opcode, psn: 0, payloadLength });
    assert.deepEqual(peer.take(), ['NAK_INVALID 0 msn 0']);
    assert.deepEqual(peer.recvStatuses(), ['5:WR_FLUSH_ERR']);
    assert.deepEqual(peer.events(), ['QP_REQ_ERR']);
    assert.equal(peer.qp.state, QpState.ERR);
  }
});

test('RECV too small: NAK 0x61, REM_INV_REQ_ERR, and LOC_LEN_ERR at the responder, as NICs do it', () => {
  for (const length of [9, 600]) {
    const outcome = play({
      receives: (b) => {
        b.postRecv(5, b.region(8).region);
        b.postRecv(6);
      },
      act: (a) => a.send(1, a.region(length).region),
    });
    assert.deepEqual(outcome, {
      wire: 0x61,
      requester: ['1:REM_INV_REQ_ERR', FLUSHED],
      responder: ['5:LOC_LEN_ERR', '6:WR_FLUSH_ERR'],
      events: [],
      responderState: QpState.ERR,
    });
  }
});

test("RECV's own lkey or range bad: NAK 0x63, REM_OP_ERR, and LOC_PROT_ERR at the responder", () => {
  const receives: ((b: Side) => void)[] = [
    (b) => b.postRecv(5, b.region(64, 0).region),
    (b) => b.postRecv(5, b.region(64).region, 1, 64),
    (b) => b.postRecv(5, b.nic.regions.register(new Uint8Array(64), 1, b.pd + 1).region),
    (b) => {
      const { region } = b.region(64);
      b.nic.regions.deregister(region);
      b.postRecv(5, region);
    },
  ];
  for (const post of receives) {
    const outcome = play({
      receives: (b) => {
        post(b);
        b.postRecv(6);
      },
      act: (a) => a.send(1, a.region(4).region),
    });
    assert.deepEqual(outcome, {
      wire: 0x63,
      requester: ['1:REM_OP_ERR', FLUSHED],
      responder: ['5:LOC_PROT_ERR', '6:WR_FLUSH_ERR'],
      events: [],
      responderState: QpState.ERR,
    });
  }
});

test('a message without payload does not look at the memory of its receive', () => {
  const outcome = play({
    receives: (b) => {
      b.postRecv(5, b.region(64, 0).region);
      b.postRecv(6, b.region(64).region);
    },
    act: (a, _, to) => a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 1, ...to }, eight(a)),
  });
  assert.deepEqual(outcome.requester, ['1:SUCCESS', '2:SUCCESS']);
  assert.deepEqual(outcome.responder, ['5:SUCCESS', '6:SUCCESS']);
});

test("the requester's own SGE bad: LOC_PROT_ERR, nothing on the wire, and the responder sees nothing", () => {
  const cases: [number, (a: Side) => [never, number, number]][] = [
    [WrOpcode.SEND, (a) => [a.nic.regions.register(new Uint8Array(8), 1, a.pd + 1).region as never, 0, 8]],
    [WrOpcode.RDMA_WRITE, (a) => [a.region(8).region as never, 1, 8]],
    [WrOpcode.RDMA_READ, (a) => [a.region(8, 0).region as never, 0, 8]],
    [WrOpcode.ATOMIC_FETCH_AND_ADD, (a) => [a.region(8, 0).region as never, 0, 8]],
  ];
  for (const [opcode, sge] of cases) {
    const outcome = play({ act: (a, _, to) => a.post({ opcode, wrId: 1, ...to }, sge(a)) });
    assert.deepEqual(outcome, {
      wire: undefined,
      requester: ['1:LOC_PROT_ERR', FLUSHED],
      responder: [],
      events: [],
      responderState: QpState.RTS,
    });
  }
});

test('a READ target that is deregistered while the answer is on its way: LOC_PROT_ERR', () => {
  const pair = new NicPair();
  const [a, b] = pair.sides;
  const { region, grant } = b.region(8, ALL);
  const { region: into } = a.region(8);
  const to = { remoteVa: region.va, rkey: grant.rkey };
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 1, ...to }, [into, 0, 8]);
  pair.run(() => pair.sent.length === 2);
  a.nic.regions.deregister(into);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:LOC_PROT_ERR']);
});

test('a nonsense answer: BAD_RESP_ERR', () => {
  const post = (peer: HandPeer, opcode: number, length: number): void =>
    peer.side.post({ opcode, wrId: 1, remoteVa: 8, rkey: 7 }, [peer.side.region(length).region, 0, length]);
  const cases: [string, number, number, Parameters<HandPeer['give']>[0]][] = [
    [
      'too little data',
      WrOpcode.RDMA_READ,
      8,
      { opcode: Opcode.RC_READ_RESPONSE_ONLY, psn: 0, payloadLength: 7 },
    ],
    [
      'too much data',
      WrOpcode.RDMA_READ,
      8,
      { opcode: Opcode.RC_READ_RESPONSE_ONLY, psn: 0, payloadLength: 9 },
    ],
    [
      'READ data for an atomic',
      WrOpcode.ATOMIC_FETCH_AND_ADD,
      8,
      { opcode: Opcode.RC_READ_RESPONSE_ONLY, psn: 0, payloadLength: 8 },
    ],
    [
      'an atomic result for a READ',
      WrOpcode.RDMA_READ,
      8,
      { opcode: Opcode.RC_ATOMIC_ACKNOWLEDGE, psn: 0, original: 1 },
    ],
  ];
  for (const [name, opcode, length, packet] of cases) {
    const peer = new HandPeer();
    post(peer, opcode, length);
    peer.take();
    assert.equal(peer.give({ ...packet, aeth: { syndrome: 0x1f } }), 'bad_response', name);
    assert.deepEqual(peer.sendStatuses(), ['1:BAD_RESP_ERR'], name);
    assert.equal(peer.qp.state, QpState.ERR);
  }
});

test('the NAK leaves before the queue pair is in ERR, and then everything that arrives is dropped', () => {
  const peer = new HandPeer();
  peer.give({ opcode: Opcode.RC_SEND_LAST, psn: 0, payloadLength: 4 });
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0 }), 'bad_state');
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: -1 }), 'bad_state');
  assert.deepEqual(peer.take(), ['NAK_INVALID 0 msn 0']);
  assert.deepEqual(peer.take(), []);
});

test('after any error completion everything that is posted later completes with WR_FLUSH_ERR', () => {
  const peer = new HandPeer({ attributes: { retryCount: 0, timeout: 6 } });
  peer.side.send(1, peer.side.region(4).region);
  peer.wait(1e6);
  assert.deepEqual(peer.sendStatuses(), ['1:RETRY_EXC_ERR']);
  peer.side.send(2, peer.side.region(4).region);
  peer.side.postRecv(3);
  assert.deepEqual(peer.sendStatuses(), ['2:WR_FLUSH_ERR']);
  assert.deepEqual(peer.recvStatuses(), ['3:WR_FLUSH_ERR']);
  assert.equal(peer.take().filter((line) => line.startsWith('SEND_ONLY 1')).length, 0);
});
