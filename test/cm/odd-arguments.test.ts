/** Whatever is given to the functions of `queuepair/cm`, they refuse it with one sentence, and nothing is left open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { listen } from '../../src/cm/cm-server.js';
import { connect, connectEndpoint } from '../../src/cm/connect.js';
import { listenUd, resolveUd } from '../../src/cm/datagram-service.js';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { CLIENT_HOST, CmPair, closeEnds } from '../../testkit/cm-pair.js';

const ODD: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  Number.NaN,
  2 ** 32,
  10n,
  '',
  ' ',
  '7174',
  Symbol('x'),
  {},
  [],
  new Date(0),
  () => undefined,
  Object.create(null),
];

function assertUsage(error: unknown, what: string): void {
  assert.ok(error instanceof RdmaError, `${what}: ${String(error)}`);
  assert.equal(error.fault, 'usage', `${what}: ${error.message}`);
  assert.match(error.message, /^[^\n]{10,300}$/, what);
}

const NAMES = {
  connect: [
    ['host', [...ODD.filter((value) => value !== '7174')]],
    ['port', ODD],
    ['qp', ODD],
    ['privateData', ODD],
    ['responderResources', ODD],
    ['initiatorDepth', ODD],
    ['retryCount', ODD],
    ['rnrRetryCount', ODD],
    ['localHost', ODD],
    ['udpPort', ODD],
    ['trafficClass', ODD],
    ['ackTimeout', ODD],
    ['timeoutMillis', ODD],
    ['signal', ODD],
  ],
} as const;

test('every option of connect is checked before anything happens', async () => {
  await using device = await openDevice(`soft:${CLIENT_HOST}`);
  await using qp = await openEndpoint(device);
  const right = { host: '127.0.0.99', port: 7174, qp, timeoutMillis: 1000 };
  for (const [name, values] of NAMES.connect) {
    for (const value of values) {
      const error = await connect(device, { ...right, [name]: value } as never).catch((reason) => reason);
      assertUsage(error, `${name}: ${typeof value}`);
      assert.ok((error as Error).message.includes(name), (error as Error).message);
    }
  }
  for (const name of ['host', 'port', 'qp'] as const) {
    const { [name]: _, ...without } = right;
    await assert.rejects(connect(device, without as never), { message: new RegExp(`connect needs ${name}`) });
  }
  await assert.rejects(connect(device, { ...right, privatData: 1 } as never), {
    message: /there is no option privatData; did you mean privateData\?/,
  });
  assert.equal(device.census().cmIds, 0);
});

test('connectEndpoint checks its options before it opens an endpoint', async () => {
  await using device = await openDevice(`soft:${CLIENT_HOST}`);
  const right = { host: '127.0.0.99', port: 7174 };
  for (const value of ODD.filter((odd) => typeof odd !== 'object' || odd === null)) {
    const error = await connectEndpoint(device, { ...right, endpoint: value } as never).catch(
      (reason) => reason,
    );
    assertUsage(error, typeof value);
  }
  await assert.rejects(connectEndpoint(device, { ...right, qp: 1 } as never), { message: /no option qp/ });
  await assert.rejects(connectEndpoint(device, { host: 'x' } as never), { message: /needs port/ });
  assert.deepEqual(new Set(Object.values(device.census())), new Set([0]));
});

test('a device that is none is refused by all functions', async () => {
  for (const value of [...ODD, undefined]) {
    for (const [name, call] of Object.entries({ connect, listen, listenUd, resolveUd })) {
      const outcome = (call as (...args: unknown[]) => Promise<unknown>)(value, { host: 'x', port: 1 });
      assertUsage(await outcome.catch((reason) => reason), name);
    }
  }
});

test('listen, resolveUd, accept and reject check what they are given, and a request can be answered after that', async () => {
  await using pair = await CmPair.open();
  for (const value of ODD) {
    for (const name of ['host', 'port', 'backlog']) {
      assertUsage(await listen(pair.server, { [name]: value } as never).catch((reason) => reason), name);
      assertUsage(await listenUd(pair.server, { [name]: value } as never).catch((reason) => reason), name);
    }
    for (const name of ['port', 'privateData', 'localHost', 'timeoutMillis', 'signal']) {
      const options = { host: '127.0.0.99', port: 1, [name]: value };
      assertUsage(await resolveUd(pair.client, options as never).catch((reason) => reason), name);
    }
  }
  const end = await pair.openEnd(pair.server);
  const clientEnd = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: clientEnd });
  const request = await pair.listener.next();
  assert.ok(request);
  for (const value of ODD) {
    for (const name of [
      'qp',
      'privateData',
      'responderResources',
      'initiatorDepth',
      'rnrRetryCount',
      'signal',
    ]) {
      assertUsage(await request.accept({ qp: end, [name]: value } as never).catch((reason) => reason), name);
    }
    for (const name of ['reason', 'privateData']) {
      assertUsage(await request.reject({ [name]: value } as never).catch((reason) => reason), name);
    }
    assertUsage(await pair.listener.next({ signal: value as never }).catch((reason) => reason), 'signal');
  }
  const [client, server] = [await Promise.all([request.accept({ qp: end }), connecting])].flat();
  assert.ok(client !== undefined && server !== undefined);
  await assert.rejects(request.accept({ qp: end }), { code: 'ERR_RDMA_INVALID_STATE' });
  await closeEnds({ clientEnd, serverEnd: end } as never);
});

test('anything at all is refused as a mistake of the caller, or is a meeting that nobody answers', async () => {
  await using device = await openDevice(`soft:${CLIENT_HOST}`);
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom('host', 'port', 'qp', 'mtu', ''), fc.anything()),
      async (options) => {
        const error = await connect(device, options as never).catch((reason) => reason);
        assertUsage(error, JSON.stringify(Object.keys(options)));
      },
    ),
    { numRuns: 200 },
  );
  assert.equal(device.census().cmIds, 0);
});
