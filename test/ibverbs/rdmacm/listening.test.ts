/** The connection manager of devices of the operating system: who listens where, and whose requests are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing, play, type Told } from './rdmacm-case.js';

test('listening fails in words', { skip: missing }, () => {
  const code = `const server = await serve();
    const at = (host, port) => fail(manager.listen({ host, port, backlog: 1 }, () => {}));
    const errors = [await at('192.0.2.1', server.port), await at('198.51.100.1', 0), await at('192.0.2.2', 0), await at('nowhere', 0), await at(null, server.port)];
    await device.close({ force: true });
    return errors;`;
  const errors = play(code) as Told[];
  const wanted: readonly [string, RegExp][] = [
    ['ERR_RDMA_ADDRESS', /port \d+ of 192\.0\.2\.1 is taken/],
    ['ERR_RDMA_ADDRESS', /198\.51\.100\.1 is no address of noop0; give one that it has: 192\.0\.2\.1/],
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
