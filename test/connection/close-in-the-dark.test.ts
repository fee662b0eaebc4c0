/**
 * An orderly end over a path that is dark, in virtual time: it waits for longer than the queue pair takes to notice, so that
 * the connection recovers and the last messages arrive, whatever the path's times are.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../src/connection/client/client.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { listen } from '../../src/connection/server/server.js';
import {
  answerMillis,
  type ConnectionPathOptions,
  pathSettings,
} from '../../src/connection/terms/path-options.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { fastCrc32 } from '../../src/soft/zlib-crc.js';
import { Random } from '../../testkit/random.js';
import { hostCertificate, hostKey } from '../../testkit/virtual-certificate.js';
import { VirtualDevice } from '../../testkit/virtual-device.js';
import { VirtualNetwork } from '../../testkit/virtual-network.js';
import { VirtualTime } from '../../testkit/virtual-time.js';
import { VirtualTls } from '../../testkit/virtual-tls.js';

const SERVER = '10.0.0.1';
const CLIENT = '10.0.1.1';

interface Outcome {
  readonly sent: string;
  readonly arrived: string[];
  readonly closed: string;
  readonly recoveries: number;
}

/** An end sends, all packets are lost for `darkMillis` from then on, and it closes: the client its connection, or the server. */
async function closeInTheDark(
  path: ConnectionPathOptions,
  darkMillis: number,
  who: 'client' | 'server' = 'client',
): Promise<Outcome> {
  const time = new VirtualTime();
  const random = new Random(1);
  const network = new VirtualNetwork(time, random.fork(), new Icrc(fastCrc32));
  const tls = new VirtualTls(time);
  const restores = [time.install(random.fork()), tls.install()];
  const own = new VirtualDevice(network, CLIENT, random.fork());
  const served = new VirtualDevice(network, SERVER, random.fork());
  const arrived: string[] = [];
  let outcome: Outcome | undefined;
  const main = async (): Promise<void> => {
    const server = await listen(
      {
        host: SERVER,
        device: served.device,
        cert: hostCertificate('server'),
        key: hostKey('server'),
        path,
      },
      async (connection: Connection) => {
        for await (const { data } of connection) arrived.push(Buffer.from(data).toString());
      },
    );
    const isServed = new Promise<Connection>((resolve) => server.once('connection', resolve));
    const connection = await connect({
      host: SERVER,
      device: own.device,
      ca: hostCertificate(CLIENT),
      recoveryMillis: 30_000,
      path,
    });
    const ofServer = await isServed;
    for (const [from, to] of [
      [CLIENT, SERVER],
      [SERVER, CLIENT],
    ] as const) {
      network.path(from, to).dark++;
      time.in(darkMillis, () => network.path(from, to).dark--);
    }
    const receiving = (async () => {
      if (who === 'client') return;
      for await (const { data } of connection) arrived.push(Buffer.from(data).toString());
    })().catch(() => {});
    const sender = who === 'client' ? connection : ofServer;
    const sending = sender.send('the last words').then(
      () => 'done',
      ({ code }) => code,
    );
    await (who === 'client' ? connection : server).close();
    await receiving;
    const { recoveries } = connection.statistics;
    const closed = (await connection.closed)?.code ?? 'in order';
    outcome = { sent: await sending, arrived, closed, recoveries };
    await server.close();
    for (const { device } of [own, served]) await device.close();
  };
  let isOver = false;
  try {
    main().then(
      () => {
        isOver = true;
      },
      (error: unknown) => time.fail(error),
    );
    await time.run(() => isOver);
  } finally {
    for (const restore of restores.reverse()) restore();
  }
  assert.ok(outcome !== undefined);
  return outcome;
}

for (const path of [{}, { timeout: 14 }, { timeout: 17, retryCount: 6 }] as const) {
  const notices = answerMillis(pathSettings(path));
  const what = `${JSON.stringify(path)} (noticed after ${Math.round(notices)} ms)`;

  test(`a path that is dark for less than the queue pair waits costs a close nothing but time: ${what}`, async () => {
    const { sent, arrived, closed } = await closeInTheDark(path, notices * 0.9);
    assert.deepEqual(
      { sent, arrived, closed },
      { sent: 'done', arrived: ['the last words'], closed: 'in order' },
    );
  });

  test(`nor does it cost a server that closes its last words: ${what}`, async () => {
    const { sent, arrived, closed } = await closeInTheDark(path, notices * 0.9, 'server');
    assert.deepEqual(
      { sent, arrived, closed },
      { sent: 'done', arrived: ['the last words'], closed: 'in order' },
    );
  });

  test(`one that is dark for longer is recovered from before the end: ${what}`, async () => {
    const { sent, arrived, closed, recoveries } = await closeInTheDark(path, notices + 800);
    assert.deepEqual(
      { sent, arrived, closed },
      { sent: 'done', arrived: ['the last words'], closed: 'in order' },
    );
    assert.ok(recoveries > 0);
  });
}
