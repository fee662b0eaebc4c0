/** Options are checked when they are given: one sentence that names the option, and nothing is left open. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { connect } from '../../src/connection/client/client.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import { listen } from '../../src/connection/server/server.js';
import { RdmaError } from '../../src/verbs/errors.js';
import {
  connectTo,
  FREE_DEVICE,
  serverIsEmpty,
  startServer,
  testCertificates,
} from '../../testkit/session-pair.js';

const { server: pair, caPem, client } = await testCertificates();
const LISTEN = { port: 0, cert: pair.certPem, key: pair.keyPem, device: FREE_DEVICE };
const handler = async (): Promise<void> => {};

const ODD: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  10n,
  '',
  ' ',
  '4433',
  'certs/ca.pem',
  Symbol('x'),
  {},
  [],
  [null],
  new Uint8Array(0),
  new Date(Number.NaN),
  () => undefined,
  Object.create(null),
];

const LISTEN_NAMES: readonly (keyof ListenOptions)[] = [
  'host',
  'port',
  'cert',
  'key',
  'clientCa',
  'slots',
  'authorize',
  'onAudit',
  'admission',
  'device',
  'handshakeDeadlineMillis',
  'recoveryMillis',
  'keepAliveMillis',
  'onStep',
  'warmUp',
  'revealPsns',
  'receiveSlots',
  'slotBytes',
  'maxMessageBytes',
  'sendQueueBytes',
  'maxOperations',
  'bufferBytes',
  'encryption',
  'path',
];

const CONNECT_NAMES: readonly (keyof ConnectOptions)[] = [
  'host',
  'port',
  'hosts',
  'srv',
  'resolver',
  'ca',
  'cert',
  'key',
  'servername',
  'signal',
  'device',
  'handshakeDeadlineMillis',
  'recoveryMillis',
  'keepAliveMillis',
  'onStep',
  'warmUp',
  'revealPsns',
  'receiveSlots',
  'slotBytes',
  'maxMessageBytes',
  'sendQueueBytes',
  'maxOperations',
  'bufferBytes',
  'encryption',
  'path',
];

function mustBeTold(error: unknown, name: string, value: unknown): void {
  const what = `${name}: ${inspect(value)}: ${String(error)}`;
  assert.ok(error instanceof RdmaError, what);
  if (error.code !== 'ERR_RDMA_INVALID_ARGUMENT') {
    assert.ok(['ERR_RDMA_ADDRESS', 'ERR_RDMA_NO_DEVICE'].includes(error.code), what);
    return;
  }
  assert.ok(error.message.includes(name), what);
  assert.ok(!error.message.includes('\n') && error.message.length < 400, what);
}

for (const name of LISTEN_NAMES) {
  test(`listen: ${name} is taken or refused by name, whatever it is`, async () => {
    for (const value of ODD) {
      try {
        const server = await listen({ ...LISTEN, [name]: value } as unknown as ListenOptions, handler);
        await server.close();
      } catch (error) {
        mustBeTold(error, name, value);
      }
    }
  });
}

for (const name of CONNECT_NAMES) {
  test(`connect: ${name} is taken or refused by name, whatever it is`, async () => {
    const server = await startServer(async (connection) => void (await connection.receive()));
    for (const value of ODD) {
      if (name === 'host' || name === 'servername') continue;
      try {
        const connection = await connectTo(server, { recoveryMillis: 0, [name]: value });
        await connection.close();
      } catch (error) {
        const other = name === 'handshakeDeadlineMillis' || name === 'port' || name === 'encryption';
        if (other && error instanceof RdmaError && error.code !== 'ERR_RDMA_INVALID_ARGUMENT') continue;
        mustBeTold(error, name, value);
      }
    }
    await (await connectTo(server)).close();
    await serverIsEmpty(server);
    await server.close();
  });
}

const REFUSED: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ['no certificate', { cert: undefined }, /^listen needs cert/],
  ['no key', { key: undefined }, /^listen needs key/],
  ['a file name for a certificate', { cert: 'server.pem' }, /^cert must be PEM .*read the file first/],
  ['a file name for an authority', { clientCa: '/etc/ca.pem' }, /^clientCa must be PEM/],
  ['an empty authority', { clientCa: '' }, /^clientCa must be PEM .*, not an empty text$/],
  ['a typo', { clientCA: 'x' }, /^there is no option clientCA; did you mean clientCa\?$/],
  [
    'a typo below',
    { admission: { maxPerAdress: 1 } },
    /admission\.maxPerAdress; did you mean admission\.maxPerAddress\?$/,
  ],
  ['something unknown', { zebra: 1 }, /^there is no option zebra; there are: /],
  ['a switch for a name', { encryption: true }, /^encryption must be 'aes-256-gcm', or left out, not true$/],
  [
    'a number in quotes',
    { slots: '10' },
    /^slots must be an integer .* the text '10' \(write it without quotes\)$/,
  ],
  ['no number', { bufferBytes: Number.NaN }, /^bufferBytes must be an integer .* not NaN$/],
  ['a buffer above all memory', { bufferBytes: 2 ** 40 }, /^bufferBytes must fit into memory/],
  [
    'receives above all memory',
    { slotBytes: 2 ** 31, receiveSlots: 65_536 },
    /^receiveSlots × slotBytes must fit/,
  ],
];

for (const [name, options, message] of REFUSED) {
  test(`listen refuses ${name}`, async () => {
    await assert.rejects(listen({ ...LISTEN, ...options } as ListenOptions, handler), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
      message,
    });
  });
}

test('listen and connect without what they need say so', async () => {
  const bare = listen as unknown as (options?: unknown, handler?: unknown) => Promise<unknown>;
  await assert.rejects(bare(), { message: 'listen takes an object with options, not undefined' });
  await assert.rejects(bare(LISTEN), { message: /handler must be a function, not undefined$/ });
  await assert.rejects(bare(LISTEN, {}), { message: /handler must be a function, not this object$/ });
  const connectAny = connect as unknown as (options?: unknown) => Promise<unknown>;
  await assert.rejects(connectAny(5), { message: 'connect takes an object with options, not 5' });
  await assert.rejects(connectAny({ signal: {} }), {
    message: 'signal must be an AbortSignal, not this object',
  });
  await assert.rejects(connectAny({ cert: client.certPem }), { message: /^connect needs key/ });
});

test('a key never gets into the sentence about it', async () => {
  const secret = 'MIGHAgEAMBMGByqGSM49';
  await assert.rejects(
    listen({ ...LISTEN, key: secret }, handler),
    (error: Error) => !error.message.includes(secret),
  );
});

test('certificates are text, bytes, or several of them', async () => {
  const server = await listen(
    {
      ...LISTEN,
      cert: [Buffer.from(pair.certPem)],
      key: Buffer.from(pair.keyPem),
      clientCa: [caPem, Buffer.from(caPem)],
    },
    handler,
  );
  const isServed = once(server, 'connection');
  const connection = await connectTo(server, {
    ca: [Buffer.from(caPem)],
    cert: Buffer.from(client.certPem),
    key: [client.keyPem],
  });
  await isServed;
  assert.notEqual(server.connections.size, 0);
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('neither side lends memory that it was not told to lend', async () => {
  const lent: boolean[] = [];
  const server = await listen(LISTEN, async (connection) => {
    lent.push(connection.remoteBuffer !== null);
    await connection.receive();
  });
  const { host, port } = server.address;
  const connection = await connect({ host, port, ca: caPem, device: FREE_DEVICE });
  assert.equal(connection.remoteBuffer, null);
  assert.equal(connection.buffer.length, 0);
  // Its memory for messages, and nothing else.
  assert.equal(server.census().mrs, 1);
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
  assert.deepEqual(lent, [false]);
});

test('what authorize returns is checked too', async () => {
  for (const [terms, message] of [
    [undefined, /authorize must return true, false or terms, not undefined/],
    [1, /authorize must return true, false or terms, not 1/],
    [{ maxConnection: 1 }, /no option maxConnection; did you mean maxConnections/],
    [{ rights: { read: 1, write: true } }, /rights\.read must be true or false/],
  ] as const) {
    const reasons: string[] = [];
    const server = await startServer(undefined, { authorize: () => terms as never });
    server.on('refused', ({ reason }) => reasons.push(reason));
    await assert.rejects(connectTo(server), { refusal: 'not-authorized' });
    assert.match(reasons[0] ?? '', message);
    await server.close();
  }
});
