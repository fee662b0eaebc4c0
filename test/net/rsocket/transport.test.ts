/** A server of rsockets among clients of all kinds: those that break the protocol end alone, and are counted. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from '../../../src/cm/connect.js';
import { ByteStream } from '../../../src/connection/program/byte-stream.js';
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import { RsocketTransport } from '../../../src/net/rsocket/rsocket-transport.js';
import { readPrivateData } from '../../../src/net/rsocket/wire/private-data.js';
import type { ListeningTransport, TransportStream } from '../../../src/net/transport.js';
import * as net from '../../../src/net.js';
import { CmAttribute } from '../../../src/roce/cm/wire/attributes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import type { RKey } from '../../../src/verbs/brands.js';
import { type CmEvent, type CmId, PortSpace } from '../../../src/verbs/connection-manager.js';
import type { Device } from '../../../src/verbs/device.js';
import type { RdmaError } from '../../../src/verbs/errors.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { CLIENT_HOST, CmPair } from '../../../testkit/cm-pair.js';
import { openLosingDevice } from '../../../testkit/gmp-sieve.js';
import { CURL } from '../../../testkit/rsocket-captured.js';
import { within } from '../../../testkit/within.js';

class Served implements AsyncDisposable {
  readonly pair: CmPair;
  readonly transport: RsocketTransport;
  readonly listening: ListeningTransport;
  readonly streams: ByteStream[] = [];
  onStream = (_stream: ByteStream): void => {};

  static async open(clientDevice?: Device): Promise<Served> {
    const pair = await CmPair.open(clientDevice === undefined ? {} : { clientDevice });
    const transport = new RsocketTransport(pair.server);
    const served: { it?: Served } = {};
    const listening = await transport.listen(
      { host: '0.0.0.0', port: 0 },
      { onStream: (stream) => served.it?.take(stream), onFailure: assert.fail },
    );
    served.it = new Served(pair, transport, listening);
    return served.it;
  }

  private constructor(pair: CmPair, transport: RsocketTransport, listening: ListeningTransport) {
    this.pair = pair;
    this.transport = transport;
    this.listening = listening;
  }

  take({ channel }: TransportStream): void {
    const stream = new ByteStream();
    stream.attach(channel);
    this.streams.push(stream);
    this.onStream(stream);
  }

  get to(): { host: string; port: number; udpPort?: number } {
    return { ...this.pair.to, port: this.listening.address.port };
  }

  async connect(): Promise<ByteStream> {
    const { udpPort = 4791, host, port } = this.to;
    const transport = new RsocketTransport(this.pair.client, { udpPort });
    const { signal } = new AbortController();
    const { channel } = await transport.connect({ host, addresses: [host], port, signal });
    const stream = new ByteStream();
    stream.attach(channel);
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listening.close();
    await this.pair[Symbol.asyncDispose]();
  }
}

test('clients of one server are served side by side, each with its own bytes', async () => {
  await using served = await Served.open();
  served.onStream = (stream) => void stream.pipe(stream);
  const clients = await Promise.all([served.connect(), served.connect(), served.connect()]);
  await Promise.all(
    clients.map(async (client, i) => {
      client.end(`client ${i}`);
      let all = '';
      client.setEncoding('utf8').on('data', (text) => {
        all += text;
      });
      await once(client, 'end');
      assert.equal(all, `client ${i}`);
    }),
  );
  assert.deepEqual(served.transport.faults(), {});
});

test('a client whose private data is of another protocol is rejected and counted', async () => {
  await using served = await Served.open();
  const endpoint = await openEndpoint(served.pair.client);
  const privateData = Buffer.from(CURL.request, 'hex');
  privateData[0] = 2;
  await assert.rejects(connect(served.pair.client, { ...served.to, qp: endpoint, privateData }), {
    code: 'ERR_RDMA_REJECTED',
  });
  await endpoint.close();
  assert.deepEqual(served.transport.faults(), { bad_version: 1 });
  assert.equal(served.streams.length, 0);
});

test('a client that says more than was written ends alone, and is counted', async () => {
  await using served = await Served.open();
  const accepted = new Promise<ByteStream>((resolve) => {
    served.onStream = (stream) => {
      resolve(stream);
      served.onStream = (other) => void other.pipe(other);
    };
  });
  const endpoint = await openEndpoint(served.pair.client);
  for (let i = 0; i < 16; i++) endpoint.qp.postRecv({ wrId: i });
  const privateData = Buffer.from(CURL.request, 'hex');
  const hostile = await connect(served.pair.client, { ...served.to, qp: endpoint, privateData });
  const terms = readPrivateData(hostile.privateData);
  assert.ok(typeof terms !== 'string');
  const honest = await served.connect();
  const stream = await accepted;
  endpoint.qp.postSend({
    wrId: 1,
    opcode: WrOpcode.RDMA_WRITE_WITH_IMM,
    inlineData: new Uint8Array(10),
    remoteAddr: terms.bufferAddr,
    rkey: terms.bufferRkey as RKey,
    imm: 11,
  });
  const [error] = (await once(stream, 'error')) as [RdmaError];
  assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
  assert.match(error.message, /length_differs/);
  assert.deepEqual(served.transport.faults(), { length_differs: 1 });
  assert.equal((await hostile.ended).type, 'disconnected');
  await endpoint.close();
  honest.end('still here');
  const [text] = await once(honest, 'data');
  assert.equal(String(text), 'still here');
  honest.resume();
  await once(honest, 'close');
});

for (const [why, access, status] of [
  ['rights of its queue pair', 0, 'REM_INV_REQ_ERR'],
  ['key of its memory', AccessFlags.REMOTE_WRITE, 'REM_ACCESS_ERR'],
] as const) {
  test(`a client whose device refuses writes for the ${why} is a lost connection at once, though DREQ has no answer, and is counted`, async () => {
    const client = await openLosingDevice(
      `soft:${CLIENT_HOST}`,
      (attribute) => attribute === CmAttribute.DREQ,
    );
    await using served = await Served.open(client);
    const accepted = new Promise<ByteStream>((resolve) => {
      served.onStream = resolve;
    });
    const endpoint = await openEndpoint(client, { access });
    for (let i = 0; i < 16; i++) endpoint.qp.postRecv({ wrId: i });
    // It names memory that there is not.
    const privateData = Buffer.from(CURL.request, 'hex');
    await connect(client, { ...served.to, qp: endpoint, privateData });
    const [error] = (await within(once(await accepted, 'error'), 5000)) as [RdmaError];
    assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
    assert.match(error.message, /takes no write any more/);
    assert.equal((error.cause as RdmaError).status, status);
    assert.deepEqual(served.transport.faults(), { refused_write: 1 });
    await endpoint.close();
  });
}

/** Clients that ask, and say nothing to the answer. */
class SilentClients implements AsyncDisposable {
  /** What each has heard. */
  readonly told: string[][] = [];
  readonly #ids: CmId[] = [];
  readonly #ends: Endpoint[] = [];

  static async of(count: number, served: Served): Promise<SilentClients> {
    const clients = new SilentClients();
    for (let i = 0; i < count; i++) await clients.#add(served);
    return clients;
  }

  async #add(served: Served): Promise<void> {
    const manager = await served.pair.client.connectionManager();
    const { host, port, udpPort = 4791 } = served.to;
    const end = await openEndpoint(served.pair.client);
    this.#ends.push(end);
    const { qpn } = end.qp;
    const events: string[] = [];
    this.told.push(events);
    const parameters = {
      ...({ remote: { host, port }, udpPort, qpn, mtu: 1024, timeoutMillis: 30_000 } as const),
      ...{ retryCount: 7, rnrRetryCount: 7, flowControl: false, srq: false, portSpace: PortSpace.TCP },
      ...{ responderResources: 0, initiatorDepth: 0, privateData: Buffer.from(CURL.request, 'hex') },
    };
    await new Promise<void>((resolve) => {
      const onEvent = ({ type }: CmEvent): void => {
        events.push(type);
        resolve();
      };
      this.#ids.push(manager.connect(parameters, onEvent));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ids.map((id) => id.close()));
    await Promise.all(this.#ends.map((end) => end.close()));
  }
}

test('clients that never answer make room: the oldest is rejected, and others are served', async () => {
  await using served = await Served.open();
  served.onStream = (stream) => void stream.pipe(stream);
  await using silent = await SilentClients.of(64, served);
  const { told } = silent;
  assert.deepEqual(told.flat(), new Array(64).fill('response'));
  const honest = await within(served.connect(), 20_000);
  honest.end('still here');
  const [text] = await once(honest, 'data');
  assert.equal(String(text), 'still here');
  assert.deepEqual(told[0], ['response', 'rejected']);
  assert.deepEqual(told[1], ['response']);
  assert.deepEqual(served.transport.faults(), { ERR_RDMA_ABORTED: 1 });
  honest.resume();
  await once(honest, 'close');
});

test('a server that was not given its turn rejects no client for that', async () => {
  await using served = await Served.open();
  served.onStream = (stream) => void stream.on('error', () => {}).resume();
  await using silent = await SilentClients.of(64, served);
  const connecting = served.connect();
  await pause(50);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  await pause(40);
  assert.deepEqual(silent.told[0], ['response']);
  const honest = await within(connecting, 20_000);
  honest.on('error', () => {}).destroy();
});

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

test('what a listener of connection throws is the program’s exception, and no failure of the client', async () => {
  await using served = await Served.open();
  served.onStream = () => {
    throw new Error('thrown by the program');
  };
  const thrown = new Promise<Error>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  try {
    const client = await served.connect();
    assert.equal((await within(thrown)).message, 'thrown by the program');
    assert.deepEqual(served.transport.faults(), {});
    client.end().resume();
    for (const stream of served.streams) stream.end().resume();
    await once(client, 'close');
  } finally {
    process.setUncaughtExceptionCaptureCallback(null);
  }
});

test('a socket with keepAlive notices that its peer has gone without a word', async () => {
  await using pair = await CmPair.open();
  const { udpPort = 4791, host } = pair.to;
  const server = net.createServer({ rdma: 'rsocket', device: pair.server }).on('error', () => {});
  await once(server.listen({ port: 0, host }), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const options = {
    rdma: 'rsocket',
    device: pair.client,
    keepAlive: true,
    keepAliveInitialDelay: 50,
  } as const;
  const socket = net.connect({ ...options, host, port, udpPort });
  const [[taken]] = (await Promise.all([once(server, 'connection'), once(socket.resume(), 'connect')])) as [
    [net.Socket],
    unknown,
  ];
  const failing = once(socket, 'error');
  taken.on('error', () => {});
  await pair.server.close({ force: true });
  const [error] = (await within(failing)) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});

test('a socket with rdma rsocket has the iomap of its connection, others have none', async () => {
  await using pair = await CmPair.open();
  const { udpPort = 4791, host } = pair.to;
  const plain = { rdma: 'rsocket', iomapEntries: 1 } as const;
  const server = net.createServer({ ...plain, device: pair.server });
  await once(server.listen({ port: 0, host }), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ ...plain, device: pair.client, host, port, udpPort });
  assert.equal(typeof socket.iomap, 'undefined');
  const [[served]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [net.Socket],
    unknown,
  ];
  const offer = await served.iomap?.offer(16);
  await socket.iomap?.untilOffered(0, 16);
  await socket.iomap?.write(4, Buffer.from('here'));
  assert.equal(Buffer.from(offer?.bytes ?? []).toString('latin1', 4, 8), 'here');
  served.resume();
  socket.end();
  await Promise.all([once(served, 'close'), once(socket, 'close')]);
  await once(server.close(), 'close');
});
