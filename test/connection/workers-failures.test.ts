/** Workers whose modules misbehave: while they are loaded, on the port of their thread, in what they throw. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setEnvironmentData } from 'node:worker_threads';
import { StepReporter } from '../../src/connection/common/steps.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { WorkerLoss } from '../../src/connection/program/serving-host.js';
import type { Server } from '../../src/connection/server/server.js';
import type { ServerEvents } from '../../src/connection/server/server-events.js';
import { withDefaults } from '../../src/connection/terms/options.js';
import type { WorkerOrder } from '../../src/connection/workers/contract.js';
import { WorkerHost, type WorkerHostOptions } from '../../src/connection/workers/worker-host.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { FREE_DEVICE } from '../../testkit/session-pair.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

const moduleOf = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

const ECHO = 'for await (const { data } of connection) await connection.send(data);';

const startServer = (code: string, workers = 1): Promise<Server> =>
  startWorkerServer(moduleOf(code), workers);

const ask = async (connection: Connection, text: string): Promise<string> => {
  await connection.send(text);
  return Buffer.from((await connection.receive())?.data ?? assert.fail('no answer')).toString();
};

const orderOf = (code: string): WorkerOrder => ({
  handler: moduleOf(code).href,
  device: FREE_DEVICE,
  near: '127.0.0.1',
  revealPsns: false,
  isWarm: false,
});

const startHost = (order: WorkerOrder, options: Partial<WorkerHostOptions> = {}): Promise<WorkerHost> =>
  WorkerHost.start({ workers: 1, order, onLost() {}, ...options });

test('the port of its thread is the handler module’s own: what it posts there and that it closes it does not matter', async () => {
  const server = await startServer(`
    import { parentPort } from 'node:worker_threads';
    export default async function serve(connection) {
      parentPort.postMessage(null);
      parentPort.postMessage({ type: 'closed' });
      parentPort.postMessage({ type: 'close', id: connection.id });
      parentPort.close();
      ${ECHO}
    }`);
  const client = await join(server);
  for (const text of ['one', 'two', 'three']) assert.equal(await ask(client, text), text);
  assert.equal(server.workers[0]?.losses, 0);
  await client.close();
  await server.close();
});

test('a worker that dies while others begin is replaced and told of', async (t) => {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  setEnvironmentData('queuepair-test-cells', cells);
  const server = await startServer(
    `
    import { getEnvironmentData } from 'node:worker_threads';
    const cells = getEnvironmentData('queuepair-test-cells');
    const number = Atomics.add(cells, 0, 1);
    if (number === 0)
      setInterval(() => {
        if (Atomics.load(cells, 0) === 1) return;
        Atomics.store(cells, 1, 1);
        process.exit(3);
      }, 1);
    else if (number === 1) {
      while (Atomics.load(cells, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    export default async function serve(connection) { ${ECHO} }`,
    2,
  );
  t.after(() => server.close());
  const signal = AbortSignal.timeout(20_000);
  const [loss] = (await once(server, 'workerLost', { signal })) as ServerEvents['workerLost'];
  assert.deepEqual([loss.worker, loss.connections], [1, 0]);
  // The test's own timeout bounds it.
  while (server.workers.some(({ device }) => device === null))
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(
    server.workers.map(({ losses }) => losses),
    [1, 0],
  );
});

for (const [how, code] of [
  ['waits', 'setInterval(() => {}, 1000); await new Promise(() => {});'],
  ['computes', 'for (;;);'],
] as const) {
  test(`a module that ${how} for ever while it is loaded is refused in time`, async () => {
    await assert.rejects(startHost(orderOf(code), { startMillis: 1000 }), (error: RdmaError) => {
      assert.ok(error instanceof RdmaError);
      assert.equal(error.code, 'ERR_RDMA_INVALID_ARGUMENT');
      assert.match(error.message, /^worker 1 did not begin: .* was not loaded within 1 s/);
      return true;
    });
  });
}

for (const [what, code, why] of [
  ['exits', 'process.exit(3);', /it exited with the code 3/],
  [
    'throws outside of its loading',
    "setImmediate(() => { throw 'a mere text' }); await new Promise((r) => setTimeout(r, 60_000));",
    /a mere text/,
  ],
] as const) {
  test(`a module that ${what} while it is loaded is refused, and nobody reads of a connection`, async () => {
    await assert.rejects(startHost(orderOf(code)), (error: RdmaError) => {
      assert.ok(error instanceof RdmaError);
      assert.deepEqual([error.code, error.retryable], ['ERR_RDMA_INVALID_ARGUMENT', false]);
      assert.match(error.message, /^worker 1 did not begin: /);
      assert.match(error.message, why);
      assert.doesNotMatch(error.message, /connection/);
      return true;
    });
  });
}

test('clients that wait for workers are shared among those that begin, and wait no longer than their patience', async () => {
  const cells = new Int32Array(new SharedArrayBuffer(16));
  setEnvironmentData('queuepair-test-share', cells);
  const [BEGUN, DIE, BEGIN, GO_ON] = [0, 1, 2, 3];
  const order = orderOf(`
    import { getEnvironmentData } from 'node:worker_threads';
    const cells = getEnvironmentData('queuepair-test-share');
    const number = Atomics.add(cells, ${BEGUN}, 1);
    const until = async (cell) => {
      while (Atomics.load(cells, cell) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    if (number < 2) until(${DIE}).then(() => process.exit(1));
    // The first that follows must not be there before both have died, and the last one takes its time.
    if (number === 2) await until(${BEGIN});
    if (number === 3) await until(${GO_ON});
    export default () => {};`);
  let losses = 0;
  let onLost = (): void => {};
  const bothDied = new Promise<void>((resolve) => {
    onLost = () => void (++losses === 2 && resolve());
  });
  const hold = setInterval(() => {}, 1000);
  const host = await startHost(order, { workers: 2, patienceMillis: 60_000, onLost: () => onLost() });
  const shares = (): number[] => host.workers.map(({ connections }) => connections).sort();
  const place = (id: number): Promise<unknown> =>
    host.place({ id, limits: withDefaults({}), reporter: new StepReporter(id, undefined) });
  Atomics.store(cells, DIE, 1);
  await bothDied;
  const placed = Array.from({ length: 10 }, (_, id) => place(id));
  Atomics.store(cells, BEGIN, 1);
  // The test's own timeout bounds it.
  while (!host.workers.some(({ device }) => device !== null)) await new Promise((r) => setTimeout(r, 5));
  // Who comes now shares with those that wait.
  placed.push(place(10), place(11));
  Atomics.store(cells, GO_ON, 1);
  await Promise.all(placed);
  assert.deepEqual(shares(), [6, 6]);
  await host.close();
  clearInterval(hold);
});

test('a thread that cannot be made is one more death, and tried again later', async () => {
  const order = { ...orderOf('setTimeout(() => process.exit(1), 300); export default () => {};') };
  const { handler } = order;
  const losses: WorkerLoss[] = [];
  let onLost = (): void => {};
  // A server would keep the process.
  const hold = setInterval(() => {}, 1000);
  const host = await startHost(order, {
    onLost(loss) {
      losses.push(loss);
      // What cannot be cloned makes the constructor of the second thread throw, as a lack of threads does.
      (order as { handler: unknown }).handler = losses.length < 3 ? () => {} : handler;
      onLost();
    },
  });
  const until = async (count: number): Promise<void> => {
    while (losses.length < count)
      await new Promise<void>((resolve) => {
        onLost = resolve;
      });
  };
  await until(4);
  assert.match(losses[1]?.error.message ?? '', /^worker 1 did not begin: .*cloned/);
  assert.match(losses[3]?.error.message ?? '', /exited with the code 1/);
  await host.close();
  clearInterval(hold);
});

test('a handler may throw anything', async () => {
  const server = await startServer(`
    export default async function serve(connection) {
      const { data } = await connection.receive();
      if (data[0] === 110) throw Object.create(null);
      throw Object.assign(new Error('odd'), { stack: [() => {}], message: () => {}, name: 5n });
    }`);
  for (const order of ['nothing', 'odd']) {
    const client = await join(server);
    const told = once(server, 'handlerError') as Promise<ServerEvents['handlerError']>;
    await client.send(order);
    assert.ok((await told)[1] instanceof Error);
    assert.equal((await client.closed)?.code, 'ERR_RDMA_REFUSED');
  }
  assert.equal(server.workers[0]?.losses, 0);
  await server.close();
});

test('a server that closes replaces no worker, and nobody waits for one', async () => {
  const server = await startServer(`
    export default async function serve(connection) {
      await connection.send('here');
      for await (const { data } of connection) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        process.exit(data[0]);
      }
    }`);
  const client = await join(server);
  // A server that closes before its handler runs has nothing for it.
  assert.notEqual(await client.receive(), undefined);
  await client.send(new Uint8Array([5]));
  const lost = once(server, 'workerLost') as Promise<ServerEvents['workerLost']>;
  const closing = server.close();
  const [loss] = await lost;
  assert.equal(loss.restartMillis, null);
  assert.equal((await client.closed)?.refusal, 'worker');
  await closing;
});
