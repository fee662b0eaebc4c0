/** Two ends of the message protocol, one of which bounds what it takes and sends, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageFault, MessageKind, writeHeader } from '../../../src/connection/fragments/message-header.js';
import type { TrafficRate } from '../../../src/connection/rates/client-rates.js';
import { IdentityRates } from '../../../src/connection/rates/identity-rates.js';
import { type Gates, joinGates } from '../../../src/connection/rates/shared-rates.js';
import { Random } from '../../../testkit/random.js';
import { ManualClock } from '../../../testkit/rates.js';
import { Pair, SLOT_BYTES, SLOTS } from '../message-ends.js';

const HEADER_BYTES = 24;
const MOST_SLOTS = 12;

interface Rig {
  readonly clock: ManualClock;
  readonly gates: Gates;
  readonly pair: Pair;
}

function rig(fromClient: TrafficRate, toClient: TrafficRate = {}): Rig {
  const clock = new ManualClock();
  const place = new IdentityRates(clock).enter(null, '', { fromClient, toClient });
  const gates = joinGates(place?.shared ?? assert.fail(), clock);
  const { fromClient: incoming, toClient: outgoing } = gates;
  const pair = new Pair(true, MOST_SLOTS, {
    ...(incoming === null ? {} : { in: incoming }),
    ...(outgoing === null ? {} : { out: outgoing }),
  });
  return { clock, gates, pair };
}

/** Bytes and messages that have arrived at an end, as its gate counts them. */
function arrived(pair: Pair, at: 0 | 1): { readonly bytes: number; readonly messages: number } {
  const { messages } = pair.ends[at];
  let bytes = 0;
  for (const { data } of messages) {
    const fragments = Math.max(1, Math.ceil(data.length / (SLOT_BYTES - HEADER_BYTES)));
    bytes += data.length + fragments * HEADER_BYTES;
  }
  return { bytes, messages: messages.length };
}

const takeAll = (pair: Pair): void =>
  pair.settle(() => {
    for (const end of pair.ends) end.take();
  });

for (let seed = 1; seed <= 15; seed++)
  test(`a greedy peer sends the burst, its window and the rate, and no more, also over links that fail (seed ${seed})`, () => {
    const random = new Random(seed);
    const bytesPerSecond = 2000;
    const burstBytes = 600;
    const { clock, pair } = rig({ bytesPerSecond, burstBytes });
    const [client] = pair.ends;
    const began = clock.now();
    let links = 1;
    for (let step = 0; step < 400; step++) {
      if (client.sender.pending < 20) client.send(new Uint8Array(random.int(0, 150)));
      takeAll(pair);
      if (random.int(0, 60) === 0) {
        pair.lose();
        links++;
      }
      clock.advance(random.int(0, 60));
      const millis = clock.now() - began;
      const most = burstBytes + (bytesPerSecond * millis) / 1000 + (MOST_SLOTS + links * SLOTS) * SLOT_BYTES;
      const { bytes } = arrived(pair, 1);
      assert.ok(bytes <= most, `${bytes} after ${millis} ms, ${most} at most`);
    }
    const least = (bytesPerSecond * (clock.now() - began)) / 1000 - 20 * (150 + 4 * HEADER_BYTES);
    assert.ok(arrived(pair, 1).bytes >= least, 'and it gets what it may have');
    clock.advance(1_000_000);
    for (let i = 0; i < 100; i++) {
      takeAll(pair);
      clock.advance(1000);
    }
    assert.equal(client.done, pair.ends[1].messages.length);
    assert.equal(client.sender.pending, 0, 'nothing is lost');
  });

test('messages are bounded as well as bytes, and a long one counts once', () => {
  const { clock, pair } = rig({ messagesPerSecond: 10, burstMessages: 5 });
  const [client, server] = pair.ends;
  for (let i = 0; i < 60; i++) client.send(new Uint8Array(i % 2 === 0 ? 1 : 200));
  takeAll(pair);
  const atOnce = server.messages.length;
  assert.ok(atOnce >= 5 && atOnce <= 5 + MOST_SLOTS, `${atOnce} at once`);
  clock.advance(2000);
  takeAll(pair);
  for (let i = 0; i < 20; i++) {
    clock.advance(100);
    takeAll(pair);
  }
  const then = server.messages.length;
  assert.ok(then <= 5 + MOST_SLOTS + 40 && then >= 25, `${then} after four seconds`);
});

test('what the peer is sent is bounded, and limits for what it sends leave all the same', () => {
  const { clock, pair } = rig({}, { bytesPerSecond: 1000, burstBytes: 300 });
  const [client, server] = pair.ends;
  for (let i = 0; i < 40; i++) server.send(new Uint8Array(40));
  takeAll(pair);
  const { bytes } = arrived(pair, 0);
  assert.ok(bytes <= 300 + SLOT_BYTES, `${bytes}`);
  // Far beyond its window: the server tells limits while it may send nothing.
  for (let i = 0; i < 40; i++) client.send(new Uint8Array(40));
  takeAll(pair);
  assert.equal(server.messages.length, 40);
  for (let i = 0; i < 100; i++) {
    clock.advance(100);
    takeAll(pair);
  }
  assert.equal(client.messages.length, 40);
  assert.equal(server.done, 40);
});

test('nothing of a stream leaves behind its reset, though it might leave by then', () => {
  const { clock, pair } = rig({}, { bytesPerSecond: 1000, burstBytes: 60 });
  const [client, server] = pair.ends;
  const id = client.streams.open();
  takeAll(pair);
  server.streams.write(-id, new Uint8Array(90), () => {});
  takeAll(pair);
  // What came meanwhile is enough for more, and nobody has looked yet.
  clock.pass(1000);
  server.streams.reset(-id, 7);
  takeAll(pair);
  assert.deepEqual(client.resets, [[id, 7]]);
  assert.equal(client.streams.size + server.streams.size, 0);
});

test('a peer that gives up receives in a debt is not told of new ones', () => {
  const { clock, pair } = rig({ bytesPerSecond: 1000, burstBytes: 100 });
  const [client, server] = pair.ends;
  client.send(new Uint8Array(40));
  client.send(new Uint8Array(40));
  takeAll(pair);
  const told = server.receiver.window.told;
  assert.equal(server.receiver.window.limit, told);
  // The last one that it may send: it names none behind it.
  const give = server.qp.takeReceive() ?? assert.fail();
  writeHeader(give.memory, 0, {
    kind: MessageKind.YIELD,
    flags: 0,
    sequence: server.receiver.received,
    limit: client.receiver.window.told,
    stream: 0,
    tag: 0,
    value: 0,
  });
  server.receiver.onFragment(give.wrId, HEADER_BYTES);
  assert.equal(server.receiver.window.limit, told);
  clock.advance(1000);
  assert.notEqual(server.receiver.window.limit, told);
});

test('a peer that sends beyond the limit that it was told is refused', () => {
  const { pair } = rig({ bytesPerSecond: 1000, burstBytes: 100 });
  const [client, server] = pair.ends;
  const { told } = server.receiver.window;
  for (let i = 0; ; i++) {
    const receive = server.qp.takeReceive() ?? assert.fail('it has receives beyond what it told');
    writeHeader(receive.memory, 0, {
      kind: MessageKind.DATA,
      flags: 0,
      sequence: server.receiver.received,
      limit: client.receiver.window.told,
      stream: 0,
      tag: 0,
      value: SLOT_BYTES - HEADER_BYTES,
    });
    const isBeyond = server.receiver.received === told || i > 2 * SLOTS;
    const arrive = (): unknown => server.receiver.onFragment(receive.wrId, SLOT_BYTES);
    if (!isBeyond) arrive();
    else {
      assert.throws(arrive, { code: 'ERR_RDMA_PROTOCOL', message: new RegExp(MessageFault.BEYOND_LIMIT) });
      return;
    }
  }
});
