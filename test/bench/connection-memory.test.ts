/** What a connection takes of a server's memory while its program waits for a message, as thousands of them do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LifelineKind } from '../../src/connection/terms/options.js';
import type { MemoryUse } from '../../tools/bench/scale/peer-orders.js';
import { ScaleProcess } from '../../tools/bench/scale/scale-process.js';

const WARM_CONNECTIONS = 50;
const CONNECTIONS = 150;
/** What V8 compiles meanwhile is in the heap, too, and there is less of it each time: the least of them has most of the connections alone. */
const TIMES = 3;
const TOGETHER = 8;
/**
 * About 18 of objects, and 29 of buffers. It was 41 of objects when functions waited for each connection, its parts had closures of
 * their own, and maps were made for what it never does.
 */
const MOST_OBJECTS_KIB = 25;
/** About 13: without its session a connection has no socket, no channel and nothing of TLS, at either end. */
const MOST_BRIEF_OBJECTS_KIB = 16;
const MOST_BUFFERS_KIB = 32;

interface Taken {
  readonly objects: number;
  readonly buffers: number;
}

const least = (taken: readonly Taken[]): Taken => ({
  objects: Math.min(...taken.map(({ objects }) => objects)),
  buffers: Math.min(...taken.map(({ buffers }) => buffers)),
});

/** KiB of one connection. */
async function taken(lifeline: LifelineKind): Promise<{ server: Taken; client: Taken }> {
  const certificates = mkdtempSync(join(tmpdir(), 'queuepair-memory-'));
  const config = {
    kind: 'queuepair',
    host: '127.0.0.1',
    device: 'soft:127.0.0.1?port=0',
    certificates,
    lifeline,
    most: WARM_CONNECTIONS + TIMES * CONNECTIONS,
  } as const;
  const kib = (from: number, to: number): number => (to - from) / 1024 / CONNECTIONS;
  const each = (before: MemoryUse, after: MemoryUse): Taken => {
    assert.equal(after.open - before.open, CONNECTIONS);
    return {
      objects: kib(before.heapBytes, after.heapBytes),
      buffers: kib(before.bufferBytes, after.bufferBytes),
    };
  };
  try {
    return await ScaleProcess.withBoth(config, async (server, client) => {
      const memory = () => Promise.all([server.memory(), client.memory()]);
      await client.open(WARM_CONNECTIONS, TOGETHER);
      await client.exchange(TOGETHER, WARM_CONNECTIONS, TOGETHER);
      let before = await memory();
      const servers: Taken[] = [];
      const clients: Taken[] = [];
      for (let time = 0; time < TIMES; time++) {
        await client.open(CONNECTIONS, TOGETHER);
        const after = await memory();
        servers.push(each(before[0], after[0]));
        clients.push(each(before[1], after[1]));
        before = after;
      }
      return { server: least(servers), client: least(clients) };
    });
  } finally {
    rmSync(certificates, { recursive: true });
  }
}

test(`a silent connection takes ${MOST_OBJECTS_KIB} KiB of a server's heap at most, and ${MOST_BUFFERS_KIB} of buffers`, async () => {
  const { objects, buffers } = (await taken('session')).server;
  assert.ok(objects <= MOST_OBJECTS_KIB, `${objects.toFixed(1)} KiB of objects a connection`);
  assert.ok(buffers <= MOST_BUFFERS_KIB, `${buffers.toFixed(1)} KiB of buffers a connection`);
});

test(`one that has left its session takes ${MOST_BRIEF_OBJECTS_KIB} KiB of the heap of either end at most`, async () => {
  for (const [end, { objects }] of Object.entries(await taken('brief')))
    assert.ok(objects <= MOST_BRIEF_OBJECTS_KIB, `${objects.toFixed(1)} KiB of objects at the ${end}`);
});
