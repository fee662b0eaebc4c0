/** Memory for messages: little where nothing is sent, more where it is needed, and little again when that is over. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Receives } from '../../src/connection/fragments/receives.js';
import { SendMemory } from '../../src/connection/fragments/send-memory.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { insidesOf } from '../../src/connection/program/insides.js';
import { openDevice } from '../../src/open-device.js';
import { Random } from '../../testkit/random.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';
import { WatchedMemory, WatchedQp } from '../../tools/fuzz/targets/messages/watched-queues.js';
import { Pair, SLOT_BYTES, SLOTS } from './message-ends.js';

const MOST_SLOTS = 12;
const KIB = 1024;
const PATIENCE_MILLIS = 8000;

const nextTurn = (): Promise<void> => new Promise(setImmediate);
const dataPathOf = (connection: Connection) => insidesOf(connection).dataPath;
const bufferBytesOf = (connection: Connection): number => dataPathOf(connection).census().bufferBytes;

const sumOf = (mrs: Iterable<{ readonly length: number }>): number =>
  [...mrs].reduce((sum, { length }) => sum + length, 0);

test('200 silent connections hold less than 200 KiB of buffers each at the default options, in two regions', async () => {
  const device = await openDevice(FREE_DEVICE);
  const server = await startServer(async (connection) => void (await connection.closed), {
    device,
    bufferBytes: 0,
    slots: 200,
    admission: { maxPerAddress: 200, connectsPerSecond: 1e6, burst: 1e6, maxHandshakes: 200 },
  });
  const own = await openDevice(FREE_DEVICE);
  const clients: Connection[] = [];
  for (let i = 0; i < 200; i++) clients.push(await connectTo(server, { device: own, bufferBytes: 0 }));
  while (server.connections.size < 200) await nextTurn();
  const bytes = [...server.connections].map(bufferBytesOf);
  assert.ok(Math.max(...bytes) <= 200 * KIB, `${Math.max(...bytes)} bytes`);
  assert.equal(device.census().mrs, 200);
  await Promise.all(clients.map((client) => client.close()));
  await within(serverIsEmpty(server), 30_000);
  assert.equal(device.census().mrs, 0);
  await server.close();
  await own.close();
  await device.close();
});

test('memory grows with a long message, and goes when both ends have been idle', async () => {
  const server = await startServer(async (connection) => {
    for await (const { data } of connection) await connection.send(data);
  });
  const arrived = once(server, 'connection');
  const client = await connectTo(server);
  const [peer] = (await arrived) as [Connection];
  const [clientBytes, serverBytes] = [client, peer].map(bufferBytesOf) as [number, number];
  const data = Buffer.alloc(4 * KIB * KIB, 'abcdefg');
  for (let round = 0; round < 2; round++) {
    const echo = async (): Promise<void> => {
      await client.send(data);
      const answer = await client.receive();
      assert.ok(data.equals(answer?.data ?? Buffer.alloc(0)));
    };
    // A reader that keeps up with its peer for the whole of a message needs no more receives.
    const hasGrown = () => bufferBytesOf(client) > 2 * clientBytes && bufferBytesOf(peer) > 2 * serverBytes;
    const grow = async (): Promise<void> => {
      while (!hasGrown()) await echo();
    };
    await within(grow(), PATIENCE_MILLIS);
    // What the clock does after a while.
    const rest = async (): Promise<void> => {
      while (bufferBytesOf(client) !== clientBytes || bufferBytesOf(peer) !== serverBytes) {
        dataPathOf(client).sender.rest();
        dataPathOf(peer).sender.rest();
        await nextTurn();
      }
    };
    await within(rest(), PATIENCE_MILLIS);
  }
  await client.close();
  await server.close();
});

test('send memory comes in few sizes, whatever the lengths of the messages are', async () => {
  const sizes = new Set<number>();
  for (let length = 4000; length < 30_000; length += 501) {
    const memory = new SendMemory({
      mr: new WatchedMemory(4136),
      firstBytes: 4136,
      mostBytes: 512 * KIB,
      allocate: async (bytes) => {
        assert.ok(bytes >= 2 * length || bytes === 2 * 4136, `${bytes} bytes for a fragment of ${length}`);
        sizes.add(bytes);
        return new WatchedMemory(bytes);
      },
      release() {},
      onGrown() {},
    });
    while (memory.placeFor(length) >= 0) memory.take(memory.placeFor(length), length);
    await nextTurn();
    assert.ok(memory.hasGrown && memory.placeFor(length) >= 0);
  }
  assert.ok(sizes.size <= 4, [...sizes].join());
});

test('a receive that was not needed any more is used again before there is new memory, and its block goes with the last', () => {
  const gone: unknown[] = [];
  const receives = new Receives(SLOT_BYTES, { release: (mr) => void gone.push(mr) });
  const qp = new WatchedQp(2 + 6, SLOT_BYTES);
  const use = (count: number): void => {
    for (let i = 0; i < count; i++)
      receives.giveBack(qp.takeReceive()?.wrId ?? assert.fail('none is posted'));
  };
  const block = new WatchedMemory(6 * SLOT_BYTES);
  receives.attach(qp, new WatchedMemory(2 * SLOT_BYTES), 0);
  receives.add(block);
  receives.retire(6);
  use(2 + 3);
  assert.equal(qp.receives.length, 2 + 3, 'three of the block are used up');
  assert.equal(receives.reuse(7), 6);
  assert.equal(qp.receives.length, 2 + 6);
  receives.retire(6);
  assert.deepEqual(gone, []);
  use(2 + 6);
  assert.deepEqual(gone, [block]);
  assert.equal(qp.receives.length, 2);
});

test('receives that lie behind something else in their memory leave that alone', () => {
  const receives = new Receives(SLOT_BYTES, {});
  const qp = new WatchedQp(2, SLOT_BYTES);
  const posted: (number | undefined)[] = [];
  qp.postRecv = ({ sges }) => void posted.push(sges?.[0]?.offset);
  const mr = new WatchedMemory(40 + 2 * SLOT_BYTES + 8);
  receives.attach(qp, mr, 40);
  assert.deepEqual(posted, [40, 40 + SLOT_BYTES]);
  const second = receives.bytesOf(1, 5) ?? assert.fail('it is posted');
  assert.deepEqual([second.byteOffset - mr.bytes.byteOffset, second.length], [40 + SLOT_BYTES, 5]);
});

test('a peer that tells a limit far ahead is not sent limits for ever by an end that is idle', async () => {
  const pair = new Pair(true, MOST_SLOTS);
  const [end, peer] = pair.ends;
  end.send(Uint8Array.of(1));
  pair.settle(() => peer.take());
  // It claims two thousand million receives, each time that it is heard of.
  peer.receiver.window.limit = (peer.receiver.received + 2 ** 31 - 10) >>> 0;
  assert.ok(peer.sender.tellLimit());
  pair.settle();
  let limits = 0;
  for (let look = 0; look < 100; look++) {
    const isMore = end.sender.rest();
    // Whoever lies about receives does not have them.
    for (const { wrId } of end.wire.splice(0)) {
      end.acknowledge(wrId);
      limits++;
    }
    if (!isMore) break;
  }
  assert.ok(limits <= 1 + 2 * 8 * (1 + SLOTS) + 4, `${limits} for one fragment that was sent`);
  assert.equal(end.sender.rest(), false, 'it rests');
});

for (let seed = 1; seed <= 60; seed++) {
  test(`windows grow and shrink over links that fail, and lose nothing (seed ${seed})`, async () => {
    const random = new Random(seed);
    const pair = new Pair(true, MOST_SLOTS);
    const sent: Uint8Array[][] = [[], []];
    let most = 0;
    for (let step = 0; step < 500; step++) {
      const from = random.int(0, 1) as 0 | 1;
      const end = pair.ends[from];
      const what = random.int(0, 39);
      if (what < 14) pair.deliver(from);
      else if (what < 26) pair.acknowledge();
      else if (what < 31) {
        const data = Uint8Array.from({ length: random.int(0, 199) }, () => random.int(0, 255));
        sent[from]?.push(data);
        end.send(data);
      } else if (what < 36) end.take();
      else if (what < 38) end.sender.rest();
      else if (what < 39) pair.settle(() => end.take());
      else pair.lose();
      await null;
      const receiveBytes = sumOf(end.moreReceives);
      assert.ok(receiveBytes <= (MOST_SLOTS - SLOTS) * SLOT_BYTES, `${receiveBytes} bytes of receives`);
      // Send memory that has become too small leaves behind the larger one.
      assert.ok(sumOf(end.more) - receiveBytes <= 2 * MOST_SLOTS * SLOT_BYTES);
      most = Math.max(most, end.receiver.window.slots);
    }
    const settle = async (): Promise<void> => {
      for (let turn = 0; turn < 4; turn++) {
        pair.settle(() => {
          for (const end of pair.ends) end.take();
        });
        await null;
      }
    };
    await settle();
    for (let turn = 0; turn < 10; turn++) {
      for (const end of pair.ends) end.sender.rest();
      await settle();
    }
    for (const [i, end] of pair.ends.entries()) {
      assert.deepEqual(
        end.messages.map(({ data }) => [...data]),
        sent[1 - i]?.map((data) => [...data]),
      );
      assert.equal(end.receiver.window.slots, SLOTS);
      assert.equal(end.more.size, 0, 'memory that is not needed is given back');
    }
    assert.ok(most > SLOTS);
  });
}
