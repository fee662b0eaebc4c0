/** Numbers of the verbs, pieces, inline data, signaling, completion queues and channels, windows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CqArm } from '../../../src/roce/completion/cq.js';
import { type BindRequest, Window } from '../../../src/roce/qp/bind-request.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags, checkRegionAccess, REMOTE_ACCESS } from '../../../src/verbs/access-flags.js';
import type { RKey } from '../../../src/verbs/brands.js';
import { mtuFromEnum, mtuToEnum, PATH_MTUS } from '../../../src/verbs/mtu.js';
import { QpState, QpType } from '../../../src/verbs/qp-state.js';
import { WcFlags, WcOpcode, WcStatus } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { NicPair, type Side } from '../../../testkit/nic-pair.js';

const MTU = 256;
const ALL = AccessFlags.LOCAL_WRITE | REMOTE_ACCESS;

const fired = ({ nic }: Side): number => {
  let count = 0;
  while (nic.takeFiredCq() !== undefined) count++;
  return count;
};

const events = ({ nic }: Side): string[] => {
  const types: string[] = [];
  for (let event = nic.takeEvent(); event !== undefined; event = nic.takeEvent()) types.push(event.type);
  return types;
};

// --- numbers ----------------------------------------------------------------------------------------------------------

test('access flags, opcodes, send flags, statuses and MTU codes have the numbers of the verbs', () => {
  assert.deepEqual(
    { ...AccessFlags },
    { LOCAL_WRITE: 1, REMOTE_WRITE: 2, REMOTE_READ: 4, REMOTE_ATOMIC: 8, MW_BIND: 16, ZERO_BASED: 32 },
  );
  const { RDMA_WRITE, RDMA_WRITE_WITH_IMM, SEND, SEND_WITH_IMM, RDMA_READ } = WrOpcode;
  assert.deepEqual([RDMA_WRITE, RDMA_WRITE_WITH_IMM, SEND, SEND_WITH_IMM, RDMA_READ], [0, 1, 2, 3, 4]);
  const { ATOMIC_CMP_AND_SWP, ATOMIC_FETCH_AND_ADD, LOCAL_INV, BIND_MW, SEND_WITH_INV } = WrOpcode;
  assert.deepEqual(
    [ATOMIC_CMP_AND_SWP, ATOMIC_FETCH_AND_ADD, LOCAL_INV, BIND_MW, SEND_WITH_INV],
    [5, 6, 7, 8, 9],
  );
  assert.deepEqual([SendFlags.FENCE, SendFlags.SIGNALED, SendFlags.SOLICITED], [1, 2, 4]);
  assert.deepEqual(
    [WcOpcode.SEND, WcOpcode.RDMA_WRITE, WcOpcode.RDMA_READ, WcOpcode.COMP_SWAP, WcOpcode.FETCH_ADD],
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual([WcOpcode.RECV, WcOpcode.RECV_RDMA_WITH_IMM], [128, 129]);
  assert.deepEqual([WcStatus.WR_FLUSH_ERR, WcStatus.REM_ACCESS_ERR, WcStatus.RNR_RETRY_EXC_ERR], [5, 10, 13]);
  assert.deepEqual(PATH_MTUS.map(mtuToEnum), [1, 2, 3, 4, 5]);
  for (const mtu of PATH_MTUS) assert.equal(mtuFromEnum(mtuToEnum(mtu)), mtu);
});

// --- memory -----------------------------------------------------------------------------------------------------------

test('a region that peers may write needs LOCAL_WRITE; one that they may only read does not', () => {
  for (const right of [AccessFlags.REMOTE_WRITE, AccessFlags.REMOTE_ATOMIC]) {
    assert.throws(() => checkRegionAccess(right), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
    checkRegionAccess(right | AccessFlags.LOCAL_WRITE);
  }
  checkRegionAccess(AccessFlags.REMOTE_READ);
});

test('a region without a remote right has no rkey, and one with has another than its lkey', () => {
  const [side] = new NicPair().sides;
  const bytes = new Uint8Array(8);
  assert.equal(side.nic.regions.register(bytes, AccessFlags.LOCAL_WRITE, side.pd).grant, null);
  const { region, grant } = side.nic.regions.register(bytes, AccessFlags.REMOTE_READ, side.pd);
  assert.notEqual(grant?.rkey, region.lkey);
});

test('what is sent needs no right of its region; what a READ or atomic is put into needs LOCAL_WRITE', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(8, ALL);
  const remote = { remoteVa: target.va, rkey: grant.rkey };
  const { region } = a.region(8, 0, 1);
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, ...remote }, [region, 0, 8]);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 2, ...remote }, [region, 0, 8]);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['2:LOC_PROT_ERR']);
});

// --- pieces and inline data -------------------------------------------------------------------------------------------

test('sixteen pieces of any length, empty ones among them, are one message in their order, both ways', () => {
  const lengths = [1, 0, 2, 255, 256, 257, 3, 0, 5, 511, 512, 7, 1, 1, 1000, 3];
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const pieces = (side: Side, fill?: number) =>
    lengths.map(
      (length) => [side.region(length + 8, ALL, fill).region, 4, length] as [never, number, number],
    );
  const joined = (list: ReturnType<typeof pieces>): Uint8Array =>
    Buffer.concat(
      list.map(([region, at, length]) => (region as { bytes: Uint8Array }).bytes.subarray(at, at + length)),
    );
  const sources = pieces(a, 5);
  const receive = pieces(b).reverse();
  b.qp.postRecv({ wrId: 9, sges: receive.map(([mr, offset, length]) => ({ mr, offset, length })) });
  a.post({ opcode: WrOpcode.SEND, wrId: 1 }, ...sources);
  const { region: target, grant } = b.region(total, ALL);
  const remote = { remoteVa: target.va, rkey: grant.rkey };
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 2, ...remote }, ...sources);
  const back = pieces(a);
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 3, ...remote }, ...back);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
  assert.equal(b.completions('recv')[0]?.byteLen, total);
  for (const bytes of [joined(receive), target.bytes, joined(back)]) {
    assert.equal(Buffer.compare(bytes, joined(sources)), 0);
  }
});

test('inline data may be overwritten as soon as it is posted, and is the same when it is sent again', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const target = b.region(64).region;
  b.postRecv(1, target);
  const data = pattern(64, 9);
  a.qp.postSend({ wrId: 5, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, inlineData: data });
  data.fill(0);
  let sends = 0;
  pair.tap = ({ packet }) => packet.opcode !== Opcode.RC_SEND_ONLY || ++sends > 1;
  pair.run();
  assert.equal(sends, 2);
  assert.deepEqual(a.statuses('send'), ['5:SUCCESS']);
  assert.deepEqual(target.bytes, pattern(64, 9));
});

// --- receives ---------------------------------------------------------------------------------------------------------

test('a receive reports what came, for a WRITE with immediate what was written, and the immediate as it was', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(600, ALL);
  b.postRecv(1, b.region(600).region);
  b.postRecv(2);
  a.post({ opcode: WrOpcode.SEND_WITH_IMM, wrId: 1, imm: 0x01020304 }, [a.region(300).region, 0, 300]);
  const remote = { remoteVa: target.va, rkey: grant.rkey, imm: 0xfffefdfc };
  a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 2, ...remote }, [a.region(600).region, 0, 600]);
  pair.run();
  assert.deepEqual(
    b.completions('recv').map(({ opcode, byteLen, imm, flags }) => [opcode, byteLen, imm, flags]),
    [
      [WcOpcode.RECV, 300, 0x01020304, WcFlags.WITH_IMM],
      [WcOpcode.RECV_RDMA_WITH_IMM, 600, 0xfffefdfc, WcFlags.WITH_IMM],
    ],
  );
});

test('an atomic returns what was there in the order of the host, and its 64 bits wrap around', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(8, ALL);
  const word = new DataView(target.bytes.buffer);
  word.setBigUint64(0, 0xffff_ffff_ffff_fffen, true);
  const result = a.region(8).region;
  const remote = { remoteVa: target.va, rkey: grant.rkey };
  a.post({ opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, wrId: 1, ...remote, compareAdd: 5n }, [result, 0, 8]);
  pair.run();
  assert.equal(new DataView(result.bytes.buffer).getBigUint64(0, true), 0xffff_ffff_ffff_fffen);
  assert.equal(word.getBigUint64(0, true), 3n);
});

test('an atomic whose result has less than 8 bytes of room fails here, and nothing leaves', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(8, ALL);
  const remote = { remoteVa: target.va, rkey: grant.rkey, compareAdd: 5n };
  a.post({ opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, wrId: 1, ...remote }, [a.region(8).region, 0, 7]);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:LOC_LEN_ERR']);
  assert.equal(pair.sent.length, 0);
  assert.deepEqual([...target.bytes], new Array(8).fill(0));
});

// --- signaling --------------------------------------------------------------------------------------------------------

test('requests without a signal give their places back: a queue of 64 takes thousands, one completion each 64', () => {
  const pair = new NicPair({ mtu: MTU, signalAll: false, cqCapacity: 64 });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(8, ALL);
  const source = a.region(8, 0, 1).region;
  const remote = { remoteVa: target.va, rkey: grant.rkey };
  const completed: string[] = [];
  for (let batch = 0; batch < 40; batch++) {
    for (let i = 0; i < 64; i++) {
      assert.equal(a.qp.requester.queue.full, false);
      a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: batch, signaled: i === 63, ...remote }, [source, 0, 8]);
    }
    pair.run();
    completed.push(...a.statuses('send'));
  }
  assert.deepEqual(
    completed,
    Array.from({ length: 40 }, (_, batch) => `${batch}:SUCCESS`),
  );
});

test('a request without a signal that fails gets a completion all the same', () => {
  const pair = new NicPair({ mtu: MTU, signalAll: false });
  const [a] = pair.sides;
  const source = a.region(8, 0, 1).region;
  const wrong = { opcode: WrOpcode.RDMA_WRITE, remoteVa: 4096, rkey: 1, signaled: false };
  a.post({ ...wrong, wrId: 1 }, [source, 0, 8]);
  a.post({ ...wrong, wrId: 2 }, [source, 0, 8]);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:REM_ACCESS_ERR', '2:WR_FLUSH_ERR']);
});

// --- completion queues ------------------------------------------------------------------------------------------------

test('a completion queue that overruns raises CQ_ERR once, keeps what it has, and ends its queue pairs', () => {
  const pair = new NicPair({ mtu: MTU, cqCapacity: 2 });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(8, ALL);
  const source = a.region(8, 0, 1).region;
  for (let id = 0; id < 5; id++) {
    const remote = { remoteVa: target.va, rkey: grant.rkey };
    a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: id, ...remote }, [source, 0, 8]);
  }
  pair.run();
  assert.deepEqual(events(a), ['CQ_ERR', 'QP_FATAL']);
  assert.equal(a.qp.state, QpState.ERR);
  assert.deepEqual(a.statuses('send'), ['0:SUCCESS', '1:SUCCESS']);
  assert.equal(a.sendCq.overrun, true);
  assert.equal(a.nic.counters.cqOverruns, 1);
});

test('an armed queue fires once, for the first completion, and not again before it is armed again', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const source = a.region(8, 0, 1).region;
  for (let id = 0; id < 4; id++) b.postRecv(id, b.region(8).region);
  b.recvCq.arm = CqArm.ALL;
  a.send(1, source);
  a.send(2, source);
  pair.run();
  assert.equal(fired(b), 1);
  b.recvCq.arm = CqArm.ALL;
  pair.run();
  assert.equal(fired(b), 0, 'what was there before it was armed is for polling');
  a.send(3, source);
  pair.run();
  assert.equal(fired(b), 1);
});

test('arm, poll until empty, wait: no completion is slept through, wherever it comes in between', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const source = a.region(8, 0, 1).region;
  const total = 60;
  let seen = 0;
  let sent = 0;
  const send = (): void => {
    if (sent === total) return;
    b.postRecv(sent, b.region(8).region);
    a.send(sent++, source);
    a.statuses('send');
  };
  // The message comes before arming, between arming and polling, or after both.
  for (let turn = 0; seen < total; turn++) {
    assert.equal(turn < 3 * total, true, `asleep with ${sent - seen} of ${sent} messages unseen`);
    const moment = turn % 3;
    if (moment === 0) send();
    pair.run();
    b.recvCq.arm = CqArm.ALL;
    if (moment === 1) send();
    pair.run();
    const polled = b.statuses('recv').length;
    seen += polled;
    if (polled > 0) continue;
    send();
    pair.run();
    if (sent > seen) assert.equal(fired(b) > 0, true, 'nothing would ever wake this program');
  }
  assert.equal(seen, total);
});

test('armed for solicited ones, a queue fires for SE, not without it, and for every error', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const source = a.region(600, 0, 1).region;
  for (let id = 0; id < 4; id++) b.postRecv(id, b.region(600).region);
  b.recvCq.arm = CqArm.SOLICITED;
  a.send(1, source);
  pair.run();
  assert.equal(fired(b), 0);
  a.post({ opcode: WrOpcode.SEND, wrId: 2, solicited: true }, [source, 0, 600]);
  pair.run();
  assert.equal(fired(b), 1);
  b.recvCq.arm = CqArm.SOLICITED;
  b.qp.modify({ state: QpState.ERR });
  assert.equal(fired(b), 1, 'flushed receives are errors');
});

test('SE is on the last packet of a SEND or a WRITE with immediate, and on no other', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(600, ALL);
  const source = a.region(600, ALL, 1).region;
  for (let id = 0; id < 3; id++) b.postRecv(id, b.region(600).region);
  const remote = { remoteVa: target.va, rkey: grant.rkey, solicited: true };
  a.post({ opcode: WrOpcode.SEND, wrId: 1, solicited: true }, [source, 0, 600]);
  a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 2, ...remote }, [source, 0, 600]);
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 3, ...remote }, [source, 0, 600]);
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 4, ...remote }, [source, 0, 600]);
  pair.run();
  const solicited = pair.sent
    .filter(({ packet }) => packet.solicited !== 0)
    .map(({ packet }) => packet.opcode);
  assert.deepEqual(solicited, [Opcode.RC_SEND_LAST, Opcode.RC_WRITE_LAST_IMM]);
  assert.equal(a.statuses('send').length, 4);
});

// --- shared receives --------------------------------------------------------------------------------------------------

test('a shared receive queue raises its limit event once, when fewer than the limit are left', () => {
  const pair = new NicPair({ mtu: MTU, srq: true });
  const [a, b] = pair.sides;
  const source = a.region(8, 0, 1).region;
  assert.ok(b.srq);
  b.srq.limit = 3;
  for (let id = 0; id < 5; id++) b.postRecv(id, b.region(8).region);
  const seen: string[][] = [];
  for (let id = 0; id < 5; id++) {
    a.send(id, source);
    pair.run();
    seen.push(events(b));
  }
  assert.deepEqual(seen, [[], [], ['SRQ_LIMIT_REACHED'], [], []]);
  b.srq.limit = 3;
  b.postRecv(9, b.region(8).region);
  a.send(9, source);
  pair.run();
  assert.deepEqual(events(b), ['SRQ_LIMIT_REACHED'], 'armed again');
});

// --- memory windows ---------------------------------------------------------------------------------------------------

function bindRequest(side: Side, access: number): BindRequest {
  const { region } = side.region(64, ALL | AccessFlags.MW_BIND);
  const window = new Window(side.pd, side.nic.regions.reserveKey());
  return { mw: window, mr: region, offset: 16, length: 32, access, rkey: side.nic.regions.reserveKey() };
}

function writeTo(pair: NicPair, bind: BindRequest, at: number, length = 8): string[] {
  const [a] = pair.sides;
  const remote = { remoteVa: bind.mr.va + at, rkey: bind.rkey };
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: at, ...remote }, [a.region(length, 0, 1).region, 0, length]);
  pair.run();
  return a.statuses('send');
}

test('a type 2 window opens its part, for its rights and its queue pair, until LOCAL_INV revokes it', () => {
  const open = (access: number): { pair: NicPair; bind: BindRequest } => {
    const pair = new NicPair({ mtu: MTU });
    const [, b] = pair.sides;
    const bind = bindRequest(b, access);
    b.post({ opcode: WrOpcode.BIND_MW, wrId: 1, bind });
    pair.run();
    assert.deepEqual(b.statuses('send'), ['1:SUCCESS']);
    return { pair, bind };
  };
  const { pair, bind } = open(AccessFlags.REMOTE_WRITE);
  assert.deepEqual(writeTo(pair, bind, 16), ['16:SUCCESS'], 'its first byte');
  assert.deepEqual(writeTo(pair, bind, 40), ['40:SUCCESS'], 'its last byte');
  const [, b] = pair.sides;
  b.post({ opcode: WrOpcode.LOCAL_INV, wrId: 2, invalidateRkey: bind.rkey });
  pair.run();
  assert.deepEqual(b.statuses('send'), ['2:SUCCESS']);
  assert.deepEqual(writeTo(pair, bind, 16), ['16:REM_ACCESS_ERR'], 'revoked');
  for (const at of [15, 41]) {
    const outside = open(AccessFlags.REMOTE_WRITE);
    assert.deepEqual(writeTo(outside.pair, outside.bind, at), [`${at}:REM_ACCESS_ERR`], `byte ${at}`);
  }
  const readOnly = open(AccessFlags.REMOTE_READ);
  assert.deepEqual(writeTo(readOnly.pair, readOnly.bind, 16), ['16:REM_ACCESS_ERR'], 'without the right');
});

test('SEND with invalidate revokes a window of the peer, and tells the peer which', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const bind = bindRequest(b, AccessFlags.REMOTE_WRITE);
  b.post({ opcode: WrOpcode.BIND_MW, wrId: 1, bind });
  b.postRecv(2, b.region(8).region);
  pair.run();
  a.post({ opcode: WrOpcode.SEND_WITH_INV, wrId: 3, invalidateRkey: bind.rkey }, [a.region(8).region, 0, 8]);
  pair.run();
  const [wc] = b.completions('recv');
  assert.equal(wc?.flags, WcFlags.WITH_INV);
  assert.equal(wc?.invalidatedRkey, bind.rkey);
  assert.deepEqual(a.statuses('send'), ['3:SUCCESS']);
  assert.deepEqual(writeTo(pair, bind, 16), ['16:REM_ACCESS_ERR']);
});

test('a window of another queue pair, one that is in force already and one without MW_BIND do not bind', () => {
  const pair = new NicPair({ mtu: MTU });
  const [, b] = pair.sides;
  const bind = bindRequest(b, AccessFlags.REMOTE_WRITE);
  assert.equal(b.nic.bindWindow(b.qp, bind), true);
  assert.equal(b.nic.bindWindow(b.qp, { ...bind, rkey: (bind.rkey ^ 0x1234) as RKey }), false, 'in force');
  const other = b.createQp();
  assert.equal(other.invalidate(bind.rkey), false, 'not this one’s to revoke');
  assert.equal(b.qp.invalidate(bind.rkey), true);
  const plain = { ...bind, mr: b.region(64, ALL).region, rkey: b.nic.regions.reserveKey() };
  assert.equal(b.nic.bindWindow(b.qp, plain), false, 'the region does not allow windows');
});

// --- counters ---------------------------------------------------------------------------------------------------------

test('what happens is counted for the queue pair that it happened to, and for the NIC', () => {
  const pair = new NicPair({ mtu: MTU });
  const [a, b] = pair.sides;
  const other = b.nic.createQp(
    {
      type: QpType.RC,
      pd: 1,
      sendCq: b.sendCq,
      recvCq: b.recvCq,
      srq: null,
      signalAll: true,
      capacity: { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 },
    },
    0,
  );
  const { region: target, grant } = b.region(8, ALL);
  const wrong = { remoteVa: target.va + 1, rkey: grant.rkey };
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, ...wrong }, [a.region(8).region, 0, 8]);
  pair.run();
  const counted = b.qp.counters.snapshot();
  const ofNic = b.nic.counters.snapshot();
  for (const name of ['rxPackets', 'fatalNaksSent', 'drop_remote_access']) {
    assert.equal(counted[name], 1, name);
    assert.equal(ofNic[name], 1, name);
  }
  assert.equal(counted['txPackets'], 1);
  assert.equal(counted['txBytes'], 12 + 4 + 4);
  assert.equal(a.qp.counters.snapshot()['fatalNaksReceived'], 1);
  assert.deepEqual(
    Object.entries(other.counters.snapshot()).filter(([, count]) => count !== 0),
    [],
  );
});
