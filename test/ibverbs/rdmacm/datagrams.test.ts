/** The connection manager of devices of the operating system: datagram services, asked for and answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CM, missing, play, type Told } from './rdmacm-case.js';

test('a datagram service is found, refused or not there', { skip: missing }, () => {
  const code = `const asked = new Heard();
    const listener = await manager.listenDatagram({ host: '192.0.2.1', port: 0, backlog: 8 }, asked.add);
    const { port } = listener.address;
    const ask = (at) => { const heard = new Heard(); manager.lookUp({ remote: { host: '192.0.2.1', port: at }, trafficClass: 8,
      privateData: Buffer.from('ud-client'), timeoutMillis: 5000 }, heard.add); return heard; };
    const first = ask(port);
    const request = await asked.next();
    const wrongKey = await fail(request.accept(0x33, 5, new Uint8Array()));
    await request.accept(0x33, 0x01234567, Buffer.from('ud-server'));
    const { service, type } = await first.next();
    const second = ask(port);
    await (await asked.next()).reject(Buffer.from('ud-no'));
    const refused = plain(await second.next());
    const none = plain(await ask(port + 100).next());
    const wrongService = plain(await ask(9906).next());
    const silent = new Heard();
    const giveUp = manager.lookUp({ remote: { host: '192.0.2.1', port: 9902 }, privateData: new Uint8Array(), timeoutMillis: 100 }, silent.add);
    const unreachable = await silent.next();
    giveUp();
    await listener.close();
    await device.close();
    return { seen: [request.remote.host, text(request.privateData), request.privateData.length], wrongKey, type,
      service: { ...service, privateData: [text(service.privateData), service.privateData.length] }, refused, none, wrongService, unreachable };`;
  const found = play(code) as Record<string, { code?: string; error?: Told }>;
  assert.deepEqual(found['seen'], ['192.0.2.1', 'ud-client', 180]);
  assert.equal(found['wrongKey']?.code, 'ERR_RDMA_INVALID_ARGUMENT');
  assert.equal(found['type'], 'found');
  assert.deepEqual(found['service'], {
    gid: '::ffff:192.0.2.1',
    udpPort: 4791,
    qpn: 0x33,
    qkey: 0x01234567,
    options: { port: 1, gidIndex: 3, trafficClass: 8, flowLabel: 0xabcde, hopLimit: 64 },
    privateData: ['ud-server', 136],
  });
  assert.deepEqual(found['refused'], { type: 'refused', status: 2, privateData: ['ud-no', 136] });
  assert.deepEqual(found['none'], { type: 'refused', status: 1, privateData: ['', 136] });
  assert.equal(found['wrongService']?.error?.code, 'ERR_RDMA_INVALID_ARGUMENT');
  assert.deepEqual(found['unreachable'], { type: 'unreachable' });
});

test('a datagram service that is told with a Q_Key the device cannot send can be told again, and its request given back', {
  skip: missing,
}, () => {
  const code = `const { listenUd, resolveUd } = await import('${CM}');
    const server = await listenUd(device, { host: '192.0.2.1' });
    const ask = () => resolveUd(device, { host: '192.0.2.1', port: server.address.port }).catch((error) => error);
    const pd = await device.allocPd();
    const cq = await device.createCq({ capacity: 16 });
    const qp = await pd.createQp({ type: 4, sendCq: cq, recvCq: cq, maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1 });
    const first = ask();
    const request = await server.next();
    const wrong = await fail(request.accept({ qp, qkey: 5 }));
    await request.accept({ qp, qkey: 0x01234567 });
    const found = await first;
    const second = ask();
    const given = await server.next();
    await fail(given.accept({ qp, qkey: 5 }));
    await given.reject();
    const refused = await second;
    await server.close();
    for (const object of [qp, cq, pd, device]) await object.close();
    return [wrong.code, found.qpn === qp.qpn, refused.rejection.reason];`;
  assert.deepEqual(play(code), ['ERR_RDMA_INVALID_ARGUMENT', true, 2]);
});

test('a request for a datagram service that nobody answers is forgotten after 30 s', {
  skip: missing,
}, () => {
  const code = `const { mock } = await import('node:test');
    mock.timers.enable({ apis: ['setTimeout'] });
    const asked = new Heard();
    const listener = await manager.listenDatagram({ host: '192.0.2.1', port: 0, backlog: 1 }, asked.add);
    const ask = () => { const heard = new Heard(); manager.lookUp({ remote: { host: '192.0.2.1', port: listener.address.port },
      privateData: new Uint8Array(), timeoutMillis: 60_000 }, heard.add); return heard; };
    const first = ask();
    const request = await asked.next();
    mock.timers.tick(30_000);
    const end = await first.next();
    const late = await fail(request.accept(0x33, 0x01234567, new Uint8Array()));
    const second = ask();
    await (await asked.next()).accept(0x33, 0x01234567, new Uint8Array());
    const { type } = await second.next();
    await listener.close();
    await device.close();
    return [end.type, late.code, late.message, type];`;
  const [end, code_, message, type] = play(code) as string[];
  assert.deepEqual([end, code_, type], ['refused', 'ERR_RDMA_CONNECTION_LOST', 'found']);
  assert.match(message ?? '', /192\.0\.2\.1:\d+ does not wait.*within 30 s/);
});
