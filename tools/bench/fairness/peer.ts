/** One of the two processes of the benchmark of fairness: the server, which echoes, or the clients. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { connect } from '../../../src/connection/client/client.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { listen } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { FairnessAnswer, FairnessOrder } from './fairness.js';

const MESSAGE_BYTES = 32 * 1024;
const MODEST_BYTES = 1024;
/** Round trips of a client under way at a time. */
const TOGETHER = 4;
const GREEDY_TOGETHER = 32;
const WARM_MILLIS = 300;

const [role, text = ''] = process.argv.slice(2);
const order = JSON.parse(text) as FairnessOrder;

process.on('disconnect', () => process.exit(0));
(role === 'server' ? serve() : compete()).catch((error: unknown) => {
  answer({ failed: error instanceof Error ? error.message : String(error) });
});

async function serve(): Promise<void> {
  const { caPem, server } = await loadOrCreateDevCertificates(order.certificates);
  const { host, encrypted } = order;
  const service = await listen(
    {
      ...{ host, port: 0, cert: server.certPem, key: server.keyPem, clientCa: caPem },
      device: `soft:${host}?port=0`,
      slots: order.clients,
      ...(encrypted ? { encryption: 'aes-256-gcm' } : {}),
    },
    async (connection) => {
      const sends: Promise<void>[] = [];
      for await (const { data } of connection) {
        const sent = connection.send(data);
        sends.push(sent);
        if (sends.length >= 2 * GREEDY_TOGETHER) await sends.shift();
      }
    },
  );
  answer({ port: service.address.port });
}

async function compete(): Promise<void> {
  const { caPem, client } = await loadOrCreateDevCertificates(order.certificates);
  const { host, port } = order;
  const connections: Connection[] = [];
  for (let i = 0; i < order.clients; i++) {
    const device = await openDevice(`soft:${host}?port=0`);
    connections.push(
      await connect({ host, port, ca: caPem, cert: client.certPem, key: client.keyPem, device }),
    );
  }
  const roundTrips = connections.map(() => 0);
  let isOver = false;
  for (const [i, connection] of connections.entries()) {
    const isGreedy = order.case === 'greedy' && i === 0;
    const bytes = order.case === 'equal' || isGreedy ? MESSAGE_BYTES : MODEST_BYTES;
    const together = isGreedy ? GREEDY_TOGETHER : order.case === 'equal' ? TOGETHER : 1;
    const message = Buffer.alloc(bytes, i);
    const run = async (): Promise<void> => {
      while (!isOver) {
        const echo = connection.receive();
        await connection.send(message);
        await echo;
        roundTrips[i] = (roundTrips[i] as number) + 1;
      }
    };
    for (let n = 0; n < together; n++) void run().catch(() => {});
  }
  await sleep(WARM_MILLIS);
  const warm = [...roundTrips];
  await sleep(order.millis);
  const done = roundTrips.map((count, i) => count - (warm[i] as number));
  isOver = true;
  answer({ roundTrips: done });
}

function answer(message: FairnessAnswer): void {
  process.send?.(message);
}
