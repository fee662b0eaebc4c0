/**
 * Writes and reads of an encrypted connection that overlap, from both ends at once: each byte is at any time what a write
 * put there, and nobody takes the sealed bytes of another for a forgery.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { Random } from '../../testkit/random.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, startServer } from '../../testkit/session-pair.js';

const ON = { encryption: 'aes-256-gcm', bufferBytes: 64 * 1024 } as const;
const OPERATIONS = 150;
/** The peer's memory is full of one byte after each write, at the places that it wrote. */
const FILLS = 200;

/** Keeps 32 operations under way, most of which overlap; every read sees whole writes alone. */
async function overlap(connection: Connection, random: Random): Promise<void> {
  const place = connection.remoteBuffer as RemoteBuffer;
  const model = new Set([0]);
  const one = async (number: number): Promise<void> => {
    const at = random.int(0, 7) * 1024;
    const length = random.int(1, 16 * 1024);
    if (random.chance(0.5)) {
      const fill = 1 + (number % FILLS);
      model.add(fill);
      await connection.write(place.at(at, length), new Uint8Array(length).fill(fill), { repeatable: true });
      return;
    }
    const bytes = await connection.read(place.at(at, length));
    for (const byte of bytes) assert.ok(model.has(byte), `a read gave ${byte}, which nobody wrote`);
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < OPERATIONS) await one(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

for (const faults of ['no faults', 'lost packets and failing queue pairs']) {
  test(`overlapping sealed writes and reads from both ends are carried out in turn: ${faults}`, async (t) => {
    const seed = Math.trunc(Math.random() * 2 ** 31);
    t.diagnostic(`seed ${seed}`);
    const random = new Random(seed);
    const fragile = await FragileDevice.open(FREE_DEVICE, seed);
    const server = await startServer(async (connection) => void (await connection.closed), ON);
    const arrived = once(server, 'connection');
    const client = await connectTo(server, { ...ON, device: fragile.device });
    const [served] = (await arrived) as [Connection];
    const isFaulty = faults !== 'no faults';
    if (isFaulty) fragile.loss = 0.02;
    let isOver = false;
    const running = Promise.all([overlap(client, random), overlap(served, random)]).finally(() => {
      isOver = true;
    });
    const failing = (async () => {
      for (let i = 0; isFaulty && i < 3 && !isOver; i++) {
        const recovered = recoveryOf(client);
        await fragile.failQueuePairs();
        await Promise.race([recovered, running]);
      }
    })();
    await Promise.all([running, failing]);
    for (const connection of [client, served]) {
      const { reads, writes } = connection.statistics;
      assert.equal(reads + writes, OPERATIONS);
    }
    await client.close();
    await server.close();
    await fragile.device.close();
  });
}
