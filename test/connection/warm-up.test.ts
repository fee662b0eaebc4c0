/** A thread that sends messages to itself, so that V8 compiles their way before anybody needs it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { PeerCheck } from '../../src/connection/data-path/peer-check.js';
import { MemoryRendezvous } from '../../src/connection/lifeline/memory-rendezvous.js';
import type { MeetingSteps } from '../../src/connection/lifeline/rendezvous.js';
import { sendToOneself } from '../../src/connection/program/warm-up.js';
import { connectTo, startServer } from '../../testkit/session-pair.js';

const WARM_UP = new URL('../../src/connection/program/warm-up.js', import.meta.url).href;

/** Without the first pair, 15 or 16 functions. */
const MOST_THROWN_AWAY = 5;

test('all messages come back, and nothing is left behind', async () => {
  await sendToOneself(1);
  const before = { resources: process.getActiveResourcesInfo(), noted: PeerCheck.noted };
  assert.equal(await sendToOneself(300, 10_000), 300);
  // What Node.js itself finishes in the turn after.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual({ resources: process.getActiveResourcesInfo(), noted: PeerCheck.noted }, before);
});

test('it ends when its time is over, however few messages there were', async () => {
  assert.equal(await sendToOneself(1_000_000, 0), 0);
});

test('a process waits for it, does it once, and ends by itself', () => {
  const text = `
    import { warmUp } from '${WARM_UP}';
    const took = [];
    for (let i = 0; i < 2; i++) {
      const since = performance.now();
      await warmUp();
      took.push(performance.now() - since);
    }
    console.log(JSON.stringify(took));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', text], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.deepEqual([status, stderr], [0, '']);
  const [first, second] = JSON.parse(stdout) as [number, number];
  assert(second < first / 4, `${first} ms, then ${second} ms`);
});

test('the connections of the program leave what it compiled as it is', () => {
  const text = `
    import { sendByTwoPairs, sendToOneself } from '${WARM_UP}';
    await sendByTwoPairs(60_000);
    await sendToOneself(10);`;
  const flags = ['--trace-deopt', '--input-type=module', '--eval', text];
  const { status, stdout } = spawnSync(process.execPath, flags, { encoding: 'utf8', timeout: 120_000 });
  assert.equal(status, 0);
  // So V8 says it. What is interrupted by others while it is compiled may be hit.
  const thrownAway = stdout.split('\n').filter((line) => line.includes('marking dependent code'));
  assert(thrownAway.length <= MOST_THROWN_AWAY, thrownAway.join('\n'));
});

test('with warmUp a server and a client exchange messages as without', async () => {
  await using server = await startServer(
    async (connection) => {
      for await (const { data } of connection) await connection.send(data);
    },
    { warmUp: true },
  );
  const connection = await connectTo(server, { warmUp: true });
  await connection.send('as ever');
  assert.equal(Buffer.from((await connection.receive())?.data ?? []).toString(), 'as ever');
  await connection.close();
});

test('a meeting in memory that fails at one end fails at the other, for the same reason', async () => {
  const { server, client } = MemoryRendezvous.pair();
  const failure = new Error('no memory for a queue pair');
  const steps = { prepare: () => Promise.reject(failure) } as unknown as MeetingSteps;
  const end = { path: {}, terms: {} };
  const waiting = { prepare: async () => end } as unknown as MeetingSteps;
  const other = assert.rejects(client.meet(waiting), failure);
  await assert.rejects(server.meet(steps), failure);
  server.drop(failure as never);
  await other;
  assert.equal(server.end?.error, failure);
});
