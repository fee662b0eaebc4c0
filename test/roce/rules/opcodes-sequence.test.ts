/** Which opcode may follow which, payload sizes of each, and what consumes a receive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode, OpcodeFlag, opcodeFlags, opcodeName } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { type GivenPacket, HandPeer } from '../../../testkit/hand-peer.js';

const MTU = 256;
const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

const REQUESTS = Object.values(Opcode).filter((opcode) => {
  const flags = opcodeFlags[opcode] as number;
  return (flags & OpcodeFlag.RC) !== 0 && (flags & OpcodeFlag.REQUEST) !== 0;
});
/** The SEND with invalidate needs a window to invalidate; `window` tests have it. */
const INVALIDATES: readonly number[] = [Opcode.RC_SEND_LAST_INV, Opcode.RC_SEND_ONLY_INV];

interface Stage {
  readonly peer: HandPeer;
  readonly target: { va: number; rkey: number };
}

function setUp(): Stage {
  const peer = new HandPeer({ mtu: MTU });
  const { region, grant } = peer.side.region(4 * MTU, ALL);
  for (let id = 0; id < 4; id++) peer.side.postRecv(id, peer.side.region(4 * MTU).region);
  return { peer, target: { va: region.va, rkey: grant.rkey } };
}

/** A packet of the opcode with everything right about it but, perhaps, its place in the sequence. */
function wellFormed(stage: Stage, opcode: number, psn: number): GivenPacket {
  const flags = opcodeFlags[opcode] as number;
  const isWhole = (flags & OpcodeFlag.END) !== 0;
  const carries = (flags & OpcodeFlag.PAYLOAD) !== 0;
  const payloadLength = carries ? (isWhole ? 10 : MTU) : 0;
  const length = (flags & OpcodeFlag.START) !== 0 && !isWhole ? MTU + 10 : 10;
  return {
    opcode,
    psn,
    payloadLength,
    ackReq: isWhole,
    imm: 1,
    ...((flags & OpcodeFlag.IMM) === 0 ? { imm: undefined as never } : {}),
    ...((flags & OpcodeFlag.RETH) === 0 ? {} : { reth: { ...stage.target, length } }),
    ...((flags & OpcodeFlag.ATOMIC_ETH) === 0 ? {} : { atomic: { ...stage.target, swapAdd: 1 } }),
    ...((flags & OpcodeFlag.IETH) === 0 ? {} : { invalidateRkey: 1 }),
  };
}

const kind = (opcode: number): 'SEND' | 'WRITE' | 'OTHER' => {
  const flags = opcodeFlags[opcode] as number;
  return (flags & OpcodeFlag.SEND) !== 0 ? 'SEND' : (flags & OpcodeFlag.WRITE) !== 0 ? 'WRITE' : 'OTHER';
};
const isInside = (opcode: number): boolean =>
  ((opcodeFlags[opcode] as number) & (OpcodeFlag.MIDDLE | OpcodeFlag.LAST)) !== 0;

test('"Must follow": every request opcode at a message boundary, in the middle of a SEND and of a WRITE', () => {
  const stages: [string, number | undefined][] = [
    ['OTHER', undefined],
    ['SEND', Opcode.RC_SEND_FIRST],
    ['WRITE', Opcode.RC_WRITE_FIRST],
  ];
  for (const [inside, opener] of stages) {
    for (const opcode of REQUESTS) {
      if (INVALIDATES.includes(opcode)) continue;
      const stage = setUp();
      const { peer } = stage;
      if (opener !== undefined) {
        const first = wellFormed(stage, opener, 0);
        const length = (opcode === Opcode.RC_WRITE_MIDDLE ? 2 * MTU : MTU) + 10;
        const reth = { ...stage.target, length };
        assert.equal(peer.give(first.reth === undefined ? first : { ...first, reth }), '');
      }
      const outcome = peer.give(wellFormed(stage, opcode, opener === undefined ? 0 : 1));
      const legal = inside === 'OTHER' ? !isInside(opcode) : isInside(opcode) && kind(opcode) === inside;
      const where = `${opcodeName(opcode)} after ${opener === undefined ? 'a boundary' : opcodeName(opener)}`;
      assert.equal(outcome, legal ? '' : 'bad_sequence', where);
      assert.equal(peer.qp.state, legal ? QpState.RTS : QpState.ERR, where);
      if (!legal) {
        const psn = opener === undefined ? 0 : 1;
        assert.deepEqual(peer.take(), [`NAK_INVALID ${psn} msn 0`], where);
        assert.deepEqual(peer.events(), ['QP_REQ_ERR'], where);
      }
    }
  }
});

test('a SEND_LAST_INV and a SEND_ONLY_INV obey the same rule as SEND_LAST and SEND_ONLY', () => {
  for (const [opcode, opener] of [
    [Opcode.RC_SEND_LAST_INV, undefined],
    [Opcode.RC_SEND_ONLY_INV, Opcode.RC_SEND_FIRST],
    [Opcode.RC_SEND_LAST_INV, Opcode.RC_WRITE_FIRST],
  ] as const) {
    const stage = setUp();
    if (opener !== undefined) stage.peer.give(wellFormed(stage, opener, 0));
    const psn = opener === undefined ? 0 : 1;
    assert.equal(stage.peer.give(wellFormed(stage, opcode, psn)), 'bad_sequence');
  }
});

test('payload sizes: FIRST and MIDDLE are exactly one MTU, LAST 1 to MTU, ONLY 0 to MTU', () => {
  const sizes = [0, 1, MTU - 1, MTU, MTU + 1];
  const legalSizes: [number, number | undefined, number[]][] = [
    [Opcode.RC_SEND_FIRST, undefined, [MTU]],
    [Opcode.RC_SEND_MIDDLE, Opcode.RC_SEND_FIRST, [MTU]],
    [Opcode.RC_SEND_LAST, Opcode.RC_SEND_FIRST, [1, MTU - 1, MTU]],
    [Opcode.RC_SEND_LAST_IMM, Opcode.RC_SEND_FIRST, [1, MTU - 1, MTU]],
    [Opcode.RC_SEND_ONLY, undefined, [0, 1, MTU - 1, MTU]],
    [Opcode.RC_SEND_ONLY_IMM, undefined, [0, 1, MTU - 1, MTU]],
  ];
  for (const [opcode, opener, legal] of legalSizes) {
    for (const payloadLength of sizes) {
      const stage = setUp();
      const { peer } = stage;
      if (opener !== undefined) peer.give(wellFormed(stage, opener, 0));
      const psn = opener === undefined ? 0 : 1;
      const outcome = peer.give({ ...wellFormed(stage, opcode, psn), payloadLength });
      const isLegal = legal.includes(payloadLength);
      assert.equal(outcome, isLegal ? '' : 'bad_length', `${opcodeName(opcode)} of ${payloadLength} bytes`);
      if (!isLegal) assert.deepEqual(peer.take(), [`NAK_INVALID ${psn} msn 0`]);
    }
  }
});

test('payload sizes of WRITEs: the last packet carries what remains, and none before it does', () => {
  const cases: [string, GivenPacket['reth'] | number, [number, number][]][] = [
    ['ONLY that is short', 10, [[Opcode.RC_WRITE_ONLY, 9]]],
    ['ONLY that is long', 10, [[Opcode.RC_WRITE_ONLY, 11]]],
    ['ONLY of 0 that carries bytes', 0, [[Opcode.RC_WRITE_ONLY, 4]]],
    ['FIRST of a message that fits into one packet', MTU, [[Opcode.RC_WRITE_FIRST, MTU]]],
    ['FIRST of a message of 0', 0, [[Opcode.RC_WRITE_FIRST, MTU]]],
    ['FIRST that is short', MTU + 9, [[Opcode.RC_WRITE_FIRST, MTU - 4]]],
    [
      'LAST that is short',
      MTU + 10,
      [
        [Opcode.RC_WRITE_FIRST, MTU],
        [Opcode.RC_WRITE_LAST, 9],
      ],
    ],
    [
      'LAST that is long',
      MTU + 10,
      [
        [Opcode.RC_WRITE_FIRST, MTU],
        [Opcode.RC_WRITE_LAST, 11],
      ],
    ],
    [
      'MIDDLE that leaves nothing for the LAST',
      2 * MTU,
      [
        [Opcode.RC_WRITE_FIRST, MTU],
        [Opcode.RC_WRITE_MIDDLE, MTU],
      ],
    ],
  ];
  for (const [name, length, packets] of cases) {
    const { peer, target } = setUp();
    for (const [index, [opcode, payloadLength]] of packets.entries()) {
      const reth = { ...target, length: length as number };
      const hasReth = ((opcodeFlags[opcode] as number) & OpcodeFlag.RETH) !== 0;
      const outcome = peer.give({ opcode, psn: index, payloadLength, ...(hasReth ? { reth } : {}) });
      assert.equal(outcome, index === packets.length - 1 ? 'bad_length' : '', name);
    }
    assert.deepEqual(peer.take(), [`NAK_INVALID ${packets.length - 1} msn 0`], name);
  }
});

test('a pad that does not fit the payload is dropped before it reaches the queue pair', () => {
  const { peer } = setUp();
  const [to, from] = [peer.nic.addresses[0], peer.pair.sides[0].nic.addresses[0]];
  assert.ok(to && from);
  assert.equal(peer.give({ opcode: Opcode.RC_READ_REQUEST, psn: 0, payloadLength: 4 }), 'bad_length');
  assert.equal(peer.give({ opcode: Opcode.RC_FETCH_ADD, psn: 0, payloadLength: 1 }), 'bad_length');
  assert.equal(peer.qp.state, QpState.RTS);
});

test('a receive is consumed by a SEND at its first packet', () => {
  const peer = new HandPeer({ mtu: MTU });
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: MTU }), 'no_receive');
  peer.side.postRecv(1, peer.side.region(600).region);
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: MTU }), '');
  assert.equal(peer.qp.receives.count, 0);
});

test('a receive is consumed by a WRITE at the packet with the immediate', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region, grant } = peer.side.region(600, ALL);
  const reth = { va: region.va, rkey: grant.rkey, length: MTU + 4 };
  assert.equal(peer.give({ opcode: Opcode.RC_WRITE_FIRST, psn: 0, payloadLength: MTU, reth }), '');
  const last = { opcode: Opcode.RC_WRITE_LAST_IMM, psn: 1, payloadLength: 4, imm: 9, ackReq: true };
  assert.equal(peer.give(last), 'no_receive');
  assert.deepEqual(peer.take(), ['RNR_NAK 1 msn 0']);
  peer.side.postRecv(1);
  assert.equal(peer.give(last), '');
  assert.deepEqual(peer.take(), ['ACK 1 msn 1']);
  const [wc] = peer.received();
  assert.deepEqual([wc?.wrId, wc?.imm, wc?.byteLen], [1, 9, MTU + 4]);
});

test('a WRITE without immediate consumes no receive', () => {
  const { peer, target } = setUp();
  const reth = { ...target, length: 4 };
  peer.give({ opcode: Opcode.RC_WRITE_ONLY, psn: 0, payloadLength: 4, reth });
  assert.equal(peer.qp.receives.count, 4);
});

test('unknown opcodes, RD and XRC are dropped with a name', () => {
  const { peer } = setUp();
  for (const opcode of [0x15, 0x18, 0x1c, 0x1d, 0x40, 0xa0, 0xff]) {
    assert.equal(peer.give({ opcode, psn: 0 }), 'unknown_opcode');
  }
  assert.deepEqual(peer.take(), []);
});

test('a CNP is counted and has no other effect', () => {
  const { peer } = setUp();
  assert.equal(peer.give({ opcode: Opcode.CNP, psn: 0, payload: new Uint8Array(16) }), '');
  assert.equal(peer.nic.counters.cnpsReceived, 1);
  assert.deepEqual(peer.take(), []);
});
