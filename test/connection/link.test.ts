/** A link that ends: what succeeded before is handed out, and nothing that waits is posted on it any more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionGroup } from '../../src/connection/link/completion-hub.js';
import { Link } from '../../src/connection/link/link.js';
import type { ConnectionResources } from '../../src/connection/link/resources.js';
import { MAX_POSTED_OPERATIONS, OneSidedOperations } from '../../src/connection/memory/one-sided.js';
import { toRKey } from '../../src/verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WcStatus, type WorkCompletion } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { writeTo } from '../../testkit/transfers.js';
import { WatchedMemory, WatchedQp } from '../../tools/fuzz/targets/messages/watched-queues.js';

const WAITING = 8;

/** A link whose send queue is full of writes, with some that wait; completions come when the test says so. */
class Rig {
  readonly qp = new WatchedQp(1, 8);
  readonly failures: RdmaError[] = [];
  readonly outcomes: string[] = [];
  readonly #statuses: WcStatus[] = [];
  readonly #channel: { onEvent: (() => void) | null } = { onEvent: null };
  readonly #link: Link;
  #completed = 0;

  constructor() {
    const poll = (into: readonly WorkCompletion[]): number => this.#poll(into);
    const queue = { reqNotify() {}, capacity: 128 };
    const completions = new CompletionGroup(
      this.#channel as unknown as CompletionChannel,
      { ...queue, poll } as unknown as CompletionQueue,
      { ...queue, poll: () => 0 } as unknown as CompletionQueue,
    );
    const resources = { qp: this.qp, completions } as unknown as ConnectionResources;
    this.#link = new Link(resources, {
      onFragment: () => assert.fail('nobody sends'),
      onProgress() {},
      onFailure: (error) => this.failures.push(error),
    });
    const operations = new OneSidedOperations();
    const sges = [{ mr: new WatchedMemory(8) }];
    for (let i = 0; i < MAX_POSTED_OPERATIONS + WAITING; i++) {
      const work = { opcode: WrOpcode.RDMA_WRITE, sges, remoteAddr: BigInt(i), rkey: toRKey(1) };
      const told = (outcome: string): unknown => this.outcomes.push(outcome);
      void operations.run(work, writeTo(BigInt(i), new Uint8Array(8))).then(
        () => told('done'),
        (error: RdmaError) => told(error.status ?? error.code),
      );
    }
    operations.attach(this.#link.tracker);
    assert.equal(this.qp.sends.length, MAX_POSTED_OPERATIONS);
  }

  complete(...statuses: WcStatus[]): void {
    this.queue(...statuses);
    this.#channel.onEvent?.();
  }

  queue(...statuses: WcStatus[]): void {
    this.#statuses.push(...statuses);
  }

  stop(): Promise<void> {
    return this.#link.stop(new RdmaError('ERR_RDMA_OUTCOME_UNKNOWN', 'the link is over'));
  }

  #poll(into: readonly WorkCompletion[]): number {
    const statuses = this.#statuses.splice(0, into.length);
    for (const [i, status] of statuses.entries()) {
      const completion = into[i] ?? assert.fail();
      completion.qpn = this.qp.qpn;
      completion.status = status;
      const [request] = this.qp.sends.splice(0, 1);
      completion.wrId = request?.wrId ?? assert.fail();
      this.#completed++;
    }
    return statuses.length;
  }

  /** Writes that were ever given to the queue pair. */
  get posted(): number {
    return this.#completed + this.qp.sends.length;
  }
}

const { SUCCESS, REM_ACCESS_ERR, WR_FLUSH_ERR, RETRY_EXC_ERR } = WcStatus;

test('each write that succeeds makes room for one that waits', () => {
  const rig = new Rig();
  rig.complete(SUCCESS, SUCCESS);
  assert.equal(rig.posted, MAX_POSTED_OPERATIONS + 2);
});

test('writes that succeed together with one that fails make no room: what waits is kept for the next link', async () => {
  for (const failure of [REM_ACCESS_ERR, RETRY_EXC_ERR, WR_FLUSH_ERR]) {
    const rig = new Rig();
    rig.complete(SUCCESS, SUCCESS, failure, WR_FLUSH_ERR);
    await new Promise(setImmediate);
    assert.equal(rig.failures.length, 1);
    assert.equal(rig.posted, MAX_POSTED_OPERATIONS);
    assert.deepEqual(rig.outcomes.slice(0, 2), ['done', 'done']);
  }
});

test('what succeeded before a link is stopped makes no room either', async () => {
  const rig = new Rig();
  rig.queue(SUCCESS, SUCCESS, SUCCESS);
  await rig.stop();
  assert.equal(rig.posted, MAX_POSTED_OPERATIONS);
  await new Promise(setImmediate);
  assert.deepEqual(rig.outcomes.slice(0, 4), ['done', 'done', 'done', 'ERR_RDMA_OUTCOME_UNKNOWN']);
  assert.equal(rig.outcomes.length, MAX_POSTED_OPERATIONS, 'those that wait have not ended');
});

test('a queue pair that has failed takes nothing, also before anybody was told', () => {
  const rig = new Rig();
  rig.qp.state = QpState.ERR;
  rig.complete(SUCCESS);
  assert.equal(rig.posted, MAX_POSTED_OPERATIONS);
});

test('a link that is stopped has nothing more to do, also when what was under way is flushed', async () => {
  const rig = new Rig();
  rig.queue(WR_FLUSH_ERR, WR_FLUSH_ERR);
  await rig.stop();
  assert.ok(!process.getActiveResourcesInfo().includes('Immediate'));
});
