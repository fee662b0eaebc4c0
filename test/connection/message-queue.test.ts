/** What becomes of messages when the connection ends: what the peer may have is unknown, the rest was never sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageKind } from '../../src/connection/fragments/message-header.js';
import { MessageQueue } from '../../src/connection/fragments/message-queue.js';
import { Cut } from '../../src/connection/fragments/outbox.js';
import { RdmaError } from '../../src/verbs/errors.js';

const LOST = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the network was dark');

/** A queue of messages of 8 bytes, and what they ended with. */
function queueOf(count: number): { queue: MessageQueue; outcomes: (RdmaError | undefined)[] } {
  const queue = new MessageQueue(null);
  const outcomes: (RdmaError | undefined)[] = [];
  for (let i = 0; i < count; i++) {
    const done = (error: RdmaError | undefined): void => {
      outcomes[i] = error;
    };
    queue.add(MessageKind.DATA, 0, new Uint8Array(8), done, i + 1);
  }
  return { queue, outcomes };
}

function cutOne(queue: MessageQueue, bytes: number): Cut {
  const cut = new Cut();
  cut.aim(new Uint8Array(bytes), 0);
  queue.take(cut, bytes);
  return cut;
}

test('messages that have left are unknown and not to be repeated; those of which a part has not may be', () => {
  const { queue, outcomes } = queueOf(4);
  const first = cutOne(queue, 8);
  cutOne(queue, 8);
  cutOne(queue, 4);
  queue.arrived(first);
  queue.fail(LOST);
  assert.deepEqual(
    outcomes.map((error) => error?.code),
    [undefined, 'ERR_RDMA_OUTCOME_UNKNOWN', 'ERR_RDMA_CONNECTION_LOST', 'ERR_RDMA_CONNECTION_LOST'],
  );
  assert.deepEqual(
    outcomes.map((error) => error?.retryable),
    [undefined, false, true, true],
  );
  assert.equal(outcomes[1]?.cause, LOST);
  assert.equal(queue.pending, 0);
});

test('a message of which the peer says that it has nothing has not left', () => {
  const { queue, outcomes } = queueOf(3);
  const cuts = [cutOne(queue, 8), cutOne(queue, 4), cutOne(queue, 4), cutOne(queue, 4)];
  assert.equal(queue.withdraw(3), undefined);
  for (const cut of cuts.slice(1).reverse()) queue.rewind(cut);
  assert.notEqual(queue.withdraw(3), undefined);
  queue.fail(LOST);
  assert.deepEqual(
    outcomes.map((error) => error?.code),
    ['ERR_RDMA_OUTCOME_UNKNOWN', 'ERR_RDMA_CONNECTION_LOST'],
  );
});
