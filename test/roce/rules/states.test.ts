/** The transition table with its attributes, and what each state allows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Qp } from '../../../src/roce/qp/qp.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { QpAttributes } from '../../../src/verbs/qp-attributes.js';
import {
  mayPostRecv,
  mayPostSend,
  mayReceive,
  QpState,
  QpType,
  qpStateName,
} from '../../../src/verbs/qp-state.js';
import { checkTransition } from '../../../src/verbs/qp-transitions.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import { type InFlight, NicPair, Side, toAddress } from '../../../testkit/nic-pair.js';
import { Random } from '../../../testkit/random.js';

const { RESET, INIT, RTR, RTS, SQD, SQE, ERR } = QpState;
const STATES = [RESET, INIT, RTR, RTS, SQD, SQE, ERR];

const VALUES: Omit<Required<QpAttributes>, 'state' | 'curState'> = {
  enSqdAsyncNotify: true,
  accessFlags: AccessFlags.REMOTE_READ,
  pkeyIndex: 0,
  port: 1,
  qkey: 0x1234 as never,
  av: { dgid: '::ffff:10.0.0.1' },
  pathMtu: 1024,
  destQpn: 0x222 as never,
  rqPsn: 1 as never,
  sqPsn: 2 as never,
  maxRdAtomic: 1,
  maxDestRdAtomic: 1,
  minRnrTimer: 12,
  timeout: 14,
  retryCount: 7,
  rnrRetry: 7,
};
type Name = keyof typeof VALUES;
const NAMES = Object.keys(VALUES) as Name[];

const pick = (names: readonly Name[]): Partial<QpAttributes> =>
  Object.fromEntries(names.map((name) => [name, VALUES[name]]));

/** The sheet's table for RC, row by row; attributes that this device does not have (alternate paths) are left out. */
const RC_ROWS: [QpState, QpState, Name[], Name[]][] = [
  [RESET, INIT, ['pkeyIndex', 'port', 'accessFlags'], []],
  [INIT, INIT, [], ['pkeyIndex', 'port', 'accessFlags']],
  [
    INIT,
    RTR,
    ['av', 'pathMtu', 'destQpn', 'rqPsn', 'maxDestRdAtomic', 'minRnrTimer'],
    ['accessFlags', 'pkeyIndex'],
  ],
  [RTR, RTS, ['timeout', 'retryCount', 'rnrRetry', 'sqPsn', 'maxRdAtomic'], ['accessFlags', 'minRnrTimer']],
  [RTS, RTS, [], ['accessFlags', 'minRnrTimer']],
  [RTS, SQD, [], ['enSqdAsyncNotify']],
  [
    SQD,
    SQD,
    [],
    [
      'port',
      'av',
      'timeout',
      'retryCount',
      'rnrRetry',
      'maxRdAtomic',
      'maxDestRdAtomic',
      'accessFlags',
      'pkeyIndex',
      'minRnrTimer',
    ],
  ],
  [SQD, RTS, [], ['accessFlags', 'minRnrTimer']],
  ...STATES.map((from): [QpState, QpState, Name[], Name[]] => [from, RESET, [], []]),
  ...STATES.filter((from) => from !== RESET).map((from): [QpState, QpState, Name[], Name[]] => [
    from,
    ERR,
    [],
    [],
  ]),
];

const failsWith = (code: string, word: string) => (error: unknown) =>
  error instanceof RdmaError && error.code === code && error.message.includes(word);

test('every legal RC transition takes its required attributes, and each of the optional ones', () => {
  for (const [from, to, required, optional] of RC_ROWS) {
    assert.equal(checkTransition(QpType.RC, from, { state: to, ...pick(required) }), to);
    for (const name of optional) {
      assert.equal(checkTransition(QpType.RC, from, { state: to, ...pick([...required, name]) }), to);
    }
    assert.equal(checkTransition(QpType.RC, from, { state: to, ...pick([...required, ...optional]) }), to);
  }
});

test('a missing required attribute is refused by name', () => {
  for (const [from, to, required] of RC_ROWS) {
    for (const missing of required) {
      const rest = required.filter((name) => name !== missing);
      assert.throws(
        () => checkTransition(QpType.RC, from, { state: to, ...pick(rest) }),
        failsWith('ERR_RDMA_INVALID_ARGUMENT', missing),
      );
    }
  }
});

test('an attribute outside of required and optional is refused by name', () => {
  for (const [from, to, required, optional] of RC_ROWS) {
    for (const extra of NAMES) {
      if (required.includes(extra) || optional.includes(extra)) continue;
      assert.throws(
        () => checkTransition(QpType.RC, from, { state: to, ...pick([...required, extra]) }),
        failsWith('ERR_RDMA_INVALID_ARGUMENT', extra),
        `${qpStateName(from)} to ${qpStateName(to)} with ${extra}`,
      );
    }
  }
});

test('every transition that is not in the table is refused with both states in the message', () => {
  let refused = 0;
  for (const from of STATES) {
    for (const to of STATES) {
      if (RC_ROWS.some((row) => row[0] === from && row[1] === to)) continue;
      const step = `${qpStateName(from)} → ${qpStateName(to)}`;
      assert.throws(
        () => checkTransition(QpType.RC, from, { state: to, ...pick(NAMES) }),
        failsWith('ERR_RDMA_INVALID_STATE', step),
      );
      refused++;
    }
  }
  assert.equal(refused + new Set(RC_ROWS.map(([from, to]) => from * 8 + to)).size, STATES.length ** 2);
});

test('RESET to ERR is not in the table, and SQE to RTS is there for UC and UD only', () => {
  for (const type of [QpType.RC, QpType.UC, QpType.UD]) {
    assert.throws(
      () => checkTransition(type, RESET, { state: ERR }),
      failsWith('ERR_RDMA_INVALID_STATE', 'RESET'),
    );
  }
  assert.equal(checkTransition(QpType.UC, SQE, { state: RTS }), RTS);
  assert.equal(checkTransition(QpType.UD, SQE, { state: RTS }), RTS);
  assert.throws(
    () => checkTransition(QpType.RC, SQE, { state: RTS }),
    failsWith('ERR_RDMA_INVALID_STATE', 'SQE'),
  );
});

test('CUR_STATE is legal only from RTR, RTS, SQD and SQE, and must be right', () => {
  const legal: [QpState, QpState][] = [
    [RTR, RTS],
    [RTS, RTS],
    [SQD, RTS],
  ];
  for (const [from, to] of legal) {
    const required = RC_ROWS.find((row) => row[0] === from && row[1] === to)?.[2] ?? [];
    const attributes = { state: to, ...pick(required) };
    assert.equal(checkTransition(QpType.RC, from, { ...attributes, curState: from }), to);
    assert.throws(
      () => checkTransition(QpType.RC, from, { ...attributes, curState: INIT }),
      failsWith('ERR_RDMA_INVALID_STATE', 'INIT'),
    );
  }
  for (const [from, to] of [
    [RESET, INIT],
    [INIT, RTR],
  ] as const) {
    const required = RC_ROWS.find((row) => row[0] === from && row[1] === to)?.[2] ?? [];
    assert.throws(
      () => checkTransition(QpType.RC, from, { state: to, ...pick(required), curState: from }),
      failsWith('ERR_RDMA_INVALID_ARGUMENT', 'curState'),
    );
  }
});

test('values out of range are refused, and leave the queue pair as it was', () => {
  const bad: [keyof typeof VALUES, unknown][] = [
    ['pathMtu', 1500],
    ['pathMtu', 0],
    ['rqPsn', 2 ** 24],
    ['destQpn', -1],
    ['minRnrTimer', 32],
    ['maxDestRdAtomic', 1.5],
    ['av', { dgid: 'nonsense' }],
    ['av', { dgid: 'fd00::1' }],
    ['av', { dgid: '::ffff:10.0.0.1', udpPort: 65_536 }],
    ['av', { dgid: '::ffff:10.0.0.1', flowLabel: 2 ** 20 }],
  ];
  for (const [name, value] of bad) {
    const { qp } = fresh();
    bring(qp, INIT);
    const required = RC_ROWS[2]?.[2] ?? [];
    assert.throws(
      () => qp.modify({ state: RTR, ...pick(required), [name]: value }),
      failsWith('ERR_RDMA_INVALID_ARGUMENT', ''),
      `${name}`,
    );
    assert.equal(qp.state, INIT);
    qp.modify({ state: RTR, ...pick(required) });
  }
});

// --- what each state allows -------------------------------------------------------------------------------------------

function fresh(): Side {
  return new Side(toAddress('10.0.0.2'), 7, { mtu: 1024 });
}

/** Takes a queue pair in RESET to `state`. */
function bring(qp: Qp, state: QpState): void {
  const step = (to: QpState): void => {
    const row = RC_ROWS.find((candidate) => candidate[0] === qp.state && candidate[1] === to);
    qp.modify({ state: to, ...pick(row?.[2] ?? []) });
  };
  if (state === RESET) return;
  step(INIT);
  if (state === ERR) step(ERR);
  if (state === INIT || state === ERR) return;
  step(RTR);
  if (state === RTR) return;
  step(RTS);
  if (state === SQD) step(SQD);
}

test('post_recv: everywhere but in RESET; post_send: from RTS on; incoming requests: RTR to SQE', () => {
  const table: [QpState, boolean, boolean, boolean][] = [
    [RESET, false, false, false],
    [INIT, true, false, false],
    [RTR, true, false, true],
    [RTS, true, true, true],
    [SQD, true, true, true],
    [SQE, true, true, true],
    [ERR, true, true, false],
  ];
  for (const [state, recv, send, incoming] of table) {
    const name = qpStateName(state);
    assert.equal(mayPostRecv(state), recv, name);
    assert.equal(mayPostSend(state), send, name);
    assert.equal(mayReceive(state), incoming, name);
  }
});

test('incoming requests are dropped in RESET, INIT and ERR, and processed in RTR, RTS and SQD', () => {
  for (const state of [RESET, INIT, RTR, RTS, SQD, ERR]) {
    const peer = new HandPeer();
    const { qp } = peer;
    const attributes = { ...VALUES, destQpn: peer.pair.sides[0].qp.qpn as never, rqPsn: 0xfffffe as never };
    qp.modify({ state: RESET });
    for (const to of [INIT, RTR, RTS, SQD]) {
      if (state === RESET || state === ERR || qp.state === state) break;
      const row = RC_ROWS.find((candidate) => candidate[0] === qp.state && candidate[1] === to);
      qp.modify({
        state: to,
        ...Object.fromEntries((row?.[2] ?? []).map((name) => [name, attributes[name]])),
      });
    }
    if (state === ERR) {
      qp.modify({ state: INIT, ...pick(['pkeyIndex', 'port', 'accessFlags']) });
      qp.modify({ state: ERR });
    }
    assert.equal(qp.state, state);
    if (state !== RESET && state !== ERR) peer.side.postRecv(1, peer.side.region(8).region);
    const outcome = peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true, payloadLength: 4 });
    const processed = state === RTR || state === RTS || state === SQD;
    assert.equal(outcome, processed ? '' : 'bad_state', qpStateName(state));
    assert.deepEqual(peer.take(), processed ? ['ACK 0 msn 1'] : [], qpStateName(state));
  }
});

test('a responder in RTR already answers READs, so the passive side may go to RTS later', () => {
  const pair = new NicPair();
  const [a, b] = pair.sides;
  b.qp.modify({ state: RESET });
  b.qp.modify({ state: INIT, ...pick(['pkeyIndex', 'port']), accessFlags: 15 });
  b.qp.modify({
    state: RTR,
    ...pick(RC_ROWS[2]?.[2] ?? []),
    destQpn: a.qp.qpn as never,
    rqPsn: 0xfffffe as never,
  });
  const { region, grant } = b.region(8, AccessFlags.REMOTE_READ, 9);
  const into = a.region(8).region;
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 1, remoteVa: region.va, rkey: grant.rkey }, [into, 0, 8]);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  assert.deepEqual(into.bytes, region.bytes);
  assert.equal(b.qp.state, RTR);
});

test('to RESET: both queues are emptied, without completions, and the queue pair starts over', () => {
  const peer = new HandPeer();
  const { side, qp } = peer;
  side.send(1, side.region(2048).region);
  side.send(2, side.region(8).region);
  side.postRecv(3, side.region(2048).region);
  side.postRecv(4);
  peer.take();
  peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: 1024 });
  qp.modify({ state: RESET });
  assert.deepEqual(peer.sendStatuses(), []);
  assert.deepEqual(peer.recvStatuses(), []);
  assert.deepEqual(peer.take(), []);
  assert.equal(qp.receives.count, 0);
  assert.equal(qp.requester.queue.empty, true);
  peer.wait(1e7);
  assert.deepEqual(peer.take(), [], 'no timer of its former life');
  peer.pair.bringUp(qp, {
    ...VALUES,
    accessFlags: 15,
    destQpn: peer.pair.sides[0].qp.qpn as never,
    rqPsn: 0xfffffe as never,
    sqPsn: 0x123456 as never,
  });
  side.postRecv(5, side.region(8).region);
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true, payloadLength: 1 }), '');
  side.send(6, side.region(8).region);
  assert.deepEqual(peer.take(), ['ACK 0 msn 1', 'SEND_ONLY 0 ack']);
  assert.deepEqual(peer.recvStatuses(), ['5:SUCCESS']);
});

test('to ERR: everything outstanding and everything later on both queues is flushed, in posting order', () => {
  const pair = new NicPair({ tap: () => false });
  const [a] = pair.sides;
  const { region } = a.region(4000);
  const { region: into } = a.region(8);
  a.send(1, region);
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 2, remoteVa: 1, rkey: 1 }, [into, 0, 8]);
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 3, remoteVa: 1, rkey: 1 }, [into, 0, 8]);
  for (const id of [11, 12, 13]) a.postRecv(id);
  pair.transmit();
  a.send(4, region);
  a.qp.modify({ state: ERR });
  a.send(5, region);
  a.postRecv(14);
  assert.deepEqual(
    a.statuses('send'),
    [1, 2, 3, 4, 5].map((id) => `${id}:WR_FLUSH_ERR`),
  );
  assert.deepEqual(
    a.statuses('recv'),
    [11, 12, 13, 14].map((id) => `${id}:WR_FLUSH_ERR`),
  );
  const sent = pair.sent.length;
  pair.transmit();
  assert.equal(pair.sent.length, sent, 'nothing more is sent');
  a.qp.modify({ state: ERR });
  assert.deepEqual(a.statuses('send'), [], 'ERR to ERR does nothing');
  assert.equal(a.nic.takeEvent(), undefined, 'the program asked for it, so no event tells');
});

test('a receive that is half filled when the queue pair fails is flushed first', () => {
  const peer = new HandPeer();
  for (const id of [1, 2]) peer.side.postRecv(id, peer.side.region(4096).region);
  peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: 1024 });
  peer.qp.modify({ state: ERR });
  assert.deepEqual(peer.recvStatuses(), ['1:WR_FLUSH_ERR', '2:WR_FLUSH_ERR']);
});

test('to ERR: what the program was told of is acknowledged all the same, but READs are not answered', () => {
  const outcomeOf = (opcode: WrOpcode): string[] => {
    const pair = new NicPair({ attributes: { timeout: 8, retryCount: 1 } });
    const [a, b] = pair.sides;
    const { region, grant } = b.region(8, AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ);
    b.postRecv(1, region);
    a.post({ opcode, wrId: 7, remoteVa: region.va, rkey: grant.rkey }, [a.region(8).region, 0, 8]);
    pair.tap = () => false;
    pair.transmit();
    pair.tap = undefined;
    pair.deliver(pair.sent[0] as InFlight);
    b.qp.modify({ state: ERR });
    pair.run();
    return a.statuses('send');
  };
  assert.deepEqual(outcomeOf(WrOpcode.SEND), ['7:SUCCESS']);
  assert.deepEqual(outcomeOf(WrOpcode.RDMA_READ), ['7:RETRY_EXC_ERR']);
});

test('to ERR with a shared receive queue: its entries stay, and LAST_WQE_REACHED is raised once', () => {
  const peer = new HandPeer({ srq: true });
  for (const id of [1, 2]) peer.side.postRecv(id, peer.side.region(4096).region);
  peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: 1024 });
  peer.qp.modify({ state: ERR });
  assert.deepEqual(peer.recvStatuses(), ['1:WR_FLUSH_ERR'], 'only the one that was taken out');
  assert.equal(peer.side.srq?.receives.count, 1);
  assert.deepEqual(peer.events(), ['QP_LAST_WQE_REACHED']);
});

test('SQD finishes the request in progress, holds new ones, and raises SQ_DRAINED once if asked to', () => {
  const peer = new HandPeer({ mtu: 256 });
  const { side, qp } = peer;
  // More packets than the first window, so that the first request is in progress.
  side.send(1, side.region(256 * 40).region);
  const first = peer.take();
  side.send(2, side.region(8).region);
  qp.modify({ state: SQD, enSqdAsyncNotify: true });
  assert.deepEqual(peer.events(), []);
  let packets = first.length;
  for (let round = 0; round < 50 && packets < 40; round++) {
    peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: packets - 1, aeth: { syndrome: 0x1f } });
    packets += peer.take().length;
  }
  assert.equal(packets, 40);
  assert.deepEqual(peer.events(), []);
  peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 39, aeth: { syndrome: 0x1f } });
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
  assert.deepEqual(peer.events(), ['SQ_DRAINED']);
  assert.deepEqual(peer.take(), []);
  side.send(3, side.region(8).region);
  assert.deepEqual(peer.take(), []);
  qp.modify({ state: RTS });
  assert.deepEqual(peer.take(), ['SEND_ONLY 40 ack', 'SEND_ONLY 41 ack']);
  assert.deepEqual(peer.events(), []);
});

test('SQD of an idle queue raises SQ_DRAINED at once, and without EN_SQD_ASYNC_NOTIFY never', () => {
  const peer = new HandPeer();
  peer.qp.modify({ state: SQD });
  assert.deepEqual(peer.events(), []);
  peer.qp.modify({ state: RTS });
  peer.qp.modify({ state: SQD, enSqdAsyncNotify: true });
  assert.deepEqual(peer.events(), ['SQ_DRAINED']);
});

test('SQD to SQD changes the limits of READs and atomics for what comes next', () => {
  const peer = new HandPeer({ attributes: { maxRdAtomic: 1, maxDestRdAtomic: 1 } });
  const { side, qp } = peer;
  const read = (wrId: number): void =>
    side.post({ opcode: WrOpcode.RDMA_READ, wrId, remoteVa: 8, rkey: 7 }, [side.region(4).region, 0, 4]);
  const { region, grant } = side.region(8, 15);
  const request = (psn: number): string =>
    peer.give({ opcode: Opcode.RC_FETCH_ADD, psn, atomic: { va: region.va, rkey: grant.rkey, swapAdd: 1 } });
  for (const id of [1, 2, 3]) read(id);
  assert.equal(peer.take().length, 1);
  assert.equal(request(0), '');
  assert.equal(request(1), 'no_resources', 'while the first answer waits');
  qp.modify({ state: SQD });
  qp.modify({ maxRdAtomic: 3, maxDestRdAtomic: 3 });
  assert.equal(request(1), '');
  assert.equal(request(2), '');
  peer.take();
  for (const psn of [0, 1, 2]) assert.equal(request(psn), 'duplicate', 'all three are remembered');
  assert.equal(peer.take().length, 3);
  qp.modify({ state: RTS });
  assert.equal(peer.take().length, 2, 'two more READs go out');
  assert.equal(region.bytes[0], 3);
});

test('RTS to RTS takes new access rights and a new RNR timer at once', () => {
  const peer = new HandPeer();
  const { region, grant } = peer.side.region(8, 15);
  peer.qp.modify({ accessFlags: 0, minRnrTimer: 3 });
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0 }), 'no_receive');
  const [nak] = peer.takePackets();
  assert.equal(nak?.bytes[12], 0x23);
  const reth = { va: region.va, rkey: grant.rkey, length: 4 };
  assert.equal(peer.give({ opcode: Opcode.RC_WRITE_ONLY, psn: 0, payloadLength: 4, reth }), 'bad_operation');
});

test('a query returns every attribute that was set', () => {
  const { qp } = fresh();
  bring(qp, RTS);
  const snapshot = qp.query();
  assert.equal(snapshot.state, RTS);
  for (const name of ['pathMtu', 'destQpn', 'rqPsn', 'sqPsn', 'timeout', 'retryCount'] as const) {
    assert.equal(snapshot[name], VALUES[name]);
  }
  qp.modify({ state: RESET });
  assert.deepEqual(qp.query(), { state: RESET, capacity: qp.capacity });
});

test('any walk of legal and illegal calls leaves a queue pair in the state that the table says', () => {
  const seed = 20_240_607;
  const random = new Random(seed).u32;
  const side = fresh();
  const { qp } = side;
  for (let step = 0; step < 3000; step++) {
    const to = STATES[random() % STATES.length] as QpState;
    const from = qp.state;
    const row = RC_ROWS.find((candidate) => candidate[0] === from && candidate[1] === to);
    try {
      qp.modify({ state: to, ...pick(row?.[2] ?? []) });
      assert.notEqual(row, undefined, `seed ${seed} step ${step}`);
      assert.equal(qp.state, to);
    } catch (error) {
      assert.equal(row, undefined, `seed ${seed} step ${step}: ${error}`);
      assert.equal(qp.state, from);
    }
  }
});
