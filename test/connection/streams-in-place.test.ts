/** Long chunks of streams leave from their own memory, which is the program's again when the peer has them, and not before. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import type { ProtectionDomain } from '../../src/verbs/device.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { Random } from '../../testkit/random.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

/** Long enough for a registration of its own. */
const CHUNK_BYTES = 200_000;

/** Bytes that the device was asked to send, by the memory that they leave from. */
class Sent {
  readonly #bytes = new Map<ArrayBufferLike, number>();

  from({ buffer }: Uint8Array): number {
    return this.#bytes.get(buffer) ?? 0;
  }

  get all(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  watch(device: FragileDevice['device']): void {
    const allocPd = device.allocPd.bind(device);
    device.allocPd = async () => this.#watchDomain(await allocPd());
  }

  #watchDomain<Pd extends ProtectionDomain>(pd: Pd): Pd {
    const createQp = pd.createQp.bind(pd);
    pd.createQp = async (options) => {
      const qp = await createQp(options);
      const postSend = qp.postSend.bind(qp);
      qp.postSend = (request) => {
        for (const { mr, length = mr.length } of request.sges ?? [])
          this.#bytes.set(mr.bytes.buffer, (this.#bytes.get(mr.bytes.buffer) ?? 0) + length);
        postSend(request);
      };
      return qp;
    };
    return pd;
  }
}

interface Rig extends AsyncDisposable {
  readonly client: Connection;
  readonly clientDevice: FragileDevice;
  readonly serverDevice: FragileDevice;
  readonly sent: Sent;
}

async function start(
  onStream: (stream: ConnectionStream) => void,
  options: { readonly encryption?: 'aes-256-gcm' } = {},
): Promise<Rig> {
  const [serverDevice, clientDevice] = [
    await FragileDevice.open(FREE_DEVICE),
    await FragileDevice.open(FREE_DEVICE),
  ];
  const sent = new Sent();
  sent.watch(clientDevice.device);
  const server = await startServer(
    async (connection) => {
      connection.on('stream', (stream) => {
        stream.on('error', () => {});
        onStream(stream);
      });
      await connection.closed;
    },
    { device: serverDevice.device, ...options },
  );
  const client = await connectTo(server, { device: clientDevice.device });
  return {
    client,
    clientDevice,
    serverDevice,
    sent,
    async [Symbol.asyncDispose]() {
      await client.close();
      await serverIsEmpty(server);
      await server.close();
      for (const device of [serverDevice, clientDevice]) await device.closeEmpty();
    },
  };
}

/** Reads all of a stream; `hash` is that of what came. */
function hashing(): {
  readonly onStream: (stream: ConnectionStream) => void;
  readonly hash: Promise<string>;
} {
  let tell = (_: string): void => {};
  const hash = new Promise<string>((resolve) => {
    tell = resolve;
  });
  const onStream = (stream: ConnectionStream): void => {
    const read = createHash('sha256');
    stream.on('data', (chunk: Buffer) => read.update(chunk));
    stream.on('end', () => {
      tell(read.digest('hex'));
      stream.end();
    });
  };
  return { onStream, hash };
}

function fillAnew(memory: Uint8Array, random: Random): void {
  for (let at = 0; at < memory.length; at += 64) memory[at] = random.int(0, 255);
}

const isDone = (stream: ConnectionStream, chunk: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    stream.write(chunk, (error) => (error == null ? resolve() : reject(error)));
  });

test('chunks of allocated memory, of the lent buffer and of memory of the program leave from where they are', async () => {
  const { onStream, hash } = hashing();
  await using rig = await start(onStream);
  const { client, sent } = rig;
  const allocated = await client.allocate(CHUNK_BYTES);
  const chunks = [allocated, client.buffer.subarray(1000, 1000 + CHUNK_BYTES), new Uint8Array(CHUNK_BYTES)];
  const written = createHash('sha256');
  const stream = client.openStream();
  stream.resume();
  for (const chunk of chunks) {
    fillAnew(chunk, new Random(1));
    written.update(chunk);
    await isDone(stream, chunk);
    assert.equal(sent.from(chunk), CHUNK_BYTES);
  }
  stream.end();
  assert.equal(await hash, written.digest('hex'));
  assert.ok(
    sent.all < 3 * CHUNK_BYTES + 20_000,
    `${sent.all} bytes were posted, of which the rest is headers`,
  );
});

test('short chunks are copied, and on encrypted connections all of them', async () => {
  for (const options of [{}, { encryption: 'aes-256-gcm' }] as const) {
    const { onStream, hash } = hashing();
    await using rig = await start(onStream, options);
    const isSealed = 'encryption' in options;
    const chunk = await rig.client.allocate(isSealed ? CHUNK_BYTES : 60_000);
    fillAnew(chunk, new Random(2));
    const stream = rig.client.openStream();
    stream.resume();
    stream.end(chunk);
    assert.equal(await hash, createHash('sha256').update(chunk).digest('hex'));
    assert.equal(rig.sent.from(chunk), 0);
  }
});

for (const what of ['registered', 'ordinary'] as const) {
  test(`memory that is ${what} and changes as soon as a write is done gives equal hashes although queue pairs fail`, async () => {
    const { onStream, hash } = hashing();
    await using rig = await start(onStream);
    const { client, clientDevice, serverDevice, sent } = rig;
    const memory =
      what === 'registered' ? await client.allocate(3 * CHUNK_BYTES) : new Uint8Array(3 * CHUNK_BYTES);
    const random = new Random(3);
    const written = createHash('sha256');
    const stream = client.openStream({ writableHighWaterMark: 3 * CHUNK_BYTES });
    stream.resume();
    const parts = [0, 1, 2].map((i) => memory.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
    // Each part is written again when it is done, so that one is always under way.
    await Promise.all(
      parts.map(async (part, i) => {
        for (let round = 0; round < 8; round++) {
          if (i === 0 && round % 3 === 2) {
            const recovered = recoveryOf(client);
            const device = round === 2 ? clientDevice : serverDevice;
            // The server may come up a moment after the client.
            while ((await device.failQueuePairs()) === 0) await turn();
            await recovered;
          }
          fillAnew(part, random);
          written.update(part);
          await isDone(stream, part);
          part.fill(0xee);
        }
      }),
    );
    stream.end();
    assert.equal(await hash, written.digest('hex'));
    assert.ok(client.statistics.recoveries >= 2);
    assert.ok(sent.from(memory) >= 8 * 3 * CHUNK_BYTES);
  });
}

test('a stream that is destroyed answers its write when the device reads the chunk no longer, and closes at once', async () => {
  const streams: ConnectionStream[] = [];
  await using rig = await start((stream) => streams.push(stream.resume()));
  const { client, serverDevice, sent } = rig;
  const chunk = await client.allocate(CHUNK_BYTES);
  const stream = client.openStream();
  await isDone(stream, Buffer.from('first'));
  while (streams.length === 0) await turn();
  serverDevice.isDark = true;
  const events: string[] = [];
  const answered = isDone(stream, chunk).then(() => events.push('answered'));
  while (sent.from(chunk) === 0) await turn();
  stream.destroy();
  await once(stream, 'close');
  events.push('closed');
  for (let i = 0; i < 20; i++) await turn();
  assert.deepEqual(events, ['closed']);
  // The packets arrive after all, or the link fails and another one tells.
  serverDevice.isDark = false;
  await within(answered, 30_000);
  assert.deepEqual(events, ['closed', 'answered']);
});

test('a stream that is destroyed answers its write when its link has ended, and does not wait for the next one', async () => {
  const streams: ConnectionStream[] = [];
  await using rig = await start((stream) => streams.push(stream.resume()));
  const { client, clientDevice, serverDevice, sent } = rig;
  const chunk = await client.allocate(CHUNK_BYTES);
  const stream = client.openStream();
  await isDone(stream, Buffer.from('first'));
  while (streams.length === 0) await turn();
  serverDevice.isDark = true;
  const answered = isDone(stream, chunk);
  while (sent.from(chunk) === 0) await turn();
  stream.destroy();
  const recovered = recoveryOf(client);
  await clientDevice.failQueuePairs();
  await within(answered, 5000);
  serverDevice.isDark = false;
  await recovered;
});

test('a chunk that waits for room when its stream is destroyed is free at once', async () => {
  await using rig = await start((stream) => stream.pause());
  const stream = rig.client.openStream();
  // More than the window: the rest waits, and nothing is under way.
  const chunk = new Uint8Array(3 * 1024 * 1024);
  const answered = isDone(stream, chunk);
  while (rig.sent.from(chunk) < 1024 * 1024) await turn();
  for (let i = 0; i < 50; i++) await turn();
  stream.destroy();
  await within(answered, 5000);
});
