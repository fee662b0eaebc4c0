/** Whatever a program gives to the functions of a connection: it is taken or refused by name, and the connection goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { Server } from '../../src/connection/server/server.js';
import { openDevice } from '../../src/open-device.js';
import type { Device } from '../../src/verbs/device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

type Loose = Record<string, (...values: unknown[]) => unknown>;

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}
const ResizableBuffer = ArrayBuffer as unknown as new (
  bytes: number,
  options: { maxByteLength: number },
) => Resizable;

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

/** A view of `make` over a buffer that shrank below it. */
function beyond<T>(make: (buffer: ArrayBuffer) => T): T {
  const buffer = new ResizableBuffer(16, { maxByteLength: 16 });
  const view = make(buffer);
  buffer.resize(4);
  return view;
}

/** Memory that is not there, made anew for each use. */
const GONE: readonly (() => unknown)[] = [
  detached,
  () => {
    const view = new Uint8Array(8);
    structuredClone(view.buffer, { transfer: [view.buffer] });
    return view;
  },
  () => {
    const view = new DataView(new ArrayBuffer(8));
    structuredClone(view.buffer, { transfer: [view.buffer] });
    return view;
  },
  () => beyond((buffer) => new Uint8Array(buffer, 8, 8)),
  () => beyond((buffer) => new DataView(buffer, 8, 8)),
  () => beyond((buffer) => new Float64Array(buffer, 8, 1)),
];

const MEMORY: readonly (() => unknown)[] = [
  () => new ArrayBuffer(8),
  () => new SharedArrayBuffer(8),
  () => new DataView(new ArrayBuffer(12), 2, 7),
  () => new Float64Array([1.5, -2.5]),
  () => new BigInt64Array([7n]),
  () => new Uint8Array(0),
  () => new ArrayBuffer(0),
  () => new Uint8Array(new ResizableBuffer(8, { maxByteLength: 16 })),
];

const PLAIN: readonly unknown[] = [
  {},
  5,
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  null,
  true,
  '',
  'x',
  1n,
  -1n,
  Symbol('odd'),
  () => undefined,
  [],
  [1, 2],
  { length: 8 },
  { byteLength: 8 },
  { tag: '5' },
  { tag: 65_536 },
  { tga: 5 },
  { repeatable: 1 },
  { read: 1 },
  { read: true, expires: 5 },
  { read: true, expires: new Date(Number.NaN) },
  { read: true, wirte: true },
  new Date(0),
  Promise.resolve(),
];

const anyOdd = fc.oneof(
  fc.constantFrom(...PLAIN, undefined),
  fc.constantFrom(...GONE, ...MEMORY).map((make) => make()),
);

interface Pair {
  readonly server: Server;
  readonly device: Device;
  readonly connection: Connection;
  readonly client: ServiceClient;
}

async function pair(options: { encryption?: 'aes-256-gcm' } = {}): Promise<Pair> {
  const server = await startServer(undefined, options);
  const device = await openDevice(FREE_DEVICE);
  // So few that their memory does not grow: the census counts it.
  const connection = await connectTo(server, { device, receiveSlots: 2, slotBytes: 256 });
  const client = new ServiceClient(connection);
  await client.welcome();
  return { server, device, connection, client };
}

async function done({ server, device, connection }: Pair): Promise<void> {
  await connection.close();
  await device.close();
  await serverIsEmpty(server);
  await server.close();
}

const bufferOf = ({ remoteBuffer }: Connection): RemoteBuffer => remoteBuffer ?? assert.fail();

/** A usage error in one sentence, and nothing else. */
function mustBeTold(error: unknown, what: string): void {
  assert.ok(error instanceof RdmaError, `${what}: ${inspect(error)}`);
  assert.equal(error.code, 'ERR_RDMA_INVALID_ARGUMENT', `${what}: ${error.message}`);
  assert.ok(!error.message.includes('\n') && error.message.length < 300, `${what}: ${error.message}`);
}

interface Call {
  readonly name: string;
  run(connection: Connection, a: unknown, b: unknown): unknown;
}

const loose = (value: unknown): Loose => value as Loose;

const CALLS: readonly Call[] = [
  { name: 'send', run: (connection, a, b) => loose(connection)['send']?.(a, b) },
  { name: 'write', run: (connection, a, b) => loose(connection)['write']?.(bufferOf(connection), a, b) },
  { name: 'write to', run: (connection, a, b) => loose(connection)['write']?.(a, new Uint8Array(4), b) },
  { name: 'read', run: (connection, a, b) => loose(connection)['read']?.(bufferOf(connection), a, b) },
  { name: 'read from', run: (connection, a, b) => loose(connection)['read']?.(a, 4, b) },
  { name: 'grant', run: (connection, a, b) => loose(connection)['grant']?.(a, b) },
  { name: 'grant read', run: (connection, a) => loose(connection)['grant']?.(a, { read: true }) },
  {
    name: 'revoke',
    run: async (connection, a) => {
      const grant = await connection.grant(new Uint8Array(8), { read: true });
      try {
        await loose(grant)['revoke']?.(a);
      } finally {
        await grant.revoke();
      }
    },
  },
  { name: 'at', run: (connection, a, b) => loose(bufferOf(connection))['at']?.(a, b) },
  { name: 'decode', run: (_, a) => loose(RemoteBuffer)['decode']?.(a) },
  {
    name: 'RemoteBuffer',
    run: (_, a, b) => Reflect.construct(RemoteBuffer, [a, b, 8]),
  },
  { name: 'abort', run: (connection, a) => loose(connection)['abort']?.(a) },
];

/** `inspect` itself fails on memory that is gone. */
function describe(value: unknown): string {
  try {
    return inspect(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** What the echo server makes of a call that sent something is taken out again. */
async function call(
  { connection, client }: Pair,
  { name, run }: Call,
  a: unknown,
  b: unknown,
): Promise<void> {
  const what = `${name}(${describe(a)}, ${describe(b)})`;
  const before = connection.statistics.messagesSent;
  let returned: unknown;
  try {
    returned = run(connection, a, b);
  } catch (error) {
    assert.ok(['at', 'decode', 'RemoteBuffer', 'abort'].includes(name), `${what} threw at once`);
    mustBeTold(error, what);
  }
  try {
    const result = await returned;
    if (result !== null && typeof result === 'object' && 'revoke' in result) {
      await (result as { revoke(): Promise<void> }).revoke();
    }
  } catch (error) {
    mustBeTold(error, what);
  }
  if (connection.statistics.messagesSent > before) await connection.receive();
  assert.deepEqual(Buffer.from(await client.echo('still here')), Buffer.from('still here'), what);
}

for (const encryption of [undefined, 'aes-256-gcm'] as const) {
  const kind = encryption === undefined ? 'in clear' : 'sealed';
  test(`${kind}: odd arguments are taken or refused in one sentence, and leave nothing behind`, async (t) => {
    const both = await pair(encryption === undefined ? {} : { encryption });
    const census = both.device.census();
    const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
    t.diagnostic(`SEED=${seed}`);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...CALLS), anyOdd, anyOdd, (chosen, a, b) => call(both, chosen, a, b)),
      { seed, numRuns: 400 },
    );
    for (const chosen of CALLS) for (const make of GONE) await call(both, chosen, make(), undefined);
    assert.deepEqual(both.device.census(), census);
    await done(both);
  });

  test(`${kind}: every kind of memory is sent, written and granted by its bytes`, async () => {
    const both = await pair(encryption === undefined ? {} : { encryption });
    const { connection, client } = both;
    const floats = new Float64Array([1.5, -2.5, 3.25]);
    const part = new DataView(floats.buffer, 3, 9);
    const shared = new SharedArrayBuffer(24);
    new Float64Array(shared).set(floats);
    const growing = new ResizableBuffer(24, { maxByteLength: 64 });
    new Float64Array(growing).set(floats);
    const all = Buffer.from(floats.buffer);
    const wanted: readonly (readonly [Parameters<Connection['send']>[0], Buffer])[] = [
      [floats, all],
      [floats.buffer, all],
      [part, all.subarray(3, 12)],
      [shared, all],
      [growing, all],
    ];
    for (const [memory, bytes] of wanted) {
      await connection.send(memory);
      assert.deepEqual(Buffer.from((await connection.receive())?.data ?? []), bytes);
      assert.ok(typeof memory !== 'string');
      await connection.write(bufferOf(connection), memory);
      const read = await connection.read(bufferOf(connection), bytes.length);
      assert.deepEqual(Buffer.from(read), bytes);
    }
    const sending = connection.send(growing);
    growing.resize(0);
    await sending;
    assert.deepEqual(Buffer.from((await connection.receive())?.data ?? []), all);
    const grant = await connection.grant(part, { read: true });
    assert.equal(grant.remote.length, 9);
    assert.deepEqual(RemoteBuffer.decode(new DataView(grant.remote.encode().buffer)), grant.remote);
    await grant.revoke();
    await assert.rejects(connection.grant(new ResizableBuffer(8, { maxByteLength: 16 }), { read: true }), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
    });
    assert.equal(Buffer.from(await client.echo('still here')).toString(), 'still here');
    await done(both);
  });
}

test('the sentence names the argument and what it must be', async () => {
  const both = await pair();
  const { connection } = both;
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [loose(connection)['send']?.({}), /^data must be a text, a typed array, .* not this object$/],
    [loose(connection)['send']?.(5), /^data must be .* not 5$/],
    [loose(connection)['send']?.(detached()), /^data is memory that is gone/],
    [loose(connection)['send']?.('x', { tga: 1 }), /^there is no option tga; did you mean tag\?$/],
    [loose(connection)['send']?.('x', null), /^send takes an object with options, not null$/],
    [loose(connection)['write']?.(null, new Uint8Array(1)), /^remote must be a RemoteBuffer, not null/],
    [loose(connection)['read']?.(connection.remoteBuffer, '4'), /^length must be a number of bytes/],
    [loose(connection)['grant']?.(new Uint8Array(1)), /^grant takes an object with options/],
    [loose(connection)['grant']?.([1], { read: true }), /^buffer must be .* not an array$/],
  ];
  for (const [promise, message] of wrong) {
    await assert.rejects(promise as Promise<void>, { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
  }
  await done(both);
});

test('a grant over a whole buffer leaves nothing registered', async () => {
  const both = await pair();
  const before = both.device.census();
  const grant = await both.connection.grant(new ArrayBuffer(8), { read: true });
  assert.equal(grant.remote.length, 8);
  await grant.revoke();
  await assert.rejects(both.connection.grant(new ArrayBuffer(0), { read: true }));
  assert.deepEqual(both.device.census(), before);
  await done(both);
});
