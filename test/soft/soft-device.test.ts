import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toPsn } from '../../src/verbs/brands.js';
import { createCompletions, statusName, WorkCompletion } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;
const REMOTE = LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC;

async function openEnd(name: string): Promise<Endpoint> {
  const access = REMOTE & ~LOCAL_WRITE;
  return openEndpoint(await openDevice(name), { cqCapacity: 64, access, psn: toPsn(0xfffff0) });
}

async function connect(a: Endpoint, b: Endpoint): Promise<void> {
  await a.connect(b.address);
  await b.connect(a.address);
}

async function closeEnd(end: Endpoint): Promise<void> {
  await end.close();
  assert.deepEqual(new Set(Object.values(end.device.census())), new Set([0]));
  await end.device.close();
}

async function nextCompletion(end: Endpoint) {
  const [wc = new WorkCompletion()] = createCompletions(1);
  assert.equal(await end.take([wc]), 1);
  return wc;
}

for (const host of ['127.0.0.1', '::1']) {
  test(`two devices in one process move 8 MiB by WRITE and READ over ${host}`, async () => {
    const a = await openEnd(`soft:${host}?port=0`);
    const b = await openEnd(`soft:${host}?port=0`);
    await connect(a, b);
    const length = 8 * 1024 * 1024 + 13;
    const source = await a.pd.regMr(randomBytes(length), 0);
    const back = await a.pd.regMr(new Uint8Array(length), AccessFlags.LOCAL_WRITE);
    const target = await b.pd.regMr(new SharedArrayBuffer(length), REMOTE);
    const remote = { remoteAddr: target.addr, rkey: target.rkey, flags: SendFlags.SIGNALED };
    a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, sges: [{ mr: source }], ...remote });
    a.qp.postSend({ wrId: 2, opcode: WrOpcode.RDMA_READ, sges: [{ mr: back }], ...remote });
    for (const wrId of [1, 2]) {
      const wc = await nextCompletion(a);
      assert.equal(`${wc.wrId} ${statusName(wc.status)}`, `${wrId} SUCCESS`);
    }
    assert.equal(Buffer.compare(Buffer.from(target.bytes), source.bytes), 0);
    assert.equal(Buffer.compare(back.bytes, source.bytes), 0);
    // 2049 packets each, also where PSNs wrap around; a READ takes the PSNs of its answers.
    assert.deepEqual(a.qp.progress, { sent: 4098, acknowledged: 4098, received: 0 });
    assert.deepEqual(b.qp.progress, { sent: 0, acknowledged: 0, received: 4098 });
    const { txPackets = 0, txBytes = 0 } = a.device.counters();
    assert(txPackets > 2049 && txBytes > length, `${txPackets} packets, ${txBytes} bytes sent`);
    for (const mr of [source, back, target]) await mr.close();
    await closeEnd(a);
    await closeEnd(b);
  });
}

test('a device that still has objects refuses to close and says which', async () => {
  const a = await openEnd('soft:127.0.0.1?port=0');
  await assert.rejects(a.device.close(), {
    code: 'ERR_RDMA_IN_USE',
    message: /1 pds, 1 cqs, 1 channels, 1 qps/,
  });
  await assert.rejects(a.pd.close(), { code: 'ERR_RDMA_IN_USE' });
  await assert.rejects(a.recvCq.close(), { code: 'ERR_RDMA_IN_USE' });
  await closeEnd(a);
});

test('a port that is taken, and an address of another machine, are explained', async () => {
  const a = await openDevice('soft:127.0.0.1?port=0');
  const { udpPort } = await a.queryPort();
  await assert.rejects(openDevice(`soft:127.0.0.1?port=${udpPort}`), {
    code: 'ERR_RDMA_ADDRESS',
    message: /in use/,
  });
  await assert.rejects(openDevice('soft:192.0.2.1'), { code: 'ERR_RDMA_ADDRESS', message: /not an address/ });
  await assert.rejects(openDevice('mlx9_9'), { code: /^ERR_RDMA_NO_(DEVICE|LIBRARY)$/ });
  await assert.rejects(openDevice('soft:nowhere'), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  await assert.rejects(openDevice('soft:127.0.0.1?prot=1'), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message: /prot/,
  });
  await a.close();
  await a.close();
});

test('random datagrams are dropped, counted by reason, and disturb nothing', async () => {
  const { createSocket } = await import('node:dgram');
  const device = await openDevice('soft:127.0.0.1?port=0');
  const { udpPort } = await device.queryPort();
  const socket = createSocket('udp4');
  const total = 200;
  for (let i = 0; i < total; i++) socket.send(randomBytes(i), udpPort, '127.0.0.1');
  while ((device.counters()['rxPackets'] ?? 0) < total) await new Promise((resolve) => setImmediate(resolve));
  const drops = Object.entries(device.counters()).filter(([name]) => name.startsWith('drop_'));
  assert.equal(
    drops.reduce((sum, [, count]) => sum + count, 0),
    total,
  );
  socket.close();
  await once(socket, 'close');
  await device.close();
});

test('an address handle to a multicast group is refused: the device would send to all of it', async () => {
  const device = await openDevice('soft:127.0.0.1?port=0');
  const pd = await device.allocPd();
  for (const dgid of ['::ffff:224.0.0.1', '239.1.2.3', 'ff02::1']) {
    await assert.rejects(pd.createAh({ dgid }), { code: 'ERR_RDMA_INVALID_ARGUMENT', message: /multicast/ });
  }
  await pd.close();
  await device.close();
});
