/** What one end of an rsocket says and refuses, message by message. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RsocketFault } from '../../../src/net/rsocket/rsocket-fault.js';
import { RsocketMachine } from '../../../src/net/rsocket/rsocket-machine.js';
import { PostKind } from '../../../src/net/rsocket/rsocket-post.js';
import { type RsocketTerms, readPrivateData } from '../../../src/net/rsocket/wire/private-data.js';
import { type CapturedRsocket, CURL, RIOSTREAM } from '../../../testkit/rsocket-captured.js';
import { type RsocketEnd, RsocketPair, USUAL_SIZES } from '../../../testkit/rsocket-pair.js';

const DISCONNECT = 0xe000_0000;
const SHUTDOWN = 0xe000_0002;

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

function termsOf(hex: string): RsocketTerms {
  const terms = readPrivateData(bytesOf(hex));
  assert.ok(typeof terms !== 'string');
  return terms;
}

/** One end of a captured connection, as the machine would have been it. */
class Replayed {
  readonly own: RsocketTerms;
  readonly table: Uint8Array;
  readonly machine: RsocketMachine;

  constructor({ request, reply }: CapturedRsocket, isClient: boolean) {
    this.own = termsOf(isClient ? request : reply);
    const peer = termsOf(isClient ? reply : request);
    this.table = new Uint8Array(this.own.tableEntries * 16 + this.own.iomapEntries * 24);
    this.machine = new RsocketMachine({
      own: this.own,
      peer,
      table: this.table,
      sendRingBytes: 1 << 20,
      maxMessageBytes: 65_536,
      maxPosts: 384,
    });
  }

  /** Returns where the data goes. */
  say(bytes: number): number | undefined {
    this.machine.queue(bytes);
    return this.post();
  }

  /** Returns where the last data goes. */
  post(): number | undefined {
    let addr: number | undefined;
    for (let post = this.machine.nextPost(); post !== undefined; post = this.machine.nextPost()) {
      if (post.kind === PostKind.DATA) addr = post.remoteAddr;
      this.machine.completed();
    }
    return addr;
  }

  hear({ va, imm, bytes, payload }: CapturedRsocket['writes'][number]): void {
    if (payload !== '') this.table.set(bytesOf(payload), va - this.own.tableAddr);
    this.machine.received(imm, bytes);
  }
}

test('either side of curl’s connection can be played: data goes where it went, and what is heard is in order', () => {
  for (const isClient of [true, false]) {
    const replayed = new Replayed(CURL, isClient);
    const { machine } = replayed;
    let bytes = 0;
    for (const write of CURL.writes) {
      if (write.byClient === isClient) {
        if (write.imm < 0x8000_0000) assert.equal(replayed.say(write.bytes), write.va);
        continue;
      }
      replayed.hear(write);
      assert.equal(machine.fault, undefined, JSON.stringify(write));
      bytes += machine.incoming.unread;
      machine.consume(machine.incoming.unread);
      replayed.post();
    }
    assert.equal(bytes, isClient ? 300_062 : 79);
    assert.equal(machine.isPeerDone, true);
  }
});

test('the first message of either side is the one that stock programs send', () => {
  for (const isClient of [true, false]) {
    const { machine } = new Replayed(CURL, isClient);
    const first = CURL.writes.find(({ byClient }) => byClient === isClient) ?? assert.fail();
    const post = machine.nextPost() ?? assert.fail();
    assert.deepEqual(
      [post.remoteAddr, post.rkey, post.imm, post.bytes],
      [first.va, first.rkey, first.imm, first.bytes],
    );
    assert.equal(Buffer.from(post.payload.subarray(0, 16)).toString('hex'), first.payload);
    assert.equal(machine.nextPost(), undefined);
  }
});

test('memory for one-sided writes is offered as riostream does it', () => {
  const { machine } = new Replayed(RIOSTREAM, true);
  const offer = RIOSTREAM.writes[1] ?? assert.fail();
  const entry = { offset: 0, addr: 0x556544980810, rkey: 0xba3, bytes: 1000 };
  assert.equal(machine.iomaps.offer(entry), 0);
  assert.equal(machine.iomaps.offer(entry), -1, 'the table of the peer has one entry');
  machine.nextPost();
  const post = machine.nextPost() ?? assert.fail();
  assert.deepEqual([post.kind, post.remoteAddr, post.imm], [PostKind.IOMAP_ENTRY, offer.va, offer.imm]);
  assert.equal(Buffer.from(post.payload).toString('hex'), offer.payload);
});

test('memory that the peer offers can be written inside its bounds', () => {
  const replayed = new Replayed(RIOSTREAM, false);
  for (const write of RIOSTREAM.writes.filter(({ byClient }) => byClient)) replayed.hear(write);
  const { iomaps, fault } = replayed.machine;
  assert.equal(fault, undefined);
  assert.equal(iomaps.find(0, 1000)?.addr, 0x556544980810);
  assert.equal(iomaps.find(0, 1001), undefined);
  assert.equal(iomaps.find(999, 1)?.rkey, 0xba3);
  assert.equal(iomaps.find(1000, 1), undefined);
});

/** An end that hears what its test makes up; the peer's entries are in its table already. */
function end(change: Partial<typeof USUAL_SIZES> = {}): RsocketEnd {
  const { a } = new RsocketPair({ ...USUAL_SIZES, ringBytes: 200, credits: 2, ...change });
  a.post();
  return a;
}

function announce({ table }: RsocketEnd, index: number, addr: bigint, bytes: number): void {
  const view = new DataView(table.buffer);
  view.setBigUint64(index * 16, addr, true);
  view.setUint32(index * 16 + 12, bytes, true);
}

const faults: readonly [string, RsocketFault, (hostile: RsocketEnd) => void][] = [
  ['data of no bytes', RsocketFault.EMPTY_DATA, ({ machine }) => machine.received(0, 0)],
  ['another length than was written', RsocketFault.LENGTH_DIFFERS, ({ machine }) => machine.received(10, 11)],
  [
    'data that reaches beyond the half',
    RsocketFault.BEYOND_HALF,
    ({ machine }) => machine.received(101, 101),
  ],
  [
    'data across the border between the halves, although both are announced',
    RsocketFault.BEYOND_HALF,
    ({ machine }) => {
      machine.received(60, 60);
      assert.equal(machine.fault, undefined);
      machine.received(60, 60);
    },
  ],
  [
    'more messages than credits',
    RsocketFault.NO_CREDIT,
    ({ machine }) => {
      for (let i = 0; i < 2; i++) machine.received(1, 1);
      assert.equal(machine.fault, undefined);
      machine.received(1, 1);
    },
  ],
  [
    'data behind the end of data',
    RsocketFault.DATA_AFTER_END,
    ({ machine }) => {
      machine.received(SHUTDOWN, 0);
      machine.received(1, 1);
    },
  ],
  ['a kind that is reserved', RsocketFault.RESERVED_KIND, ({ machine }) => machine.received(0x2000_0001, 1)],
  [
    'a control that does not exist',
    RsocketFault.UNKNOWN_CONTROL,
    ({ machine }) => machine.received(0xe000_0003, 0),
  ],
  ['half an announcement', RsocketFault.BAD_ANNOUNCEMENT, ({ machine }) => machine.received(0x8000_0180, 8)],
  [
    'an announcement of nothing',
    RsocketFault.EMPTY_BUFFER,
    ({ machine }) => machine.received(0x8000_0180, 16),
  ],
  [
    'an announcement of memory that has no addresses',
    RsocketFault.BUFFER_OUT_OF_RANGE,
    (hostile) => {
      announce(hostile, 1, 2n ** 64n - 1n, 16);
      hostile.machine.received(0x8000_0180, 16);
    },
  ],
  [
    'a second announcement before the first is used',
    RsocketFault.EARLY_ANNOUNCEMENT,
    (hostile) => {
      announce(hostile, 1, 4096n, 16);
      hostile.machine.received(0x8000_0180, 16);
      assert.equal(hostile.machine.fault, undefined);
      announce(hostile, 0, 4096n, 16);
      hostile.machine.received(0x8000_0180, 16);
    },
  ],
  [
    'an index outside of the iomap table',
    RsocketFault.IOMAP_INDEX,
    ({ machine }) => machine.received(0xc000_0004, 24),
  ],
  [
    'iomap memory that has no addresses',
    RsocketFault.BAD_IOMAP_ENTRY,
    ({ machine, table }) => {
      table.fill(0xff);
      machine.received(0xc000_0000, 24);
    },
  ],
  ['a SEND', RsocketFault.NOT_A_WRITE, ({ machine }) => machine.receivedOther()],
];

for (const [what, fault, offend] of faults) {
  test(`a peer that sends ${what} has broken the protocol, and nothing more is said to it`, () => {
    const hostile = end();
    offend(hostile);
    assert.equal(hostile.machine.fault, fault);
    const { unread } = hostile.machine.incoming;
    hostile.machine.received(1, 1);
    assert.equal(hostile.machine.fault, fault);
    assert.equal(hostile.machine.incoming.unread, unread);
    assert.equal(hostile.machine.writable, 0);
    assert.equal(hostile.machine.nextPost(), undefined);
  });
}

test('a peer that was told of one half may not begin with the other', () => {
  const { machine } = new RsocketPair({ ...USUAL_SIZES, ringBytes: 200 }).a;
  machine.received(100, 100);
  assert.equal(machine.fault, undefined);
  machine.received(1, 1);
  assert.equal(machine.fault, RsocketFault.BEYOND_HALF);
});

test('messages are counted modulo 2^16, all through a long connection', () => {
  const pair = new RsocketPair({ ...USUAL_SIZES, maxMessageBytes: 1 });
  const { a, b } = pair;
  for (let bytes = 0; bytes < 66_000; ) {
    bytes += a.write(new Uint8Array(300));
    pair.settle();
    b.read(300);
  }
  a.write(new Uint8Array(1000));
  pair.settle();
  assert.deepEqual([b.machine.fault, b.machine.incoming.unread], [undefined, 384]);
});

test('a message counts when its last byte is read, and the limit is absolute', () => {
  const { machine } = end({ credits: 4 });
  for (let i = 0; i < 4; i++) machine.received(10, 10);
  machine.consume(39);
  assert.equal(machine.nextPost()?.imm, 0x8000_0007, 'three of four messages');
  machine.consume(1);
  assert.equal(machine.incoming.areCreditsDue, false);
});

test('four control messages are unacknowledged at most, and the next one waits', () => {
  const { machine } = end({ credits: 2 });
  for (let i = 0; i < 3; i++) {
    machine.received(1, 1);
    machine.consume(1);
    assert.notEqual(machine.nextPost(), undefined);
  }
  machine.received(1, 1);
  machine.consume(1);
  assert.equal(machine.nextPost(), undefined);
  machine.completed();
  assert.equal(machine.nextPost()?.imm, 0x8000_0006);
});

test('the end of data waits for all data, and is half of the end where the peer goes on', () => {
  const pair = new RsocketPair({ ...USUAL_SIZES, credits: 1 });
  const { a, b } = pair;
  a.write(new Uint8Array(100_000));
  a.machine.endWriting();
  pair.settle();
  assert.equal(b.machine.isPeerDone, false);
  assert.equal(b.read(65_536).length, 65_536);
  pair.settle();
  b.read(65_536);
  pair.settle();
  assert.deepEqual([b.machine.isPeerDone, b.machine.isPeerGone, a.machine.isOver], [true, false, false]);
  b.machine.endWriting();
  pair.settle();
  assert.deepEqual([a.machine.isOver, b.machine.isOver, a.machine.isPeerGone], [true, true, true]);
});

test('who closes hears no more, and says the whole end', () => {
  const { a, b } = new RsocketPair(USUAL_SIZES);
  a.machine.close();
  a.post();
  assert.equal(a.underway.at(-1)?.imm, DISCONNECT);
  b.machine.received(DISCONNECT, 0);
  assert.equal(b.machine.writable, 0);
  assert.equal(b.machine.nextPost(), undefined);
});

test('messages without data name no memory', () => {
  const { a } = new RsocketPair(USUAL_SIZES);
  a.machine.keepAlive();
  a.machine.close();
  a.post();
  const empty = a.underway.filter(({ bytes }) => bytes.length === 0);
  assert.deepEqual(
    empty.map(({ remoteAddr, rkey, imm }) => [remoteAddr, rkey, imm]),
    [
      [0, 0, -1],
      [0, 0, DISCONNECT],
    ],
  );
});
