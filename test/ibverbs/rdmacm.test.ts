/**
 * The connection manager of devices of the operating system, over a libibverbs without hardware (no-op-verbs.c) and a
 * librdmacm without a kernel (rdmacm-stand-in.c). Each case is a process of its own, because a library is loaded once.
 * What a kernel does is tested in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAddon } from '../../src/native/addon.js';
import { compileRdmacmStandIn } from '../../testkit/rdmacm-stand-in.js';
import { compileNoOp } from '../../tools/verbs-cost/no-op-library.js';

const OPEN_DEVICE = new URL('../../src/open-device.js', import.meta.url).href;
const CM = new URL('../../src/cm.js', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'queuepair-rdmacm-'));
after(() => rmSync(folder, { recursive: true }));

const addon = loadAddon();
const verbs = join(folder, 'libverbs.so');
const rdmacm = join(folder, 'librdmacm.so');
const missing =
  typeof addon === 'string'
    ? addon
    : addon.rdmacm.available
      ? (compileNoOp(verbs, 'library') ?? compileRdmacmStandIn(rdmacm) ?? false)
      : 'built without rdma_cma.h';
const STAND_INS = { QUEUEPAIR_LIBIBVERBS: verbs, QUEUEPAIR_LIBRDMACM: rdmacm };

/**
 * What every case has: the device, its manager, parameters, `meet` (a client and what it hears), `serve` (a listener with
 * its requests) and `next`, which takes the oldest of what was heard, or waits for it.
 */
const PRELUDE = `
  const fail = (run) => run.then(() => 'no error', ({ code, message }) => ({ code, message }));
  const device = await openDevice('noop0');
  const manager = await device.connectionManager();
  const text = (bytes) => Buffer.from(bytes).toString('latin1').replace(/\\0+$/, '');
  const own = (more = {}) => ({ qpn: 0x11, responderResources: 7, initiatorDepth: 9, retryCount: 5, rnrRetryCount: 4,
    flowControl: true, srq: false, privateData: new Uint8Array(), ...more });
  class Heard {
    items = []; waiting = [];
    add = (item) => { const waiter = this.waiting.shift(); if (waiter) waiter(item); else this.items.push(item); };
    next = () => this.items.length > 0 ? Promise.resolve(this.items.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }
  const meet = (port, more = {}, host = '192.0.2.1') => {
    const heard = new Heard();
    const id = manager.connect({ remote: { host, port }, timeoutMillis: 5000, ...own(more) }, (event) => heard.add(event));
    return { id, next: heard.next, heard: heard.items };
  };
  const serve = async (port = 0, options = {}) => {
    const heard = new Heard();
    const listener = await manager.listen({ host: '192.0.2.1', port, backlog: 8, ...options }, heard.add);
    return { listener, port: listener.address.port, next: heard.next, heard: heard.items };
  };
  const follow = (request) => { const heard = new Heard(); request.onEvent(heard.add); return heard; };
  const plain = (event) => ({ ...event, ...(event.error ? { error: { code: event.error.code, message: event.error.message } } : {}),
    ...(event.privateData ? { privateData: [text(event.privateData), event.privateData.length] } : {}) });`;

/** Runs `code` in a process; its last value is returned. */
function play(code: string, environment: NodeJS.ProcessEnv = {}, prelude = PRELUDE): unknown {
  const program = `const { openDevice } = await import('${OPEN_DEVICE}');
    ${prelude}
    const result = await (async () => { ${code} })();
    process.stdout.write(JSON.stringify(result ?? null));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...STAND_INS, ...environment },
    timeout: 20_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

interface Told {
  readonly code: string;
  readonly message: string;
}

test('two ends meet, and each gets the path of its queue pair and what the other said', {
  skip: missing,
}, () => {
  const code = `const server = await serve();
    const client = meet(server.port, { privateData: Buffer.from('hello-from-client'), trafficClass: 104, ackTimeout: 15 });
    const request = await server.next();
    const events = follow(request);
    await request.id.accept(own({ qpn: 0x22, responderResources: 3, initiatorDepth: 5, rnrRetryCount: 6,
      privateData: Buffer.from('hello-from-server') }));
    const response = await client.next();
    await client.id.establish();
    const established = await events.next();
    await client.id.disconnect();
    const told = await events.next();
    await request.id.disconnect();
    const answered = await client.next();
    const addresses = [client.id.local.host, client.id.remote, request.id.local, request.id.remote.host];
    await device.close({ force: true });
    const { peer } = request;
    return { asked: { ...peer, privateData: [text(peer.privateData), peer.privateData.length] }, path: request.path,
      said: { ...response.peer, privateData: [text(response.peer.privateData), response.peer.privateData.length] },
      ownPath: response.path, established, told, answered, addresses, port: server.port };`;
  const found = play(code) as Record<string, unknown>;
  const port = found['port'] as number;
  assert.deepEqual(found['asked'], {
    responderResources: 7,
    initiatorDepth: 9,
    retryCount: 5,
    rnrRetryCount: 4,
    flowControl: true,
    srq: false,
    qpn: 0x11,
    privateData: ['hello-from-client', 56],
  });
  assert.deepEqual(found['said'], {
    responderResources: 3,
    initiatorDepth: 5,
    retryCount: 5,
    rnrRetryCount: 6,
    flowControl: true,
    srq: false,
    qpn: 0x22,
    privateData: ['hello-from-server', 196],
  });
  const path = {
    peer: { gid: '::ffff:192.0.2.77', udpPort: 4791, qpn: 0x1234, psn: 0x494504, mtu: 2048, rdAtomic: 3 },
    own: { psn: 0x54b3a1, mtu: 2048, rdAtomic: 5, initiatorDepth: 3 },
    options: {
      port: 1,
      pkeyIndex: 2,
      gidIndex: 3,
      trafficClass: 0,
      flowLabel: 0xa906f,
      hopLimit: 63,
      timeout: 18,
      retryCount: 6,
      rnrRetry: 4,
    },
  };
  assert.deepEqual(found['path'], path);
  assert.deepEqual(found['ownPath'], {
    ...path,
    options: { ...path.options, trafficClass: 104, timeout: 15 },
  });
  assert.deepEqual(found['established'], { type: 'established' });
  assert.deepEqual(found['told'], { type: 'disconnected', byPeer: true, answered: true });
  assert.deepEqual(found['answered'], { type: 'disconnected', byPeer: false, answered: true });
  assert.deepEqual(found['addresses'], [
    '192.0.2.1',
    { host: '192.0.2.1', port },
    { host: '192.0.2.1', port },
    '192.0.2.1',
  ]);
});

test('over IPv6, at all addresses of the device, two ends meet as well', { skip: missing }, () => {
  const code = `const server = await serve(0, { host: null });
    const client = meet(server.port, {}, 'fd00::1');
    const request = await server.next();
    await request.id.accept(own());
    const { type } = await client.next();
    const addresses = [request.id.local.host, request.id.remote.host, server.listener.address.host];
    await device.close({ force: true });
    return [type, ...addresses];`;
  assert.deepEqual(play(code), ['response', 'fd00::1', 'fd00::1', '::']);
});

test('a link-local address names its interface', { skip: missing }, () => {
  const code = `const server = await serve(0, { host: null });
    meet(server.port, {}, 'fe80::1%1');
    const { id } = await server.next();
    const strange = plain(await meet(server.port, {}, 'fe80::1%nowhere0').next());
    const wrong = plain(await meet(server.port, {}, '192.0.2.1%1').next());
    const hosts = [id.local.host, id.remote.host];
    await device.close({ force: true });
    return [...hosts, strange.error.message, wrong.error.message];`;
  const [local, remote, strange = '', wrong = ''] = play(code) as string[];
  assert.deepEqual([local, remote], ['fe80::1%1', 'fe80::1%1']);
  assert.match(strange, /'fe80::1%nowhere0' names an interface that this machine does not have/);
  assert.match(wrong, /'192\.0\.2\.1%1' is no address/);
});

test('either side can say no, with private data and the reason that the kernel sends', {
  skip: missing,
}, () => {
  const code = `const server = await serve();
    const first = meet(server.port);
    const request = await server.next();
    await request.id.reject(28, Buffer.from('go away'));
    const toClient = plain(await first.next());
    const second = meet(server.port);
    const accepted = await server.next();
    const events = follow(accepted);
    await accepted.id.accept(own());
    await second.next();
    await second.id.reject(28, Buffer.from('changed my mind'));
    const toServer = plain(await events.next());
    const third = meet(server.port);
    (await server.next()).id.close();
    const closed = plain(await third.next());
    const nobody = meet(7999);
    const none = plain(await nobody.next());
    await device.close({ force: true });
    return [toClient, toServer, closed, none];`;
  assert.deepEqual(play(code), [
    { type: 'rejected', reason: 28, privateData: ['go away', 148] },
    { type: 'rejected', reason: 28, privateData: ['changed my mind', 148] },
    { type: 'rejected', reason: 28, privateData: ['', 148] },
    { type: 'rejected', reason: 8, privateData: ['', 148] },
  ]);
});

/** Host, port and options of the meeting; what the end is, and what the error says. */
const FAILURES: readonly [string, string, string, RegExp | undefined][] = [
  ['nobody has the address', `meet(1, {}, '192.0.2.9')`, 'ERR_RDMA_UNREACHABLE', /192\.0\.2\.9.*neighbour/],
  [
    'there is no route',
    `meet(1, {}, '203.0.113.5')`,
    'ERR_RDMA_ADDRESS',
    /no route to 203\.0\.113\.5.*192\.0\.2\.1/,
  ],
  [
    'the loopback address',
    `meet(1, {}, '127.0.0.1')`,
    'ERR_RDMA_ADDRESS',
    /127\.0\.0\.1.*use an address of noop0: 192\.0\.2\.1/,
  ],
  [
    'another device',
    `meet(1, {}, '192.0.2.3')`,
    'ERR_RDMA_ADDRESS',
    /192\.0\.2\.3 is reached through noop1, not noop0/,
  ],
  [
    'a foreign source',
    `meet(1, { localHost: '10.9.9.9' })`,
    'ERR_RDMA_ADDRESS',
    /10\.9\.9\.9 is no address of noop0; it has 192\.0\.2\.1/,
  ],
  ['another UDP port', `meet(1, { udpPort: 5000 })`, 'ERR_RDMA_INVALID_ARGUMENT', /4791 only.*5000/],
  [
    'no address at all',
    `meet(1, {}, 'example.org')`,
    'ERR_RDMA_INVALID_ARGUMENT',
    /'example\.org' is no address/,
  ],
  ['the device is removed', `meet(9903)`, 'ERR_RDMA_NO_DEVICE', /noop0 was removed/],
  ['a peer without a path MTU', `meet(9904)`, 'ERR_RDMA_INVALID_ARGUMENT', /EINVAL/],
  ['nobody answers, says the kernel', `meet(9901)`, 'unreachable', undefined],
  ['nobody answers in time', `meet(9902, { timeoutMillis: 200 })`, 'unreachable', undefined],
];
for (const [name, call, end, message] of FAILURES) {
  test(`connecting fails once, in words: ${name}`, { skip: missing }, () => {
    const code = `const client = ${call};
      const event = plain(await client.next());
      await new Promise((resolve) => setTimeout(resolve, 50));
      await client.id.close();
      await device.close({ force: true });
      return [event, client.heard.length];`;
    const [event, more] = play(code) as [{ type: string; error?: Told }, number];
    assert.equal(event.error?.code ?? event.type, end);
    if (message !== undefined) assert.match(event.error?.message ?? '', message);
    assert.equal(more, 0);
  });
}

test('of several endings the first is told, and nothing after it', { skip: missing }, () => {
  const code = `const client = meet(9905);
    const first = plain(await client.next());
    await new Promise((resolve) => setTimeout(resolve, 50));
    await device.close({ force: true });
    return [first.type, first.reason, client.heard.length];`;
  assert.deepEqual(play(code), ['rejected', 8, 0]);
});

test('a connection outlives the time limit of its meeting, and what happens before anybody listens is kept', {
  skip: missing,
}, () => {
  const code = `const server = await serve();
    const client = meet(server.port, { timeoutMillis: 300 });
    const request = await server.next();
    await request.id.accept(own());
    await client.next();
    await client.id.establish();
    await new Promise((resolve) => setTimeout(resolve, 600));
    const early = await follow(request).next();
    const found = [client.heard.length, early];
    await device.close({ force: true });
    return found;`;
  assert.deepEqual(play(code), [0, { type: 'established' }]);
});

test('an end that nobody answers is told as one', { skip: missing }, () => {
  const code = `const server = await serve();
    const client = meet(server.port);
    await (await server.next()).id.accept(own());
    await client.next();
    await client.id.establish();
    await client.id.disconnect();
    await client.id.disconnect();
    const end = await client.next();
    await device.close({ force: true });
    return end;`;
  assert.deepEqual(play(code, { STAND_IN_LOSE_DREQ: '1' }), {
    type: 'disconnected',
    byPeer: false,
    answered: false,
  });
});

test('listening fails in words', { skip: missing }, () => {
  const code = `const server = await serve();
    const at = (host, port) => fail(manager.listen({ host, port, backlog: 1 }, () => {}));
    const errors = [await at('192.0.2.1', server.port), await at('198.51.100.1', 0), await at('192.0.2.2', 0), await at('nowhere', 0), await at(null, server.port)];
    await device.close({ force: true });
    return errors;`;
  const errors = play(code) as Told[];
  const wanted: readonly [string, RegExp][] = [
    ['ERR_RDMA_ADDRESS', /port \d+ of 192\.0\.2\.1 is taken/],
    ['ERR_RDMA_ADDRESS', /198\.51\.100\.1 is no address of noop0; it has 192\.0\.2\.1/],
    ['ERR_RDMA_ADDRESS', /192\.0\.2\.2 is no address of noop0/],
    ['ERR_RDMA_INVALID_ARGUMENT', /'nowhere' is no address/],
    ['ERR_RDMA_ADDRESS', /port \d+ of all addresses is taken/],
  ];
  for (const [i, [errorCode, message]] of wanted.entries()) {
    assert.equal(errors[i]?.code, errorCode);
    assert.match(errors[i]?.message ?? '', message);
  }
});

test('a request through another device, or beyond the backlog, is refused without the program', {
  skip: missing,
}, () => {
  const code = `const other = await serve(9990, { host: null });
    const strange = plain(await meet(9990).next());
    const server = await serve(0, { backlog: 1 });
    const first = meet(server.port);
    const request = await server.next();
    const second = plain(await meet(server.port).next());
    await request.id.accept(own());
    const third = meet(server.port);
    const again = await server.next();
    await again.id.close();
    await device.close({ force: true });
    return [strange.reason, other.heard.length, second.reason, (await first.next()).type];`;
  assert.deepEqual(play(code), [28, 0, 28, 'response']);
});

test('what the kernel would refuse without a word is refused with one', { skip: missing }, () => {
  const code = `const server = await serve();
    const wrong = (more) => fail((async () => meet(server.port, more))());
    const errors = [await wrong({ privateData: new Uint8Array(57) }), await wrong({ responderResources: 17 })];
    const client = meet(server.port);
    const request = await server.next();
    errors.push(await fail(request.id.accept(own({ privateData: new Uint8Array(197) }))));
    errors.push(await fail(request.id.reject(28, new Uint8Array(149))));
    await client.id.close();
    errors.push(await fail(request.id.accept(own())));
    await request.id.reject(28, new Uint8Array());
    await request.id.close();
    errors.push(await fail(request.id.accept(own())));
    await device.close({ force: true });
    return errors;`;
  const errors = play(code) as Told[];
  assert.deepEqual(
    errors.map((error) => error.code),
    [
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_CONNECTION_LOST',
      'ERR_RDMA_CLOSED',
    ],
  );
  assert.match(errors[0]?.message ?? '', /57 bytes.*56/);
  assert.match(errors[1]?.message ?? '', /responderResources 17.*noop0.*16/);
  assert.match(errors[4]?.message ?? '', /192\.0\.2\.1:\d+ has given the connection up/);
});

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

test('a listener that throws hears the next event, and what it threw is reported', { skip: missing }, () => {
  const code = `const reported = [];
    process.on('uncaughtException', ({ message }) => reported.push(message));
    const heard = new Heard();
    const angry = (event) => { heard.add(event); throw new Error(event.type); };
    const listener = await manager.listen({ host: '192.0.2.1', port: 0, backlog: 8 }, (request) => { heard.add(request); throw new Error('request'); });
    const remote = { host: '192.0.2.1', port: listener.address.port };
    const client = manager.connect({ remote, timeoutMillis: 5000, ...own() }, angry);
    const request = await heard.next();
    request.onEvent(angry);
    await request.id.accept(own());
    const types = [(await heard.next()).type];
    await client.establish();
    types.push((await heard.next()).type);
    await client.disconnect();
    types.push((await heard.next()).type);
    await request.id.disconnect();
    types.push((await heard.next()).type);
    manager.lookUp({ remote, privateData: new Uint8Array(), timeoutMillis: 5000 }, angry);
    types.push((await heard.next()).type);
    await new Promise((resolve) => setImmediate(resolve));
    await device.close({ force: true });
    return [types, reported, heard.items.length];`;
  const types = ['response', 'established', 'disconnected', 'disconnected', 'refused'];
  assert.deepEqual(play(code), [types, ['request', ...types], 0]);
});

test('a listener is closed when the last of its requests has been told', { skip: missing }, () => {
  const code = `const server = await serve();
    const client = meet(server.port);
    while (device.census().cmIds < 3) await new Promise((resolve) => setImmediate(resolve));
    await server.listener.close();
    const [request] = server.heard;
    await request.id.close();
    await client.id.close();
    await device.close();
    return 'closed';`;
  assert.equal(play(code), 'closed');
});

test('an id can be closed at any time, and tells nothing from then on', { skip: missing }, () => {
  const code = `const server = await serve();
    const clients = [];
    for (let turns = 0; turns < 12; turns++) {
      const client = meet(server.port);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      client.heard.length = 0;
      await client.id.close();
      await client.id.close();
      clients.push(client);
    }
    await server.listener.close();
    await server.listener.close();
    await device.close({ force: true });
    return clients.map(({ heard }) => heard.length);`;
  assert.deepEqual(
    play(code),
    Array.from({ length: 12 }, () => 0),
  );
});

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
