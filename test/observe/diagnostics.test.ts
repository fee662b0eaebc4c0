/** What servers and connections tell those who watch: channels, the logger, NODE_DEBUG; and what costs nothing while nobody does. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { channel, hasSubscribers } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Logger } from '../../src/connection/common/logger.js';
import { latencyHistograms } from '../../src/observe/latency-histograms.js';
import { createLogger } from '../../src/observe/log.js';
import { type DiagnosticsMessages, watch } from '../../src/observe/watching.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

type Told = {
  [Name in keyof DiagnosticsMessages]: readonly [Name, DiagnosticsMessages[Name]];
}[keyof DiagnosticsMessages];

const NAMES: readonly (keyof DiagnosticsMessages)[] = [
  'queuepair:connect',
  'queuepair:admitted',
  'queuepair:refused',
  'queuepair:step',
  'queuepair:recovery',
  'queuepair:closed',
  'queuepair:operation',
];

/** Everything that is told until it is disposed of. */
function watchAll(): { readonly told: Told[] } & Disposable {
  const told: Told[] = [];
  const stops = NAMES.map((name) => watch(name, (message) => told.push([name, message] as Told)));
  return {
    told,
    [Symbol.dispose]() {
      for (const stop of stops) stop();
    },
  };
}

test('channels tell the life of a connection on both sides, as plain data', async () => {
  using all = watchAll();
  const server = await startServer(async (connection) => void (await connection.receive()));
  const where = `127.0.0.1:${server.address.port}`;
  const client = await connectTo(server);
  const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
  await client.write(remote, Buffer.alloc(300));
  await client.read(remote, 200);
  await assert.rejects(client.read(remote, 2 ** 21), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  await client.send('a message of 26 characters');
  await client.closed;
  await serverIsEmpty(server);
  server.drain();
  await assert.rejects(connectTo(server));
  await server.close();

  const of = <Name extends keyof DiagnosticsMessages>(name: Name): DiagnosticsMessages[Name][] =>
    all.told.filter(([told]) => told === name).map(([, message]) => message as DiagnosticsMessages[Name]);
  for (const [, message] of all.told) assert.deepEqual(structuredClone(message), message);
  const [connected, failed] = of('queuepair:connect');
  assert.deepEqual(
    [connected?.side, connected?.server, connected?.connection, connected?.error],
    ['client', where, client.id, null],
  );
  assert.ok((connected?.durationMillis ?? 0) > 0);
  assert.equal(failed?.error?.code, 'ERR_RDMA_REFUSED');
  const [admitted] = of('queuepair:admitted');
  assert.deepEqual([admitted?.side, admitted?.server, admitted?.connection], ['server', where, 1]);
  assert.deepEqual(
    of('queuepair:operation').map(({ side, kind, bytes, error }) => [side, kind, bytes, error?.code ?? null]),
    [
      ['client', 'write', 300, null],
      ['client', 'read', 200, null],
      ['client', 'read', 2 ** 21, 'ERR_RDMA_INVALID_ARGUMENT'],
      ['client', 'send', 26, null],
    ],
  );
  assert.deepEqual(
    of('queuepair:closed')
      .map(({ side, error }) => [side, error])
      .sort(),
    [
      ['client', null],
      ['server', null],
    ],
  );
  assert.deepEqual(
    of('queuepair:refused').map(({ kind }) => kind),
    ['draining'],
  );
  const steps = of('queuepair:step').filter(({ side, connection }) => side === 'server' && connection === 1);
  assert.deepEqual(steps.map(({ step }) => step).slice(0, 2), ['tls', 'psn-exchanged']);
  assert.equal(steps.at(-1)?.step, 'slot-freed');
});

test('a recovery is told when it begins and when it ends, to a program that has removed all listeners too', async () => {
  await using fragile = await openFragile();
  const server = await startServer(async (connection) => void (await connection.closed));
  const client = await connectTo(server, { device: fragile.device.device });
  using all = watchAll();
  client.removeAllListeners();
  const recovered = recoveryOf(client);
  await fragile.device.failQueuePairs();
  await recovered;
  const phases = all.told.flatMap(([name, message]) =>
    name === 'queuepair:recovery' && message.side === 'client'
      ? [[message.phase, message.cause === null]]
      : [],
  );
  assert.deepEqual(phases, [
    ['began', false],
    ['ended', true],
  ]);
  await client.close();
  await server.close();
});

async function openFragile(): Promise<{ readonly device: FragileDevice } & AsyncDisposable> {
  const device = await FragileDevice.open(FREE_DEVICE);
  return { device, [Symbol.asyncDispose]: () => device.device.close() };
}

test('nothing is published for channels to which nobody has subscribed', async () => {
  using operations = { [Symbol.dispose]: watch('queuepair:closed', () => {}) };
  const quiet = NAMES.filter((name) => !hasSubscribers(name));
  assert.equal(quiet.length, NAMES.length - 1);
  const server = await startServer();
  const client = await connectTo(server);
  const published: string[] = [];
  for (const name of quiet) {
    const told = channel(name);
    told.publish = () => published.push(name);
  }
  try {
    await client.send('unwatched');
    await client.close();
  } finally {
    for (const name of quiet) Reflect.deleteProperty(channel(name), 'publish');
  }
  assert.deepEqual(published, []);
  assert.ok(operations);
  await server.close();
});

test('latencies of the operations that are wanted are in histograms, until it is stopped', async () => {
  const server = await startServer(async (connection) => {
    for await (const _ of connection);
  });
  const client = await connectTo(server);
  const latencies = latencyHistograms({ filter: ({ side }) => side === 'client' });
  for (let i = 0; i < 10; i++) await client.send('ten of them');
  assert.equal(latencies.send.count, 10);
  assert.equal(latencies.read.count, 0);
  assert.ok(latencies.send.min >= 1 && latencies.send.percentile(50) <= latencies.send.max);
  latencies.reset();
  assert.equal(latencies.send.count, 0);
  latencies.stop();
  assert.equal(hasSubscribers('queuepair:operation'), false);
  await client.send('not recorded');
  assert.equal(latencies.send.count, 0);
  await client.close();
  await server.close();
});

interface Line {
  readonly level: keyof Logger;
  readonly fields: Record<string, unknown>;
  readonly text: string;
}

function recordingLogger(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const at =
    (level: keyof Logger) =>
    (fields: object, text: string): void =>
      void lines.push({ level, fields: { ...fields }, text });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

test('a logger hears of connections, refusals, and handlers that throw', async () => {
  const [ofServer, ofClient] = [recordingLogger(), recordingLogger()];
  const server = await startServer(
    async (connection) => {
      await connection.receive();
      throw new Error('the program is broken');
    },
    { logger: ofServer },
  );
  server.on('handlerError', () => {});
  const client = await connectTo(server, { logger: ofClient });
  await client.send('x');
  await client.closed;
  await serverIsEmpty(server);
  server.drain();
  await assert.rejects(connectTo(server, { logger: ofClient }));
  await server.close();
  const told = ({ lines }: { lines: Line[] }): string[] =>
    lines
      .filter(({ level }) => level !== 'debug')
      .map(({ level, text }) => `${level} ${text.replace(/\d+\.\d.*?:\d+/, 'HOST')}`);
  assert.deepEqual(told(ofServer), [
    'info connection 1 of HOST is up',
    'error the handler of connection 1 failed',
    'warn connection 1 was lost',
    'warn refused HOST: draining',
  ]);
  assert.equal(
    ofServer.lines.find(({ level }) => level === 'error')?.fields['message'],
    'the program is broken',
  );
  assert.deepEqual(
    told(ofClient).map((line) => line.replace(/\d+/g, 'N')),
    ['info connection N to HOST is up', 'warn connection N was lost', 'warn could not connect to HOST'],
  );
  assert.ok(ofServer.lines.some(({ level, text }) => level === 'debug' && text === 'connection 1: rts'));
});

test('pino is a logger, and what is none is refused with a sentence', async () => {
  const lines: string[] = [];
  const logger = createLogger({ destination: { write: (line) => void lines.push(line) } });
  const server = await startServer(undefined, { logger });
  const client = await connectTo(server);
  await client.close();
  await serverIsEmpty(server);
  await server.close();
  const [first] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual([first?.['level'], first?.['connection'], first?.['side']], ['info', 1, 'server']);
  for (const wrong of ['debug', { info() {} }, console.log])
    await assert.rejects(startServer(undefined, { logger: wrong as never }), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
      message: /logger must be a logger: an object with the functions debug, info, warn, error/,
    });
});

test('a logger that throws ends no connection; the process hears of it', async () => {
  const bad = (): never => {
    throw new Error('the disk of the log is full');
  };
  const heard: unknown[] = [];
  const listeners = process.rawListeners('uncaughtException') as ((error: Error) => void)[];
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => heard.push(error.message));
  try {
    const server = await startServer(async (connection) => void (await connection.receive()), {
      logger: { debug: bad, info: bad, warn: bad, error: bad },
    });
    const client = await connectTo(server);
    await client.send('arrives');
    assert.equal(await client.closed, undefined);
    await serverIsEmpty(server);
    await server.close();
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
  assert.deepEqual(new Set(heard), new Set(['the disk of the log is full']));
});

test('NODE_DEBUG=queuepair tells every step on standard error, and no PSN', async () => {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const child = spawn(process.execPath, [main, 'demo', '--json'], {
    env: { ...process.env, NODE_DEBUG: 'queuepair' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 0, text);
  assert.match(text, /^QUEUEPAIR \d+: server 127\.0\.0\.1:\d+: connection 1: rtr$/m);
  // Nothing but these numbers is in it, so no PSN.
  const usual =
    /^QUEUEPAIR \d+: (server|client) [\d.]+:\d+: connection \d(: [a-z-]+| (of|to) [\d.]+:\d+ is up| ended in order)$/;
  for (const line of text.trim().split('\n')) assert.match(line, usual);
});

test('a channel that does not exist, and what is no listener or filter, are refused', () => {
  const refused = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
  const misspelt = 'queuepair:operations' as keyof DiagnosticsMessages;
  assert.throws(() => watch(misspelt, () => {}), { ...refused, message: /queuepair:operation\b/ });
  assert.throws(() => watch('queuepair:step', undefined as never), refused);
  assert.throws(() => latencyHistograms({ filter: 3 as never }), refused);
  assert.throws(() => latencyHistograms({ filters: () => true } as never), refused);
});
