/**
 * What a worker of tests does for a client: what its messages ask for. A message that asks for nothing goes back, with the
 * number of the thread as its tag.
 */
import { threadId } from 'node:worker_threads';
import type { Connection } from '../src/connection/program/connection.js';

export default async function serve(connection: Connection): Promise<void> {
  connection.on('stream', (stream) => stream.pipe(stream));
  for await (const { data } of connection) {
    const order = data.length < 64 ? Buffer.from(data).toString() : '';
    const act = ORDERS[order];
    if (act === undefined) await connection.send(data, { tag: threadId });
    else await act(connection);
  }
}

const ORDERS: Readonly<Record<string, (connection: Connection) => unknown>> = {
  'throw it': () => {
    throw new TypeError('the handler has a bug');
  },
  'die of it': () => {
    setImmediate(() => {
      throw new RangeError('nobody catches this');
    });
  },
  exit: () => process.exit(7),
  'who am I': (connection) =>
    connection.send(
      JSON.stringify({
        id: connection.id,
        peer: connection.peer,
        remotePort: connection.remotePort,
        isEncrypted: connection.isEncrypted,
        statistics: connection.statistics,
        queuePair: connection.queuePair,
      }),
    ),
  'write to me': async (connection) => {
    const remote = connection.remoteBuffer;
    if (remote !== null) await connection.write(remote, Buffer.from('from the worker'));
    await connection.send('done');
  },
  grant: async (connection) => {
    const memory = new Uint8Array(64).fill(5);
    const grant = await connection.grant(memory, { read: true, write: true });
    await connection.send(grant.remote.encode());
    await connection.receive();
    await connection.send(memory);
    await grant.revoke('enough');
    await connection.send('revoked');
  },
  'be busy for ever': () => {
    for (;;);
  },
  'send two and close': (connection) => {
    for (let i = 0; i < 2; i++) connection.send(new Uint8Array(3400)).catch(() => {});
    return connection.close();
  },
  'leave at once': (connection) => connection.close(),
  'be slow': () => new Promise((resolve) => setTimeout(resolve, 300)),
  'what is lent': (connection) => connection.send(connection.buffer.slice(0, 16)),
};
