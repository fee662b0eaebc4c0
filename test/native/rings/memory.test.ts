/** Rings into which anything is written: nothing comes of it but counted faults. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PortEar } from '../../../testkit/native-ports.js';
import { Random } from '../../../testkit/random.js';
import { BATCH_PACKETS, count, Line, MAX_PACKET_BYTES, openPort, RING_BYTES, skip, until } from './line.js';

test('whatever is written into rings, ports deliver packets of bounded size, and others go on', {
  skip,
}, async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = new Random(seed).u32;
  const memory = openSync('/proc/self/mem', 'r+');
  let faults = 0;
  try {
    for (let round = 0; round < 20; round++) {
      const [a, b] = [openPort(), openPort()];
      const ear = new PortEar(b, ({ length, source }) => {
        assert.ok(length > 0 && length <= MAX_PACKET_BYTES, `seed ${seed}: ${length} bytes`);
        assert.equal(source.port, a.address.port);
      });
      const line = new Line(a, b);
      await line.meet();
      for (let i = 0; i < 100; i++) {
        line.send(random() % 4);
        // Looked up every time: a ring that has ended is memory of something else soon.
        const rings = findRings();
        if (rings.length === 0) break;
        scribble(memory, rings, random);
        ear.poll();
        if (random() % 8 === 0) await turn();
      }
      faults += count(b, 'portRingFaults');
      await Promise.all([a.close(), b.close()]);
    }
    assert.ok(faults > 0, `seed ${seed}: no fault was seen`);
  } finally {
    closeSync(memory);
  }
});

test('a ring whose writer breaks the rules ends, is counted, UDP takes over, and then another ring', {
  skip,
}, async () => {
  const memory = openSync('/proc/self/mem', 'r+');
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  line.listen();
  await line.meet();
  // More than once around, so that old packets lie behind the new ones.
  for (let i = 0; i < 20; i++) {
    line.send(BATCH_PACKETS);
    await until(() => line.heard.length === line.sent, 'all packets');
  }
  // How many bytes were written: more than the ring has.
  for (const ring of findRings()) writeSync(memory, Buffer.from('f0ffff7f', 'hex'), 0, 4, ring);
  closeSync(memory);
  await until(() => count(b, 'portRingFaults') === 1, 'the fault');
  const byRing = count(a, 'portRingSentPackets');
  const heard = line.heard.length;
  assert.equal(heard, line.sent, 'no old packet is taken again');
  await until(() => {
    line.send(1);
    return line.heard.length > heard + 10;
  }, 'packets by UDP');
  const lost = line.sent - line.heard.length;
  assert.ok(lost <= 3, `${lost} packets went into a ring that nobody reads`);
  await until(() => {
    line.send(1);
    return count(a, 'portRingSentPackets') > byRing + 10;
  }, 'another ring');
  assert.equal(count(b, 'portRings'), 1);
  await Promise.all([a.close(), b.close()]);
});

/** Where rings begin that are mapped now. */
function findRings(): number[] {
  const starts: number[] = [];
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const found = /^([0-9a-f]+)-\S+ \S+ 00000000 .*memfd:queuepair-ring/.exec(line);
    if (found !== null) starts.push(Number.parseInt(found[1] as string, 16));
  }
  return starts;
}

/** Words of both ends, and lengths, as they never are and nearly as they are. */
function scribble(memory: number, rings: readonly number[], random: () => number): void {
  const ring = rings[random() % rings.length] as number;
  const bytes = Buffer.alloc(4);
  // The next packet that the reader takes.
  readSync(memory, bytes, 0, 4, ring + 64);
  const next = 4096 + (bytes.readUInt32LE() % RING_BYTES);
  const places = [0, 64, 128, next, next, 4096 + (random() % RING_BYTES)];
  const values = [random(), (random() % 1000) * 16, MAX_PACKET_BYTES + (random() % 100)];
  bytes.writeUInt32LE(values[random() % values.length] as number);
  writeSync(memory, bytes, 0, 4, ring + (places[random() % places.length] as number));
}
