/** Operations that a worker tells the main thread: each once, in order, with its error, and only while it is asked. */
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { threadBeganAt } from '../../src/connection/common/clock.js';
import { type OperationNote, publishOperation } from '../../src/connection/program/operation-watch.js';
import {
  type OperationBatch,
  OperationRelay,
  publishOperations,
} from '../../src/connection/workers/operation-relay.js';
import { watch } from '../../src/observe/watching.js';

const note = (number: number, more: Partial<OperationNote> = {}): OperationNote => ({
  side: 'server',
  server: 'a:1',
  connection: number,
  kind: 'send',
  bytes: number,
  startedAtMillis: number,
  durationMillis: 0.5,
  error: null,
  ...more,
});

test('what is told comes out at the other end as it was, and at most a thousand at a time', () => {
  const batches: OperationBatch[] = [];
  const relay = new OperationRelay((batch) => batches.push(structuredClone(batch)));
  publishOperation(note(0));
  relay.set(true, threadBeganAt - 250);
  const error = { code: 'ERR_RDMA_CLOSED', message: 'gone' };
  const notes = Array.from({ length: 2500 }, (_, i) => note(i + 1));
  notes[1700] = note(9, { kind: 'read', error });
  notes[1701] = note(10, { kind: 'write', server: 'b:2' });
  for (const each of notes) publishOperation(each);
  publishOperation(note(1, { side: 'client' }));
  relay.set(false, threadBeganAt - 250);
  publishOperation(note(1));
  assert.equal(channel('queuepair:operation').hasSubscribers, false);
  assert.deepEqual(
    batches.map(({ server, numbers }) => [server, numbers.length / 5]),
    [
      ['a:1', 1000],
      ['a:1', 701],
      ['b:2', 1],
      ['a:1', 798],
    ],
  );
  const told: OperationNote[] = [];
  const stop = watch('queuepair:operation', (message) => told.push(message));
  for (const batch of batches) publishOperations(batch);
  stop();
  const expected = notes.map((each) => ({ ...each, startedAtMillis: each.startedAtMillis + 250 }));
  assert.deepEqual(told, expected);
});
