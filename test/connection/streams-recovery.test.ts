/** Streams of connections whose queue pairs and sessions fail: not one byte is lost or doubled. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { Random } from '../../testkit/random.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const STREAMS = 3;
const BYTES = 3 * 1024 * 1024;
const FAULTS = 5;

interface Way {
  readonly written: string;
  readonly read: string;
}

/** Writes pseudo-random bytes and reads what comes back; returns both hashes. */
async function thereAndBack(
  stream: ConnectionStream,
  seed: number,
  onRead: (bytes: number) => void,
): Promise<Way> {
  const random = new Random(seed);
  const [written, read] = [createHash('sha256'), createHash('sha256')];
  stream.on('data', (chunk: Buffer) => {
    read.update(chunk);
    onRead(chunk.length);
  });
  const ended = once(stream, 'end');
  const block = Buffer.from(Array.from({ length: 100_000 }, () => random.int(0, 255)));
  for (let left = BYTES; left > 0; ) {
    const length = Math.min(left, random.pick([1, 700, 16_384, 65_536, 99_999]));
    const chunk = Buffer.from(block.subarray(0, length));
    chunk.writeUInt8(left & 0xff, 0);
    written.update(chunk);
    left -= length;
    if (!stream.write(chunk)) await once(stream, 'drain');
  }
  stream.end();
  await ended;
  return { written: written.digest('hex'), read: read.digest('hex') };
}

for (const [encryption, life] of [
  [undefined, 'session'],
  ['aes-256-gcm', 'session'],
  ['aes-256-gcm', 'brief'],
] as const) {
  const how = `${encryption === undefined ? 'in the clear' : 'sealed'} (${life})`;
  test(`streams go there and back ${how}, their hashes equal, although queue pairs and sessions fail`, async () => {
    const [serverDevice, clientDevice] = [
      await FragileDevice.open(FREE_DEVICE),
      await FragileDevice.open(FREE_DEVICE),
    ];
    const ends: Connection[] = [];
    const server = await startServer(
      async (connection) => {
        ends.push(connection);
        connection.on('stream', (stream) => {
          stream.on('error', () => {});
          stream.pipe(stream);
        });
        await connection.closed;
      },
      { device: serverDevice.device, lifeline: life, ...(encryption === undefined ? {} : { encryption }) },
    );
    const tcp = await TcpCutter.to(server.address);
    const client = await connectTo(server, { device: clientDevice.device, port: tcp.port, lifeline: life });
    const queuePairs = [() => clientDevice.failQueuePairs(), () => serverDevice.failQueuePairs()] as const;
    const sessions = [
      async () => tcp.cut(),
      async () => {
        tcp.cut();
        await serverDevice.failQueuePairs();
      },
    ] as const;
    // One that was left is no loss.
    const strike = life === 'brief' ? queuePairs : [...queuePairs, ...sessions];
    let bytes = 0;
    let isOver = false;
    const ways = Promise.all(
      Array.from({ length: STREAMS }, (_, i) => {
        return thereAndBack(client.openStream(), 100 + i, (length) => {
          bytes += length;
        });
      }),
    ).finally(() => {
      isOver = true;
    });
    let struck = 0;
    for (; struck < FAULTS && !isOver; struck++) {
      const until = ((struck + 1) * STREAMS * BYTES) / (FAULTS + 2);
      while (bytes < until && !isOver) await turn();
      const recovered = recoveryOf(client);
      await strike[struck % strike.length]?.();
      await recovered;
    }
    for (const { written, read } of await ways) assert.equal(read, written);
    assert.equal(struck, FAULTS);
    assert.ok(client.statistics.recoveries >= FAULTS, `${client.statistics.recoveries} recoveries`);
    await client.close();
    await serverIsEmpty(server);
    await server.close();
    await tcp[Symbol.asyncDispose]();
    for (const device of [serverDevice, clientDevice]) await device.closeEmpty();
  });
}
