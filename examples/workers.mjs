/**
 * A server that serves its clients in worker threads. This file is also the module of their handler, so each worker loads it:
 *
 *   node examples/workers.mjs
 *
 * Three clients have a prime factor looked for, each in the worker that its connection went to; the server's own thread has nothing to do.
 */
import { isMainThread, threadId } from 'node:worker_threads';
import { connect, listen } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const NUMBERS = [3_999_991 * 3_999_971, 2 ** 40 - 87, 600_851_475_143];

/** Serves one client, in a worker. */
export default async function serve(connection) {
  for await (const { data } of connection) {
    const factor = smallestFactor(Number(Buffer.from(data)));
    await connection.send(String(factor), { tag: threadId });
  }
}

// Not awaited: without workers the server would wait for this very module.
if (isMainThread) main();

async function main() {
  const certificates = await devCertificates();
  const server = await listen({
    ...certificates.server,
    port: 0,
    workers: 3,
    handler: new URL(import.meta.url),
  });
  server.on('workerLost', ({ worker, error }) =>
    console.log(`worker ${worker} is replaced: ${error.message}`),
  );

  const clients = await Promise.all(
    NUMBERS.map(() => connect({ port: server.address.port, ...certificates.client })),
  );
  const threads = new Set();
  await Promise.all(
    clients.map(async (client, i) => {
      await client.send(String(NUMBERS[i]));
      const { data, tag } = await client.receive();
      threads.add(tag);
      console.log(`${NUMBERS[i]} has the prime factor ${Buffer.from(data)}`);
      await client.close();
    }),
  );
  console.log(`served in ${threads.size} threads`);
  await server.close();
}

function smallestFactor(number) {
  for (let factor = 2; factor * factor <= number; factor++) if (number % factor === 0) return factor;
  return number;
}
