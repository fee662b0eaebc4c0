/**
 * What an end has sent when the other one leaves, with real ends over UDP: the last word of a peer tells what it had received, also where
 * its queue pair is gone before it has acknowledged that.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import { TlsRendezvous } from '../../src/connection/lifeline/tls-rendezvous.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { replace } from '../../testkit/replace.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

const HANDLER = new URL('../../testkit/worker-handler.js', import.meta.url);
const ROUNDS = 20;
const SEALED = { encryption: 'aes-256-gcm' } as const;

const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof RdmaError ? error.code : String(error)),
  );

/** `before`, and the messages that can still be taken. */
async function countOf(connection: Connection, before: number): Promise<number> {
  let count = before;
  for await (const _ of connection) count++;
  return count;
}

/** Sends, with writes between, more than the peer takes before it leaves. */
async function sendOn(client: Connection, bytes: number): Promise<{ sends: string[]; writes: string[] }> {
  const sends: Promise<string>[] = [];
  const writes: Promise<string>[] = [];
  const range = client.remoteBuffer?.at(0, 8) ?? assert.fail('no memory is lent');
  for (let i = 1; i <= 40; i++) {
    writes.push(outcomeOf(client.write(range, new Uint8Array(8).fill(i))));
    sends.push(outcomeOf(client.send(new Uint8Array(bytes))));
    if (i % 10 === 0) await new Promise(setImmediate);
  }
  return { sends: await Promise.all(sends), writes: await Promise.all(writes) };
}

for (const [name, options] of [
  ['in clear', {}],
  ['sealed', SEALED],
] as const) {
  for (const bytes of [20, 9000]) {
    test(`messages of ${bytes} bytes are done if they came before the peer left, and only then, ${name}`, async () => {
      let took: Promise<number> = Promise.resolve(0);
      const server = await startServer(async (connection) => {
        took = connection.closed.then(() => countOf(connection, 1));
        await connection.receive();
      }, options);
      for (let round = 0; round < ROUNDS; round++) {
        const client = await connectTo(server, options);
        const { sends, writes } = await sendOn(client, bytes);
        const done = sends.filter((outcome) => outcome === 'done').length;
        assert.equal(done, await took);
        assert.deepEqual(
          sends,
          sends.map((_, i) => (i < done ? 'done' : 'ERR_RDMA_CLOSED')),
        );
        // Before a message that has come; sealed ones are announced after it.
        if (options !== SEALED) for (const outcome of writes.slice(0, done)) assert.equal(outcome, 'done');
        await client.close();
      }
      await server.close();
    });
  }
}

for (const [name, options] of [
  ['in clear', {}],
  ['sealed', SEALED],
] as const) {
  test(`what is never acknowledged is done by the last word alone: messages, writes and streams, ${name}`, async () => {
    const server = await startServer(async (connection) => {
      const [stream] = await once(connection, 'stream');
      stream.end();
      assert.equal(await text(stream), 'a stream');
      await connection.receive();
    }, options);
    const { send, onCompletion } = WorkTracker.prototype;
    const deaf = new Set<WorkTracker>();
    const client = await connectTo(server, options);
    const restore = replace(WorkTracker.prototype, {
      // What the client sends now has no answer, and the server sends nothing before it has that.
      send(this: WorkTracker, ...args: Parameters<typeof send>) {
        if (deaf.size === 0) deaf.add(this);
        return send.apply(this, args);
      },
      onCompletion(this: WorkTracker, ...args: Parameters<typeof onCompletion>) {
        if (!deaf.has(this)) onCompletion.apply(this, args);
      },
    });
    try {
      const stream = client.openStream();
      stream.end('a stream');
      const range = client.remoteBuffer?.at(0, 8) ?? assert.fail('no memory is lent');
      const outcomes = [outcomeOf(finished(stream, { readable: false }))];
      if (options !== SEALED) outcomes.push(outcomeOf(client.write(range, new Uint8Array(8))));
      outcomes.push(outcomeOf(client.send('the last')));
      assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['done']));
    } finally {
      restore();
    }
    await server.close();
  });
}

for (const workers of [0, 1]) {
  test(`who sends and closes is told that it came, when the handler ends with that, with ${workers} workers`, async () => {
    const server = await startWorkerServer(HANDLER, workers);
    for (let round = 0; round < ROUNDS; round++) {
      const client = await join(server);
      const sends = [1, 2, 3].map((i) => outcomeOf(client.send(`${i}`)));
      // The echoes are under way when the server hears that this end has quit.
      await client.close();
      assert.deepEqual(await Promise.all(sends), ['done', 'done', 'done']);
    }
    for (let round = 0; round < ROUNDS; round++) {
      const client = await join(server);
      const first = outcomeOf(client.send('leave at once'));
      const more = Array.from({ length: 40 }, () => outcomeOf(client.send('more')));
      assert.equal(await first, 'done');
      assert.ok(!(await Promise.all(more)).includes('ERR_RDMA_OUTCOME_UNKNOWN'));
      await client.close();
    }
    await server.close();
  });
}

test('a server that has nothing more to say waits to know what its client has got of what it said', async () => {
  const outcomes: Promise<string>[] = [];
  const server = await startServer(async (connection) => {
    for await (const { data } of connection) outcomes.push(outcomeOf(connection.send(data)));
  });
  for (let round = 0; round < ROUNDS; round++) {
    const client = await connectTo(server);
    const arrived = countOf(client, 0);
    await client.send('echo this');
    await client.close();
    await serverIsEmpty(server);
    const [outcome] = await Promise.all(outcomes.splice(0));
    assert.equal(outcome, (await arrived) === 1 ? 'done' : 'ERR_RDMA_CLOSED');
  }
  await server.close();
});

test('a last word about messages that were never sent ends the connection as a broken rule', async () => {
  const server = await startServer(async (connection) => {
    await connection.receive();
  });
  const { close } = TlsRendezvous.prototype;
  const restore = replace(TlsRendezvous.prototype, {
    close(this: TlsRendezvous, received?: number) {
      return close.call(this, received === undefined ? undefined : received + 7);
    },
  });
  try {
    const client = await connectTo(server);
    const ended = client.closed;
    await client.send('go');
    const error = await ended;
    assert.equal(error?.code, 'ERR_RDMA_PROTOCOL');
    assert.match(error?.message ?? '', /never sent/);
  } finally {
    restore();
  }
  await server.close();
});
