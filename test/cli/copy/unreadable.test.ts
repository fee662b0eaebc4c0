/** A disk that does not give what it has announced. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CopyLink, slotsOf } from '../../../src/cli/copy/copy-link.js';
import { Place } from '../../../src/cli/copy/place.js';
import { receiveTree } from '../../../src/cli/copy/receive-tree.js';
import { sendTree } from '../../../src/cli/copy/send-tree.js';
import { connectTo, startServer } from '../../../testkit/session-pair.js';
import { within } from '../../../testkit/within.js';

const BUFFER_BYTES = 4 * 64 * 1024;
const PLAN = slotsOf(BUFFER_BYTES);
const newDir = (): string => mkdtempSync(join(tmpdir(), 'queuepair-unreadable-'));

test('more files than there are slots that cannot be read are told, and those behind them are copied', async () => {
  const [from, to] = [newDir(), newDir()];
  const unreadable = Array.from({ length: PLAN.slots + 1 }, (_, i) => `bad-${i}`);
  for (const name of [...unreadable, 'good']) writeFileSync(join(from, name), `bytes of ${name}`);
  const place = await Place.at(to);
  const server = await startServer(
    (connection) => receiveTree(new CopyLink(connection), PLAN, place, '', {}),
    { bufferBytes: BUFFER_BYTES },
  );
  const connection = await connectTo(server);
  const source = await Place.at(from);
  const told: string[] = [];
  const entries = source.walk('');
  // A handle that may only write refuses to read, as a bad disk does.
  const openFile = (path: string) => open(join(from, path), path === 'good' ? 'r' : 'a');
  const sending = sendTree(
    new CopyLink(connection),
    PLAN,
    { entries, open: openFile },
    {
      onStored: (path) => told.push(`stored ${path}`),
      onFailed: (path) => told.push(`failed ${path}`),
    },
  );
  try {
    await within(sending, 20_000);
  } finally {
    await connection.close();
    await server.close();
  }
  const wanted = [...unreadable.map((name) => `failed ${name}`), 'stored good'];
  assert.deepEqual(told.sort(), wanted.sort());
});
