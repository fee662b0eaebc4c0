/** What a connection takes of a server's memory while its program waits for a message, as thousands of them do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ScaleProcess } from '../../tools/bench/scale/scale-process.js';

const WARM_CONNECTIONS = 50;
const CONNECTIONS = 150;
const TOGETHER = 8;
/**
 * About 25 of objects, and 29 of buffers. It was 41 of objects when functions waited for each connection, its parts had closures of
 * their own, and maps were made for what it never does.
 */
const MOST_OBJECTS_KIB = 32;
const MOST_BUFFERS_KIB = 32;

test(`a silent connection takes ${MOST_OBJECTS_KIB} KiB of a server's heap at most, and ${MOST_BUFFERS_KIB} of buffers`, async () => {
  const certificates = mkdtempSync(join(tmpdir(), 'queuepair-memory-'));
  const config = {
    kind: 'queuepair',
    host: '127.0.0.1',
    device: 'soft:127.0.0.1?port=0',
    certificates,
  } as const;
  try {
    await ScaleProcess.withBoth(
      { ...config, most: WARM_CONNECTIONS + CONNECTIONS },
      async (server, client) => {
        await client.open(WARM_CONNECTIONS, TOGETHER);
        await client.exchange(TOGETHER, WARM_CONNECTIONS, TOGETHER);
        const before = await server.memory();
        await client.open(CONNECTIONS, TOGETHER);
        const after = await server.memory();
        assert.equal(after.open - before.open, CONNECTIONS);
        const kib = (from: number, to: number): number => (to - from) / 1024 / CONNECTIONS;
        const objects = kib(before.heapBytes, after.heapBytes);
        assert.ok(objects <= MOST_OBJECTS_KIB, `${objects.toFixed(1)} KiB of objects a connection`);
        const buffers = kib(before.bufferBytes, after.bufferBytes);
        assert.ok(buffers <= MOST_BUFFERS_KIB, `${buffers.toFixed(1)} KiB of buffers a connection`);
      },
    );
  } finally {
    rmSync(certificates, { recursive: true });
  }
});
