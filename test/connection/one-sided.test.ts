/** One-sided operations over links that fail: what is repeated, in which order, and how often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Work, WorkDone, WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import {
  MAX_POSTED_OPERATIONS,
  OneSidedOperations,
  outcomeUnknown,
} from '../../src/connection/memory/one-sided.js';
import { Transfer } from '../../src/connection/memory/transfer.js';
import { toRKey } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { writeTo } from '../../testkit/transfers.js';

/** What was posted on a link, to be answered here. */
class Link {
  readonly posted: { readonly work: Work; readonly done: WorkDone }[] = [];
  isUsable = true;

  get tracker(): WorkTracker {
    return this as unknown as WorkTracker;
  }

  get addresses(): number[] {
    return this.posted.map(({ work }) => Number(work.remoteAddr));
  }

  post(work: Work, done: WorkDone): number {
    return this.posted.push({ work, done });
  }

  fail(cause: RdmaError): void {
    this.isUsable = false;
    for (const { done } of this.posted.splice(0)) done(outcomeUnknown(cause));
  }
}

const workAt = (remoteAddr: number): Work => ({ opcode: WrOpcode.RDMA_WRITE, remoteAddr, rkey: toRKey(1) });
const transfer = (repeatable: boolean) => writeTo(1n, new Uint8Array(8), repeatable);
const read = () =>
  new Transfer({
    kind: 'read',
    remote: { addr: 1n, rkey: toRKey(1), length: 8 },
    bytes: new Uint8Array(8),
    repeatable: false,
  });
const lost = new RdmaError('ERR_RDMA_COMPLETION', 'nobody answers', { status: 'RETRY_EXC_ERR' });
const asked = new RdmaError('ERR_RDMA_COMPLETION', 'the peer asked for too much', {
  status: 'QP_ACCESS_ERR',
});

test('operations that are repeated keep their place before those that wait', () => {
  const operations = new OneSidedOperations();
  const first = new Link();
  operations.attach(first.tracker);
  for (let i = 0; i < MAX_POSTED_OPERATIONS + 2; i++) void operations.run(workAt(i), transfer(true));
  assert.equal(first.posted.length, MAX_POSTED_OPERATIONS);
  first.fail(lost);
  operations.detach();
  const second = new Link();
  operations.attach(second.tracker);
  assert.deepEqual(
    second.addresses,
    Array.from({ length: MAX_POSTED_OPERATIONS }, (_, i) => i),
  );
});

test('a write that the peer has carried out before it left is done; a read has no answer, and later ones are unknown', async () => {
  const operations = new OneSidedOperations();
  const link = new Link();
  operations.attach(link.tracker);
  const running = [transfer(false), transfer(true), read(), transfer(false)].map((one, i) =>
    operations.run(workAt(i), one).then(
      () => 'done',
      ({ code }: RdmaError) => code,
    ),
  );
  operations.carriedOut(3);
  link.fail(lost);
  operations.detach();
  assert.deepEqual(await Promise.all(running), [
    'done',
    'done',
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'ERR_RDMA_OUTCOME_UNKNOWN',
  ]);
});

test('an operation under which link after link ends because of what the peer asked for is given up', async () => {
  const operations = new OneSidedOperations();
  const running = operations.run(workAt(1), transfer(true));
  const ended = assert.rejects(running, { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  let links = 0;
  for (; links < 20; links++) {
    const link = new Link();
    operations.attach(link.tracker);
    if (link.posted.length === 0) break;
    link.fail(asked);
    operations.detach();
  }
  assert.equal(links, 8);
  await ended;
});

test('links that the network ends are no reason to give up', () => {
  const operations = new OneSidedOperations();
  void operations.run(workAt(1), transfer(true));
  for (let i = 0; i < 20; i++) {
    const link = new Link();
    operations.attach(link.tracker);
    assert.equal(link.posted.length, 1);
    link.fail(lost);
    operations.detach();
  }
});

test('an operation that may not be carried out twice is not posted again', async () => {
  const operations = new OneSidedOperations();
  const ended = assert.rejects(operations.run(workAt(1), transfer(false)), {
    code: 'ERR_RDMA_OUTCOME_UNKNOWN',
  });
  const first = new Link();
  operations.attach(first.tracker);
  first.fail(lost);
  operations.detach();
  const second = new Link();
  operations.attach(second.tracker);
  assert.deepEqual(second.posted, []);
  await ended;
});

test('operations that wait when a link ends are posted on the next, also those that may not be repeated', async () => {
  const operations = new OneSidedOperations();
  const first = new Link();
  operations.attach(first.tracker);
  const running: Promise<string>[] = [];
  for (let i = 0; i < MAX_POSTED_OPERATIONS + 2; i++) {
    running.push(
      operations.run(workAt(i), transfer(false)).then(
        () => 'done',
        (error: RdmaError) => error.code,
      ),
    );
  }
  first.fail(lost);
  operations.detach();
  const second = new Link();
  operations.attach(second.tracker);
  assert.deepEqual(second.addresses, [MAX_POSTED_OPERATIONS, MAX_POSTED_OPERATIONS + 1]);
  for (const { done } of second.posted.splice(0)) done(undefined);
  const outcomes = await Promise.all(running);
  assert.deepEqual(new Set(outcomes.slice(0, -2)), new Set(['ERR_RDMA_OUTCOME_UNKNOWN']));
  assert.deepEqual(outcomes.slice(-2), ['done', 'done']);
});

test('an operation that is given up while it waits is never posted, and those behind it move up', async () => {
  const operations = new OneSidedOperations();
  const link = new Link();
  operations.attach(link.tracker);
  for (let i = 0; i < MAX_POSTED_OPERATIONS; i++) void operations.run(workAt(i), transfer(true));
  const [given, kept] = [transfer(true), transfer(true)];
  const ended = assert.rejects(operations.run(workAt(1000), given), { code: 'ERR_RDMA_ABORTED' });
  void operations.run(workAt(2000), kept);
  given.giveUp();
  await ended;
  assert.equal(given.hasBegun, false);
  for (const { done } of link.posted.splice(0)) done(undefined);
  assert.deepEqual(link.addresses, [2000]);
  assert.equal(kept.hasBegun, true);
  const late = transfer(true);
  late.giveUp();
  await assert.rejects(operations.run(workAt(3000), late), { code: 'ERR_RDMA_ABORTED' });
  assert.deepEqual(link.addresses, [2000]);
});

test('an operation that is given up is not repeated: on its link, and between two links', async () => {
  const operations = new OneSidedOperations();
  const first = new Link();
  operations.attach(first.tracker);
  const [onLink, between, kept] = [transfer(true), transfer(true), transfer(true)];
  const outcomes = [onLink, between].map((given, i) =>
    operations.run(workAt(i), given).catch((error: RdmaError) => error.code),
  );
  void operations.run(workAt(2), kept);
  onLink.giveUp();
  first.fail(lost);
  operations.detach();
  between.giveUp();
  const second = new Link();
  operations.attach(second.tracker);
  assert.deepEqual(second.addresses, [2]);
  assert.deepEqual(await Promise.all(outcomes), ['ERR_RDMA_OUTCOME_UNKNOWN', 'ERR_RDMA_ABORTED']);
});

test('operations whose link has been detached before they end take no places on the next', () => {
  const operations = new OneSidedOperations();
  const first = new Link();
  operations.attach(first.tracker);
  for (let i = 0; i < MAX_POSTED_OPERATIONS; i++) void operations.run(workAt(i), transfer(true));
  operations.detach();
  first.fail(lost);
  const second = new Link();
  operations.attach(second.tracker);
  assert.equal(second.posted.length, MAX_POSTED_OPERATIONS);
});

test('the end of the connection ends what waits, what was to be repeated, and what comes later', async () => {
  const operations = new OneSidedOperations();
  const end = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'it is over');
  const outcomes: unknown[] = [];
  const run = (): unknown => operations.run(workAt(1), transfer(true)).catch((error) => outcomes.push(error));
  const link = new Link();
  operations.attach(link.tracker);
  run();
  link.fail(lost);
  operations.detach();
  run();
  operations.fail(end);
  run();
  await new Promise(setImmediate);
  assert.deepEqual(outcomes, [end, end, end]);
});

test('an operation that the peer refuses ends with that, and is not posted again', async () => {
  const operations = new OneSidedOperations();
  const first = new Link();
  operations.attach(first.tracker);
  const refusal = new RdmaError('ERR_RDMA_COMPLETION', 'no such right', { status: 'REM_ACCESS_ERR' });
  const ended = operations.run(workAt(1), transfer(true)).catch((error) => error);
  first.isUsable = false;
  for (const { done } of first.posted.splice(0)) done(refusal);
  operations.detach();
  const second = new Link();
  operations.attach(second.tracker);
  assert.deepEqual(second.addresses, []);
  assert.equal(await ended, refusal);
});
