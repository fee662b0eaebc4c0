/** The connection manager of devices of the operating system: meetings of two ends, and how each of them may end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing, play, type Told } from './rdmacm-case.js';

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

test('a port of RDMA_PS_IB is another than that of RDMA_PS_TCP', { skip: missing }, () => {
  const code = `const IB = 0x013f;
    const server = await serve(7300, { portSpace: IB });
    const refused = plain(await meet(7300).next());
    const client = meet(7300, { portSpace: IB, srq: true, privateData: Buffer.from('hello') });
    const request = await server.next();
    const { srq, privateData } = request.peer;
    await request.id.accept(own({ srq: true }));
    const response = await client.next();
    await device.close({ force: true });
    return { refused, asked: [srq, text(privateData), privateData.length], answered: response.peer.srq };`;
  assert.deepEqual(play(code), {
    refused: { type: 'rejected', reason: 8, privateData: ['', 148] },
    asked: [true, 'hello', 56],
    answered: true,
  });
});

test('a service ID that is no port is refused: programs reach the kernel by ports alone', {
  skip: missing,
}, () => {
  const code = `const service = { serviceId: 0x2c90300421770n };
    const errors = [await fail((async () => meet(0, service))()), await fail(serve(0, service))];
    await device.close({ force: true });
    return errors;`;
  for (const { code: errorCode, message } of play(code) as Told[]) {
    assert.equal(errorCode, 'ERR_RDMA_NOT_SUPPORTED');
    assert.equal(
      message,
      'noop0 has the ports of rdma_cm and no other service IDs: give port, or open a soft device',
    );
  }
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
    /10\.9\.9\.9 is no address of noop0; give one that it has: 192\.0\.2\.1/,
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
