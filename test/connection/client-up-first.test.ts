/** A client is up a moment before its server; what is cut in that moment is waited for, and made up for. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionHandler } from '../../src/connection/program/handler.js';
import type { Server } from '../../src/connection/server/server.js';
import { encodeFrame } from '../../src/session/frames.js';
import type { TlsRefusal } from '../../src/session/tls-refusal.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { RecordGate, recordBytes } from '../../testkit/record-gate.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';
import { within } from '../../testkit/within.js';

const READY = recordBytes(encodeFrame({ type: 'ready' }).length);
const PROVEN = recordBytes(encodeFrame({ type: 'proven' }).length);

interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly tcp: TcpCutter;
  /** What came of the client. */
  readonly client: Promise<Connection>;
  /** How often the handler was called. */
  readonly handled: () => number;
}

/**
 * A client whose queue pair is proven, and whose server has not even heard that it is ready: then TCP is cut. `comesBack`:
 * whether the client gets through to its server again.
 */
async function cutBetween(
  comesBack: boolean,
  options: Partial<ListenOptions> = {},
  handler: ConnectionHandler = async (connection) => {
    for await (const { data } of connection) await connection.send(data);
  },
): Promise<Rig> {
  let handled = 0;
  let onRecovering = (): void => {};
  const awaited = new Promise<void>((resolve) => {
    onRecovering = resolve;
  });
  const serve: ConnectionHandler = (connection) => {
    handled++;
    return handler(connection);
  };
  const server = await startServer(serve, {
    ...options,
    onStep: ({ name }) => {
      if (name === 'recovering') onRecovering();
    },
  });
  const tcp = await TcpCutter.to(server.address);
  const gate = new RecordGate(READY);
  tcp.gate = gate;
  const client = connectTo(server, { port: tcp.port });
  client.catch(() => {});
  while (!gate.held.includes(PROVEN)) await new Promise(setImmediate);
  assert.deepEqual([handled, server.connections.size], [0, 0]);
  tcp.gate = null;
  tcp.refuses = !comesBack;
  tcp.cut();
  await within(awaited);
  return {
    server,
    tcp,
    client,
    handled: () => handled,
    async [Symbol.asyncDispose]() {
      tcp.refuses = true;
      tcp.cut();
      await client.then(
        (connection) => connection.abort(new RdmaError('ERR_RDMA_ABORTED', 'the test is over')),
        () => {},
      );
      await server.close();
      await tcp[Symbol.asyncDispose]();
    },
  };
}

test('a client that is up when its server is not, and is cut off then, comes back to one connection', async () => {
  await using rig = await cutBetween(true);
  const served: Connection[] = [];
  rig.server.on('connection', (connection) => served.push(connection));
  const client = await within(rig.client);
  await client.send(Buffer.from('are you there?'));
  const message = await within(client.receive());
  assert.equal(Buffer.from(message?.data ?? []).toString(), 'are you there?');
  assert.equal(client.statistics.recoveries, 1);
  assert.equal(rig.handled(), 1);
  assert.equal(served.length, 1);
  assert.equal(served[0]?.statistics.recoveries, 0, 'for its program it has only just come up');
  await client.close();
  await within(serverIsEmpty(rig.server));
});

test('a client that does not come back costs its server a slot for the time of a recovery, and is counted', async () => {
  await using rig = await cutBetween(false, { recoveryMillis: 200 });
  const refused = once(rig.server, 'refused') as Promise<[TlsRefusal]>;
  assert.equal(rig.server.census().slots, 1);
  const [{ kind, cause }] = await within(refused);
  assert.equal(kind, 'timeout');
  assert.match(String(cause), /did not come back within the time for recovery/);
  await within(serverIsEmpty(rig.server));
  assert.equal(rig.handled(), 0);
});

test('a client that does not come back makes room for one that is here', async () => {
  for (const options of [{ slots: 1 }, { authorize: () => ({ maxConnections: 1 }) }]) {
    await using rig = await cutBetween(false, options);
    await using other = await within(connectTo(rig.server));
    await other.send(Buffer.from('x'));
    assert.equal((await within(other.receive()))?.data.length, 1);
    assert.equal(rig.handled(), 1);
  }
});

test('a server that closes does not wait for a client that does not come back', async () => {
  await using rig = await cutBetween(false);
  const refused = once(rig.server, 'refused') as Promise<[TlsRefusal]>;
  await within(rig.server.close());
  const [{ kind }] = await refused;
  assert.equal(kind, 'closing');
  assert.equal(rig.handled(), 0);
});

test('a client that did not hear that packets do not come through hears it when it comes back', async () => {
  const served: Connection[] = [];
  const server = await startServer(async (connection) => {
    served.push(connection);
    await connection.receive();
  });
  await using tcp = await TcpCutter.to(server.address);
  const client = await connectTo(server, { port: tcp.port });
  while (served.length === 0) await new Promise(setImmediate);
  tcp.refuses = true;
  tcp.cut();
  served[0]?.abort(new RdmaError('ERR_RDMA_UNREACHABLE', 'UDP does not come through from here'));
  await within(serverIsEmpty(server));
  const turnedAway = once(server, 'refused') as Promise<[TlsRefusal]>;
  tcp.refuses = false;
  const error = await within(client.closed);
  assert.deepEqual([error?.code, error?.refusal], ['ERR_RDMA_UNREACHABLE', 'unreachable']);
  assert.match(error?.message ?? '', /UDP does not come through from here/);
  assert.equal((await turnedAway)[0].kind, 'unreachable');
  await server.close();
});
