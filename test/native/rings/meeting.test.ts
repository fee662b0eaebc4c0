/** Ports of one process that exchange packets through memory: how they meet, and how packets keep their order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TransmitBatch } from '../../../src/roce/transmit-batch.js';
import { flowBetween, openNativePort, PortEar } from '../../../testkit/native-ports.js';
import {
  BATCH_PACKETS,
  count,
  HEADER_BYTES,
  Line,
  leftovers,
  openPort,
  PAYLOAD_BYTES,
  RING_BYTES,
  skip,
  until,
} from './line.js';

const UDP_PACKETS = 20;
const MAX_RINGS = 16;
const ASKING_MILLIS = 500;
/** At once, and after 0.1, 0.3 and 0.7 s. */
const MAX_ASKS = 4;

test('packets keep their order when they leave UDP for memory, and name the port that sent them', {
  skip,
}, async () => {
  for (const address of ['127.0.0.1', '::1']) {
    const [a, b] = [openPort(address), openPort(address)];
    const line = new Line(a, b);
    line.listen();
    await until(() => {
      line.send(3);
      return line.sent >= 3000;
    }, 'packets');
    await until(() => line.heard.length === line.sent, 'the last packet');
    assert.deepEqual(
      line.heard,
      line.heard.map((_, i) => i),
    );
    const byRing = count(b, 'portRingReceivedPackets');
    assert.ok(byRing > 2000 && byRing < 3000, `${byRing} through memory, the first by UDP`);
    await Promise.all([a.close(), b.close()]);
  }
});

test('what waits in the socket when a ring begins is taken before what is in the ring, and all of it', {
  skip,
}, async () => {
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  line.listen();
  const { listener } = b;
  // It takes nothing by itself from here on.
  b.listener = null;
  await until(() => {
    line.send(1);
    b.receive(1);
    return count(b, 'portRings') === 1;
  }, 'the ring');
  // The other end has not heard of it.
  const before = line.sent;
  line.send(UDP_PACKETS);
  assert.equal(count(a, 'portRingSentPackets'), 0);
  await until(() => {
    line.send(1);
    return count(a, 'portRingSentPackets') > UDP_PACKETS;
  }, 'packets in the ring');
  b.listener = listener;
  await until(() => {
    listener?.onReadable();
    return line.heard.at(-1) === line.sent - 1;
  }, 'the last packet');
  assert.deepEqual(
    line.heard.filter((number) => number >= before),
    Array.from({ length: line.sent - before }, (_, i) => before + i),
  );
  await Promise.all([a.close(), b.close()]);
});

test('packets of several ports, by memory and by UDP, each name their own', { skip }, async () => {
  const ports = [openPort(), openPort(), openNativePort()];
  const b = openPort();
  const lines = ports.map((port) => new Line(port, b));
  const heard = [0, 0, 0];
  for (const [i, line] of lines.entries()) line.sent = i * 1_000_000;
  new PortEar(b, ({ bytes, at, source }) => {
    const number = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8);
    const i = Math.floor(number / 1_000_000);
    assert.equal(source.port, ports[i]?.address.port);
    heard[i] = (heard[i] ?? 0) + 1;
  });
  for (let i = 0; i < 300; i++) {
    for (const line of lines) line.send(1);
    await until(() => heard.every((packets) => packets > i), 'a packet of each');
  }
  assert.equal(count(b, 'portRings'), 2);
  await Promise.all([...ports, b].map((port) => port.close()));
});

test('a ring that is full loses what does not fit, as a socket does, and goes on', { skip }, async () => {
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  await line.meet();
  while (count(a, 'portRingOverflows') === 0) line.send(BATCH_PACKETS);
  const held = count(a, 'portRingSentPackets');
  assert.ok(held > 480 && held * PAYLOAD_BYTES < RING_BYTES, `${held} packets in the ring`);
  line.listen();
  await until(() => count(b, 'portRingReceivedPackets') === held, 'what is in the ring');
  line.send(1);
  await until(() => line.heard.at(-1) === line.sent - 1, 'the packet behind the gap');
  await Promise.all([a.close(), b.close()]);
});

test('towards ports without rings, and from them, packets go by UDP', { skip }, async () => {
  const [a, b] = [openPort(), openNativePort()];
  for (const line of [new Line(a, b), new Line(b, a)]) {
    line.listen();
    line.send(20);
    await until(() => line.heard.length === 20, '20 packets');
  }
  assert.deepEqual([count(a, 'portRings'), count(a, 'portRingSentPackets')], [0, 0]);
  await Promise.all([a.close(), b.close()]);
});

test('a peer that comes later, and one that comes back, is met then', { skip }, async () => {
  const a = openPort();
  let b = openPort();
  const line = new Line(a, b);
  const { port } = b.address;
  await b.close();
  line.send(1);
  for (let life = 0; life < 2; life++) {
    b = openPort('127.0.0.1', port);
    new PortEar(b, () => {});
    const before = count(a, 'portRingSentPackets');
    await until(() => {
      line.send(1);
      return count(a, 'portRingSentPackets') > before + 10;
    }, `the ring of life ${life}`);
    await b.close();
    await until(() => count(a, 'portRings') === 0, 'the end of the ring');
  }
  await a.close();
});

test('a peer that has no room for a ring gives one when another has gone', { skip }, async () => {
  const b = openPort();
  new PortEar(b, () => {});
  const lines = Array.from({ length: MAX_RINGS }, () => new Line(openPort(), b));
  for (const line of lines) await line.meet();
  const late = new Line(openPort(), b);
  late.send(1);
  await until(() => count(b, 'portRingRefusals') === 1, 'the refusal');
  await lines[0]?.from.close();
  await late.meet();
  assert.equal(count(b, 'portRings'), MAX_RINGS);
  await Promise.all([b, late.from, ...lines.map(({ from }) => from)].map((port) => port.close()));
});

test('who is not there is asked again after longer and longer pauses, however much is sent', {
  skip,
}, async () => {
  const [a, b] = [openPort(), openNativePort()];
  const line = new Line(a, b);
  line.listen();
  const end = performance.now() + ASKING_MILLIS;
  while (performance.now() < end) {
    line.send(1);
    await turn();
  }
  const asks = count(a, 'portRingAsks');
  assert.ok(asks >= 2 && asks <= MAX_ASKS, `${asks} asks`);
  await Promise.all([a.close(), b.close()]);
});

test('what was sent before a port closed arrives, and nothing of the ring is left', { skip }, async () => {
  const before = leftovers();
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  await line.meet();
  line.send(10);
  await a.close();
  line.listen();
  await until(() => line.heard.at(-1) === line.sent - 1, 'the last packet');
  await until(() => count(b, 'portRings') === 0, 'the end of the ring');
  await b.close();
  await until(() => leftovers() === before, `${leftovers()} rings and descriptors to become ${before}`);
});

test('a datagram that comes by UDP is taken the first time that the event loop tells of it, rings or not', {
  skip,
}, async () => {
  const [a, b, c] = [openPort(), openPort(), openNativePort()];
  const line = new Line(a, b);
  line.listen();
  await line.meet();
  await until(() => line.heard.length === line.sent, 'the packets of the ring');
  const flow = flowBetween(c, b);
  const batch = new TransmitBatch(1);
  batch.begin();
  batch.commit(flow, HEADER_BYTES, 0);
  let heard = 0;
  let told = 0;
  const ear = new PortEar(b, () => heard++);
  const onReadable = () => {
    told++;
    ear.poll();
  };
  b.listener = { onReadable, onWritable: () => {} };
  for (let i = 1; i <= UDP_PACKETS; i++) {
    c.send(batch);
    await until(() => heard === i, 'the datagram');
  }
  assert.ok(told <= 2 * UDP_PACKETS, `told ${told} times of ${UDP_PACKETS} datagrams`);
  await Promise.all([a.close(), b.close(), c.close()]);
});
