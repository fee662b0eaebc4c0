/** Two sockets that are joined. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { relay } from '../../src/cli/proxy/relay.js';
import { within } from '../../testkit/within.js';

/** Both ends of a TCP connection. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const taking = once(server, 'connection') as Promise<[Socket]>;
  const far = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [near] = await taking;
  server.close();
  for (const socket of [near, far]) socket.on('error', () => {});
  return { near, far };
}

test('a side that fails in the turn in which it ends closes the other as well', async () => {
  const incoming = await pair();
  const outgoing = await pair();
  const relayed = relay(incoming.near, outgoing.near);
  const told = once(incoming.far.resume(), 'end');
  incoming.far.write(Buffer.alloc(32 * 1024 * 1024));
  // As rsockets do whose peer takes nothing more.
  outgoing.near.on('end', () => process.nextTick(() => outgoing.near.destroy(new Error('it has closed'))));
  outgoing.far.end();
  const { failure } = await within(relayed, 20_000);
  assert.equal(failure?.side, 'outgoing');
  await within(told, 20_000);
  outgoing.far.destroy();
  incoming.far.destroy();
});
