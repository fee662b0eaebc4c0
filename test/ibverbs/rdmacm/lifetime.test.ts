/** The connection manager of devices of the operating system: what it needs to open, and how it ends with device, worker and process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing, OPEN_DEVICE, play, type Told } from './rdmacm-case.js';

test('a device that closes tells the peers of all that is open, and who waits', { skip: missing }, () => {
  const code = `const other = await openDevice('noop0');
    const theirs = await other.connectionManager();
    const server = await serve();
    const heard = new Heard();
    theirs.connect({ remote: { host: '192.0.2.1', port: server.port }, timeoutMillis: 5000, ...own() }, heard.add);
    await server.next();
    const waiting = meet(9902);
    const { cmIds } = device.census();
    const busy = await fail(device.close());
    await device.close({ force: true });
    await server.listener.ended;
    const event = plain(await heard.next());
    const told = plain(await waiting.next());
    const closed = await fail((async () => manager.connect({ remote: { host: '192.0.2.1', port: 1 }, timeoutMillis: 1, ...own() }, () => {}))());
    const left = device.census().cmIds;
    await other.close({ force: true });
    return [left, cmIds, busy.message, event.type, event.reason, told.error.code, closed.code, other.census().cmIds];`;
  assert.deepEqual(play(code), [
    0,
    3,
    'close these objects of noop0 first: 3 cmIds',
    'rejected',
    28,
    'ERR_RDMA_CLOSED',
    'ERR_RDMA_CLOSED',
    0,
  ]);
});

test('an id that the kernel does not let go is destroyed again before its channel, which stays where that fails', {
  skip: missing,
}, () => {
  const code = `const server = await serve();
    const keep = async (run) => {
      process.env.STAND_IN_FAIL_destroy_id = '16';
      await run();
    };
    const client = meet(server.port);
    await server.next();
    await keep(() => client.id.close());
    delete process.env.STAND_IN_FAIL_destroy_id;
    await device.close({ force: true });
    const other = await openDevice('noop0');
    const theirs = await other.connectionManager();
    await theirs.listen({ host: '192.0.2.1', port: 0, backlog: 1 }, () => {});
    await keep(() => other.close({ force: true }));
    return [device.census().cmIds, other.census().cmIds];`;
  assert.deepEqual(play(code), [0, 0]);
});

test('what is missing is named: the library, its functions, the module, the permission', {
  skip: missing,
}, () => {
  const code = `const device = await openDevice('noop0');
    const error = await device.connectionManager().then(() => 'no error', ({ code, message }) => ({ code, message }));
    await device.close({ force: true });
    return error;`;
  const ask = (environment: NodeJS.ProcessEnv): Told => play(code, environment, '') as Told;
  const noLibrary = ask({ QUEUEPAIR_LIBRDMACM: 'librdmacm-that-is-not-there.so.1' });
  assert.equal(noLibrary.code, 'ERR_RDMA_NO_LIBRARY');
  assert.match(noLibrary.message, /librdmacm-that-is-not-there\.so\.1.*install it \(Debian: librdmacm1\)/);
  assert.match(ask({ QUEUEPAIR_LIBRDMACM: 'libm.so.6' }).message, /no function rdma_create_event_channel/);
  const denied = ask({ STAND_IN_FAIL_create_event_channel: '13' });
  assert.equal(denied.code, 'ERR_RDMA_NO_DEVICE');
  assert.match(denied.message, /no permission for \/dev\/infiniband\/rdma_cm/);
  const absent = ask({ STAND_IN_FAIL_create_event_channel: '2' });
  assert.equal(absent.code, 'ERR_RDMA_NO_DEVICE');
});

test('a library that is installed while the program runs is found', { skip: missing }, () => {
  const code = `const device = await openDevice('noop0');
    const library = process.env.QUEUEPAIR_LIBRDMACM;
    process.env.QUEUEPAIR_LIBRDMACM = 'librdmacm-that-is-not-there.so.1';
    const first = await device.connectionManager().then(() => 'no error', ({ code }) => code);
    process.env.QUEUEPAIR_LIBRDMACM = library;
    const second = await device.connectionManager().then(() => 'no error', ({ code }) => code);
    await device.close({ force: true });
    return [first, second];`;
  assert.deepEqual(play(code, {}, ''), ['ERR_RDMA_NO_LIBRARY', 'no error']);
});

test('the manager is one for all who ask, and can be had once what was missing is there', {
  skip: missing,
}, () => {
  const code = `const device = await openDevice('noop0');
    process.env.STAND_IN_FAIL_create_event_channel = '2';
    const first = await device.connectionManager().then(() => 'no error', ({ code }) => code);
    delete process.env.STAND_IN_FAIL_create_event_channel;
    const [a, b] = await Promise.all([device.connectionManager(), device.connectionManager()]);
    await device.close({ force: true });
    return [first, a === b, await device.connectionManager().then(() => 'no error', ({ code }) => code)];`;
  assert.deepEqual(play(code, {}, ''), ['ERR_RDMA_NO_DEVICE', true, 'ERR_RDMA_CLOSED']);
});

test('a worker that is terminated in the middle of meetings, and a process that exits, end in order', {
  skip: missing,
}, () => {
  const code = `const { Worker } = await import('node:worker_threads');
    const inside = \`import('${OPEN_DEVICE}').then(async ({ openDevice }) => {
      const device = await openDevice('noop0');
      const manager = await device.connectionManager();
      const own = { qpn: 1, responderResources: 1, initiatorDepth: 1, retryCount: 1, rnrRetryCount: 1, flowControl: false, srq: false, privateData: new Uint8Array() };
      const listener = await manager.listen({ host: null, port: 0, backlog: 8 }, async (request) => {
        request.id.accept(own);
        (await import('node:worker_threads')).parentPort.postMessage('asked');
      });
      const { port } = listener.address;
      for (let i = 0; i < 4; i++) manager.connect({ remote: { host: '192.0.2.1', port }, timeoutMillis: 5000, ...own }, () => {});
    });\`;
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(inside, { eval: true });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
    const server = await serve();
    meet(server.port);
    await server.next();
    meet(server.port);
    setImmediate(() => process.exit(0));
    return 'ended';`;
  assert.equal(play(code), 'ended');
});
