import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import {
  AddressServer,
  exchangeAsClient,
  formatAddress,
  type PingpongAddress,
  parseAddress,
} from '../../src/cli/pingpong/address-exchange.js';
import { PingPongEnd, type PingPongOptions } from '../../src/cli/pingpong/ping-pong-end.js';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { toPsn, toQpn } from '../../src/verbs/brands.js';
import type { Device } from '../../src/verbs/device.js';
import { WrOpcode } from '../../src/verbs/work-request.js';

const ADDRESS: PingpongAddress = {
  lid: 0,
  qpn: toQpn(0x11),
  psn: toPsn(0x5207a2),
  gid: '::ffff:10.77.1.1',
};
/** What ibv_rc_pingpong of rdma-core 44 wrote to its TCP connection for this address, on rxe0. */
const MESSAGE = '0000:000011:5207a2:00000000000000000000ffff0a4d0101\0';
const TIMEOUT_MILLIS = 5000;

test('an address is 52 bytes on the wire, as ibv_rc_pingpong writes it', () => {
  assert.equal(MESSAGE.length, 52);
  assert.equal(formatAddress(ADDRESS).toString('latin1'), MESSAGE);
  assert.deepEqual(parseAddress(Buffer.from(MESSAGE)), ADDRESS);
});

test('IPv6 GIDs with and without zero groups come back as the same address', () => {
  for (const [gid, hex] of [
    ['fd77:1::2', 'fd770001000000000000000000000002'],
    ['::1', '00000000000000000000000000000001'],
    ['fe80::', 'fe800000000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ] as const) {
    const message = formatAddress({ ...ADDRESS, gid });
    assert.equal(message.toString('latin1', 19, 51), hex);
    assert.equal(formatAddress(parseAddress(message)).toString(), message.toString());
  }
});

test('anything else is refused as no address', () => {
  for (const text of [
    '',
    MESSAGE.slice(0, 51),
    `${MESSAGE}\0`,
    MESSAGE.replace('5207a2', '5207ag'),
    MESSAGE.replace(':', ' '),
    MESSAGE.replace('0a4d', '0A4D'),
  ]) {
    assert.throws(() => parseAddress(Buffer.from(text)), { code: 'ERR_RDMA_PROTOCOL' });
  }
});

test('a peer that hangs up, says something else or nothing at all does not hold the server', async () => {
  const cases: [string, string | null, string][] = [
    ['hangs up', '', 'ERR_RDMA_PROTOCOL'],
    ['says something else', 'G'.repeat(52), 'ERR_RDMA_PROTOCOL'],
    ['says nothing', null, 'ERR_RDMA_TIMEOUT'],
  ];
  for (const [, text, code] of cases) {
    const server = await AddressServer.listen('127.0.0.1', 0);
    const outcome = assert.rejects(
      server.exchange({
        own: ADDRESS,
        timeoutMillis: text === null ? 50 : TIMEOUT_MILLIS,
        onRemote: async () => assert.fail('no address came'),
      }),
      { code },
    );
    const socket = connect({ host: '127.0.0.1', port: server.port });
    socket.on('error', () => {});
    if (text !== null) socket.end(text);
    await outcome;
    socket.destroy();
  }
});

test('the client says done only after it has the address of the server', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const heard: string[] = [];
  server.on('connection', (socket) => {
    socket.setEncoding('latin1').on('data', (text: string) => {
      heard.push(text);
      if (heard.length === 1) socket.write(MESSAGE);
    });
  });
  const own = { ...ADDRESS, qpn: toQpn(0x22) };
  const remotes: PingpongAddress[] = [];
  await exchangeAsClient('127.0.0.1', port, {
    own,
    timeoutMillis: TIMEOUT_MILLIS,
    onRemote: async (remote) => void remotes.push(remote),
  });
  server.close();
  await once(server, 'close');
  assert.deepEqual(remotes, [ADDRESS]);
  assert.deepEqual(heard, [formatAddress(own).toString('latin1'), 'done\0']);
});

async function withEnds(
  options: Partial<PingPongOptions>,
  use: (server: PingPongEnd, client: PingPongEnd) => Promise<void>,
): Promise<void> {
  // Addresses of their own: the protocol has no place for another UDP port than 4791.
  const devices: Device[] = [];
  const ends: PingPongEnd[] = [];
  for (const host of ['127.0.0.61', '127.0.0.62']) {
    const device = await openDevice(`soft:${host}?port=4791`);
    devices.push(device);
    const complete = {
      sizeBytes: 5000,
      mtu: 1024,
      iterations: 50,
      warmup: 10,
      checksData: true,
      receiveDepth: 8,
      gidIndex: undefined,
      useEvents: true,
    } as const;
    const end = await PingPongEnd.open(device, { ...complete, timeoutMillis: TIMEOUT_MILLIS, ...options });
    ends.push(end);
  }
  const [server, client] = ends as [PingPongEnd, PingPongEnd];
  const listener = await AddressServer.listen('127.0.0.1', 0);
  const timeoutMillis = TIMEOUT_MILLIS;
  await Promise.all([
    listener.exchange({ own: server.address, timeoutMillis, onRemote: (remote) => server.connect(remote) }),
    exchangeAsClient('127.0.0.1', listener.port, {
      own: client.address,
      timeoutMillis,
      onRemote: (remote) => client.connect(remote),
    }),
  ]);
  try {
    await use(server, client);
  } finally {
    for (const end of ends) await end.close();
    for (const device of devices) await device.close();
  }
}

test('two soft devices play to the end, sleeping and looking, with sizes that need one packet and several', async () => {
  for (const sizeBytes of [1, 5000]) {
    for (const useEvents of [true, false]) {
      await withEnds({ sizeBytes, useEvents }, async (server, client) => {
        await Promise.all([server.playServer(), client.playClient()]);
      });
    }
  }
});

test('messages that are not measured are played like the others, and the clock starts behind them', async () => {
  await withEnds({ iterations: 20, warmup: 19 }, async (server, client) => {
    const start = performance.now();
    await Promise.all([server.playServer(), client.playClient()]);
    assert.ok(client.measuredFrom > start && client.measuredFrom < performance.now());
  });
});

test('an end whose peer stays silent gives up and says what to look at', async () => {
  for (const useEvents of [true, false]) {
    await withEnds({ timeoutMillis: 50, useEvents }, async (server) => {
      await assert.rejects(server.playServer(), { code: 'ERR_RDMA_TIMEOUT', message: /same -n and -m/ });
    });
  }
});

/** Sends the same bytes whatever it receives. */
async function withStubbornPeer(
  byte: number,
  use: (end: PingPongEnd) => Promise<void>,
  more: Partial<PingPongOptions> = {},
): Promise<void> {
  const device = await openDevice('soft:127.0.0.61?port=4791');
  const other = await openDevice('soft:127.0.0.62?port=4791');
  const options = {
    sizeBytes: 64,
    mtu: 1024,
    iterations: 1,
    warmup: 0,
    checksData: true,
    receiveDepth: 2,
    gidIndex: undefined,
    useEvents: false,
  } as const;
  const end = await PingPongEnd.open(device, { ...options, timeoutMillis: TIMEOUT_MILLIS, ...more });
  const peer = await openEndpoint(other, { memory: 2 * 64, mtu: 1024, rdAtomic: 1 });
  const { qp, memory: mr, address } = peer;
  mr.bytes.fill(byte, 0, 64);
  qp.postRecv({ wrId: 1, sges: [{ mr, offset: 64 }] });
  await peer.connect({ ...address, ...end.address, udpPort: 4791 });
  await end.connect({ ...address, lid: 0 });
  qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, sges: [{ mr, length: 64 }] });
  try {
    await use(end);
  } finally {
    await end.close();
    for (const thing of [peer, device, other]) await thing.close();
  }
}

test('both sides notice bytes that nobody should have sent', async () => {
  const wrongData = { code: 'ERR_RDMA_PROTOCOL', message: /round 1 does not hold/ };
  await withStubbornPeer(0xee, (end) => assert.rejects(end.playServer(), wrongData));
  await withStubbornPeer(0xee, (end) => assert.rejects(end.playClient(), wrongData));
  await withStubbornPeer(0xee, (end) => end.playClient(), { checksData: false });
});

test('a server takes the bytes that the stock client sends', async () => {
  await withStubbornPeer(0x7b, (end) => end.playServer());
});
