/** Ports that are joined in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Datagram } from '../../src/roce/datagram.js';
import { Flow } from '../../src/roce/flow.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { MemoryPort } from '../../src/soft/memory-port.js';
import { toAddress } from '../../testkit/nic-pair.js';

const HEADER_BYTES = 12;

/** A batch of packets without payload, each with a number in its first byte. */
function packets(count: number, from = 0): TransmitBatch {
  const batch = new TransmitBatch(count);
  const flow = new Flow();
  for (let i = 0; i < count; i++) {
    batch.headers[batch.begin()] = (from + i) & 0xff;
    batch.commit(flow, HEADER_BYTES, 0);
  }
  return batch;
}

const pair = () => MemoryPort.pair(toAddress('127.0.0.1'));

function numbersAt(port: MemoryPort): number[] {
  const datagram = new Datagram();
  return Array.from({ length: port.receive() }, (_, index) => {
    port.read(index, datagram);
    assert.equal(datagram.length, HEADER_BYTES + 4, 'the length has room for an ICRC');
    assert.equal(datagram.icrcVerified, true);
    return datagram.bytes[datagram.at] as number;
  });
}

test('a packet arrives once, in its order, as a copy, and from the address of the other port', () => {
  const [one, other] = pair();
  const batch = packets(3);
  one.send(batch);
  batch.headers.fill(99);
  one.send(packets(1, 3));
  assert.deepEqual(numbersAt(other), [0, 1, 2, 3]);
  assert.deepEqual(numbersAt(other), []);
  other.send(packets(1, 7));
  const datagram = new Datagram();
  assert.equal(one.receive(), 1);
  one.read(0, datagram);
  assert.deepEqual([datagram.source.port, datagram.destination.port], [other.address.port, one.address.port]);
});

test('what is being read stays while more comes, and what there is no room for is lost', () => {
  const [one, other] = pair();
  one.send(packets(100));
  assert.equal(other.receive(), 100);
  const datagram = new Datagram();
  one.send(packets(64, 100));
  other.read(99, datagram);
  assert.equal(datagram.bytes[datagram.at], 99);
  assert.deepEqual(
    numbersAt(other),
    Array.from({ length: 28 }, (_, i) => 100 + i),
  );
  one.send(packets(64));
  assert.equal(numbersAt(other).length, 64);
});

test('the owner is told in a turn of its own, unless it looks in every turn or does not want to be told', async () => {
  const [one, other] = pair();
  let told = 0;
  other.listener = { onReadable: () => told++, onWritable() {} };
  one.send(packets(1));
  assert.equal(told, 0);
  await turn();
  assert.equal(told, 1);
  other.receive();

  other.setTurning(true);
  one.send(packets(1));
  await turn();
  assert.equal(told, 1);
  other.setTurning(false);
  await turn();
  assert.equal(told, 2);
  other.receive();

  other.wakeOnArrival(false);
  one.send(packets(1));
  await turn();
  assert.equal(told, 2);
  other.wakeOnArrival(true);
  await turn();
  assert.equal(told, 3);
});

test('nothing arrives at a closed port, and it tells nothing', async () => {
  const [one, other] = pair();
  let told = 0;
  other.listener = { onReadable: () => told++, onWritable() {} };
  one.send(packets(1));
  await other.close();
  one.send(packets(1));
  await turn();
  assert.deepEqual([told, other.receive()], [0, 0]);
  other.send(packets(1));
  assert.equal(one.receive(), 0);
});
