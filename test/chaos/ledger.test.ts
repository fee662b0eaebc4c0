/** The ledger of the chaos runs sees what it is for, and blames nobody for what a killed process took with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../tools/chaos/ledger.js';
import type { Progress } from '../../tools/chaos/protocol.js';

const progress = (fields: Partial<Progress>, client = 1, number = 1): Progress => ({
  incarnation: { client, number },
  acknowledged: 0,
  received: 0,
  lost: 0,
  duplicated: 0,
  reordered: 0,
  streams: 0,
  streamsLost: 0,
  streamsDuplicated: 0,
  corrupted: 0,
  recoveries: 0,
  over: true,
  ...fields,
});

test('what the sender was told has arrived and the receiver never got is lost', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10, received: 7 }));
  ledger.note('server', progress({ acknowledged: 8, received: 9 }));
  assert.equal(ledger.totals().lost, 2, 'one in each direction');
});

test('a message that was sent and never acknowledged is not lost', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10 }));
  ledger.note('server', progress({ received: 12 }));
  assert.equal(ledger.totals().lost, 0);
});

test('what the receiver itself misses counts once, and doubles do not make up for it', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10 }));
  ledger.note('server', progress({ received: 10, lost: 1, duplicated: 1 }));
  assert.deepEqual([ledger.totals().lost, ledger.totals().duplicated], [1, 1]);
});

test('a receiver that was killed is not asked for what it had taken', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10, received: 3, over: false }));
  ledger.note('server', progress({ acknowledged: 3, received: 9, over: false }));
  assert.equal(ledger.totals().lost, 0);
});

test('what an end told before its process was killed counts as long as it was the end', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10 }, 1, 1));
  ledger.note('server', progress({ received: 9, over: true }, 1, 1));
  assert.equal(ledger.totals().lost, 1);
});

test('progress of a client is that of all its incarnations, and reports replace each other', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ received: 5, acknowledged: 4, over: false }));
  ledger.note('client', progress({ received: 6, acknowledged: 6, over: true }));
  ledger.note('client', progress({ received: 1, acknowledged: 2 }, 1, 2));
  ledger.note('client', progress({ received: 100, acknowledged: 100 }, 2, 1));
  assert.deepEqual(ledger.progressOf(1), { received: 7, acknowledged: 8 });
  assert.equal(ledger.messages, 107);
});

test('bodies of streams that were too short or too long count as lost and doubled', () => {
  const ledger = new Ledger();
  ledger.note('client', progress({ acknowledged: 10, received: 5, streams: 3, streamsLost: 1 }));
  ledger.note('server', progress({ acknowledged: 5, received: 10, streams: 2, streamsDuplicated: 2 }));
  const { lost, duplicated, streams } = ledger.totals();
  assert.deepEqual([lost, duplicated, streams], [1, 2, 5]);
});
