/** The life of a verbs object: counted, kept by those who need it, closed once, in order with its control verbs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveObjects } from '../../src/verbs/live-objects.js';
import { makeObject, ObjectLife } from '../../src/verbs/object-life.js';

const nothing = (): void => {};

test('an object is counted for as long as it lives, and keeps what it needs', async () => {
  const live = new LiveObjects();
  const pd = new ObjectLife('pds', live);
  const mr = new ObjectLife('mrs', live, [pd]);
  assert.deepEqual([live.pds, live.mrs, pd.users], [1, 1, 1]);
  const inUse = { code: 'ERR_RDMA_IN_USE', message: /close the 1 objects of the protection domain first/ };
  await assert.rejects(pd.closeNow(nothing), inUse);
  await assert.rejects(
    pd.close(async () => {}),
    inUse,
  );
  assert.equal(pd.closed, false);
  await mr.closeNow(nothing);
  await pd.closeNow(nothing);
  assert.equal(live.total, 0);
});

test('each kind says what must be closed before it', async () => {
  const live = new LiveObjects();
  const wanted = [
    ['cqs', /the queue pairs that use the completion queue/],
    ['srqs', /the queue pairs that use the shared receive queue/],
    ['channels', /the completion queues that use the channel/],
  ] as const;
  for (const [kind, message] of wanted) {
    const life = new ObjectLife(kind, live);
    new ObjectLife('qps', live, [life]);
    await assert.rejects(life.closeNow(nothing), { code: 'ERR_RDMA_IN_USE', message });
  }
});

test('closing waits for the control verbs that run, happens once, and refuses those that come later', async () => {
  const live = new LiveObjects();
  const life = new ObjectLife('qps', live);
  const order: string[] = [];
  const verb = life.run(async () => void order.push('verb'));
  let destroyed = 0;
  const destroy = async (): Promise<void> => {
    destroyed++;
    order.push('destroy');
  };
  const [first, second] = [life.close(destroy), life.close(destroy)];
  assert.equal(live.qps, 1, 'until it is destroyed');
  await assert.rejects(
    life.run(async () => {}),
    { code: 'ERR_RDMA_CLOSED', message: /the queue pair is closed/ },
  );
  assert.throws(() => life.checkOpen(), { code: 'ERR_RDMA_CLOSED' });
  await Promise.all([verb, first, second, life.close(destroy)]);
  assert.deepEqual([order, destroyed, live.qps], [['verb', 'destroy'], 1, 0]);
});

test('an object that could not be destroyed lives on, and one that could not be made never lived', async () => {
  const live = new LiveObjects();
  const pd = new ObjectLife('pds', live);
  const failed = new Error('no');
  const failing = async (): Promise<never> => {
    throw failed;
  };
  await assert.rejects(pd.close(failing), failed);
  assert.deepEqual([pd.closed, live.pds], [false, 1]);
  let during = 0;
  const making = makeObject('mrs', live, [pd], async () => {
    during = pd.users;
    return failing();
  });
  await assert.rejects(making, failed);
  assert.deepEqual([during, pd.users, live.mrs], [1, 0, 0]);
});

test('all objects of a device are closed in the order in which they need each other', async () => {
  const live = new LiveObjects();
  const closed: string[] = [];
  const make = (kind: 'pds' | 'mrs' | 'cqs' | 'qps', needs: readonly ObjectLife[] = []): ObjectLife => {
    const life = new ObjectLife(kind, live, needs);
    life.owner = { close: () => life.closeNow(() => closed.push(kind)) };
    return life;
  };
  const pd = make('pds');
  const cq = make('cqs');
  make('mrs', [pd]);
  const gone = make('mrs', [pd]);
  make('qps', [pd, cq]);
  await gone.closeNow(nothing);
  await live.closeAll();
  assert.deepEqual(closed, ['qps', 'mrs', 'cqs', 'pds']);
  assert.equal(live.total, 0);
  await live.closeAll();
});
