/** What a server shows of itself over HTTP: true numbers, to those on this machine, and no secrets. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { hasSubscribers } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import type { ConnectionStep } from '../../src/connection/common/steps.js';
import { dashboard } from '../../src/observe/dashboard/dashboard.js';
import { HttpObserver } from '../../src/observe/http-observer.js';
import { serverMetrics } from '../../src/observe/server-metrics.js';
import type { ServerSnapshot } from '../../src/observe/server-snapshot.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

const TOKEN = 'a token of many characters'.replaceAll(' ', '-');

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

function get(
  url: string,
  options: { host?: string; method?: string; token?: string; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(options.host === undefined ? {} : { host: options.host }),
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    };
    const call = request(url, { method: options.method ?? 'GET', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    call.on('error', reject).end(options.body);
  });
}

/** The events of one kind, until `wanted` is satisfied. */
async function watch<Data>(url: string, kind: string, wanted: (data: Data) => boolean): Promise<Data> {
  const response = await fetch(`${url}/events`);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  let buffered = '';
  for await (const chunk of response.body ?? []) {
    buffered += Buffer.from(chunk).toString();
    const frames = buffered.split('\n\n');
    buffered = frames.pop() ?? '';
    for (const frame of frames) {
      const [, name, data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(frame) ?? [];
      if (name !== kind) continue;
      const parsed = JSON.parse(data) as Data;
      // Leaving the loop closes the connection.
      if (wanted(parsed)) return parsed;
    }
  }
  return assert.fail(`the stream ended without the ${kind} that was wanted`);
}

test('only requests that name this machine are answered, and only reading ones', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0);
  for (const path of ['/', '/metrics', '/events']) {
    const foreign = await get(observer.url + path, { host: 'attacker.test' });
    assert.equal(foreign.status, 403, path);
    assert.equal((await get(observer.url + path, { method: 'POST' })).status, 405, path);
  }
  assert.equal((await get(`${observer.url}/metrics`, { host: 'localhost:1' })).status, 200);
  assert.equal((await get(`${observer.url}/metrics?x=1`)).status, 200, 'a query is for others');
  assert.equal((await get(`${observer.url}/etc/passwd`)).status, 404);
  await server.close();
});

test('the page gets its script and style from here and nothing from elsewhere, and runs nothing else', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0);
  const page = await get(`${observer.url}/`);
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; /);
  assert.doesNotMatch(page.text, /<style|<script>| style="| on\w+="|https?:/);
  const script = await get(`${observer.url}/dashboard.js`);
  assert.equal(script.headers['content-type'], 'text/javascript; charset=utf-8');
  new Script(script.text);
  assert.doesNotMatch(script.text, /insertAdjacentHTML|document\.write|\beval\(|new Function/);
  const style = await get(`${observer.url}/dashboard.css`);
  assert.equal(style.headers['content-type'], 'text/css; charset=utf-8');
  for (const { text } of [script, style])
    assert.deepEqual(
      text.match(/https?:\/\/[^"'\s)]+/g)?.filter((url) => !url.startsWith('http://www.w3.org/')) ?? [],
      [],
    );
  await server.close();
});

test('metrics and snapshots say what clients did, and no PSN', async () => {
  const steps: ConnectionStep[] = [];
  const server = await startServer(undefined, { revealPsns: true, onStep: (step) => void steps.push(step) });
  const observer = await HttpObserver.start(server, 0);
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  await client.echo(randomBytes(100_000));
  await client.write(randomBytes(50_000));

  const snapshot = await watch<ServerSnapshot>(
    observer.url,
    'snapshot',
    ({ connections: [first] }) => first?.progress?.sent === first?.progress?.acknowledged,
  );
  const [shown] = snapshot.connections;
  assert.equal(snapshot.connections.length, 1);
  assert.deepEqual([shown?.id, shown?.state, shown?.qpn], [1, 'RTS', serverQpn(steps)]);
  assert.deepEqual([shown?.messagesIn, shown?.messagesOut], [2, 3]);
  assert.deepEqual(snapshot.slots, { used: 1, total: 10 });
  const { sent = 0, received = 0 } = shown?.progress ?? {};
  // 100 000 bytes each way in packets of at most 4096, and 50 000 more towards the server.
  assert(sent >= 25, `${sent} packets sent`);
  assert(received >= 25 + 13, `${received} packets received`);

  const { text } = await get(`${observer.url}/metrics`);
  assert.match(text, /^queuepair_connections 1$/m);
  assert.match(text, /^queuepair_messages_total\{direction="in"\} 2$/m);
  assert.match(text, /^queuepair_objects\{kind="qps"\} 1$/m);
  assert.match(text, /^queuepair_device_drops_total\{reason="bad_icrc"\} 0$/m);
  const psns = ['rqPsn', 'sqPsn'].map((name) => steps.find(({ details }) => name in details)?.details[name]);
  for (const psn of psns) {
    assert.equal(typeof psn, 'number');
    assert.equal(new RegExp(`\\b${psn}\\b`).test(text + JSON.stringify(snapshot.connections)), false);
  }

  await connection.close();
  await serverIsEmpty(server);
  const news = await watch<{ text: string }[]>(observer.url, 'news', () => true);
  assert.deepEqual(
    news.map((item) => item.text.replace(/:.*/, '')),
    ['client 1 connected', 'client 1 left in order'],
  );
  await observer.close();
  await server.close();
});

const serverQpn = (steps: readonly ConnectionStep[]): unknown =>
  steps.find(({ name }) => name === 'objects-created')?.details['qpn'];

test('a worker that is stuck does not keep the dashboard from telling of the others', async () => {
  const server = await startWorkerServer(new URL('../../testkit/worker-handler.js', import.meta.url), 2);
  server.on('workerLost', () => {});
  const observer = await HttpObserver.start(server, 0);
  const [stuck, free] = [await join(server), await join(server)];
  await stuck.send('be busy for ever');
  await free.send('hello');
  await free.receive();
  let snapshots = 0;
  const seen = watch<ServerSnapshot>(observer.url, 'snapshot', ({ connections }) => {
    const isFreeShown = connections.some(({ progress }) => (progress?.sent ?? 0) > 0);
    if (isFreeShown && connections.length === 2) snapshots++;
    return snapshots === 3;
  });
  const { connections } = await within(seen, 30_000);
  assert.ok(
    connections.some(({ progress, counters }) => progress === null && Object.keys(counters).length === 0),
  );
  await observer.close();
  await server.close(500);
  await Promise.all([stuck.closed, free.closed]);
});

test('a few may watch at a time, and closing ends them all', async () => {
  const server = await startServer();
  const observer = await HttpObserver.start(server, 0);
  const watchers = await Promise.all(Array.from({ length: 8 }, () => fetch(`${observer.url}/events`)));
  assert.equal((await get(`${observer.url}/events`)).status, 503);
  const ends = watchers.map((response) => response.text().catch(() => ''));
  await observer.close();
  await Promise.all(ends);
  await server.close();
});

test('whoever observes a server is none of its listeners: what its handlers throw is told where nobody listens', async () => {
  const server = await startServer(async () => {
    throw new Error('a mistake');
  });
  const names = server.eventNames();
  await using observer = await HttpObserver.start(server, 0);
  assert.deepEqual(server.eventNames(), names);
  const warned = once(process, 'warning');
  const client = await connectTo(server);
  const [warning] = (await within(warned, 10_000)) as [Error & { code?: string }];
  assert.equal(warning.code, 'RDMA_HANDLER_ERROR');
  assert.match(warning.message, /a mistake/);
  assert.match((await get(`${observer.url}/metrics`)).text, /^queuepair_handler_errors_total 1$/m);
  await client.closed;
  await server.close();
});

test('metrics that were stopped keep what they have counted, and count nothing more', async () => {
  const server = await startServer();
  const metrics = await serverMetrics(server);
  const [first, second] = [await connectTo(server), await connectTo(server)];
  for (const client of [first, second]) await new ServiceClient(client).welcome();
  await first.close();
  const lines = async (): Promise<string[]> =>
    (await metrics.text())
      .split('\n')
      .filter((line) => /^queuepair_(connections_|messages_)\w*total/.test(line));
  metrics.stop();
  const before = await lines();
  assert.ok(before.includes('queuepair_connections_accepted_total 2'), before.join('\n'));
  await second.close();
  await (await connectTo(server)).close();
  await serverIsEmpty(server);
  assert.deepEqual(await lines(), before);
  await server.close();
});

test('a dashboard that was closed shows nobody what happens from then on', async () => {
  const server = await startServer();
  const shown = dashboard(server);
  const http = createServer(shown);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  shown.close();
  const { status, text } = await get(`http://127.0.0.1:${(http.address() as AddressInfo).port}/events`);
  assert.deepEqual([status, text], [503, 'this dashboard was closed\n']);
  http.close();
  await server.close();
});

test('a page from elsewhere can neither take the places of those who watch nor fill the news', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0, { controlToken: TOKEN });
  const ask = async (path: string, site: string, method = 'GET'): Promise<number> => {
    const stop = new AbortController();
    const headers = { 'sec-fetch-site': site };
    const { status } = await fetch(`${observer.url}/${path}`, { method, headers, signal: stop.signal });
    stop.abort();
    return status;
  };
  for (const site of ['cross-site', 'same-site']) {
    assert.equal(await ask('events', site), 403);
    assert.equal(await ask('control', site, 'POST'), 403);
    assert.equal(await ask('', site), 200, 'a link may lead here');
  }
  assert.equal(await ask('events', 'same-origin'), 200);
  assert.equal(await ask('control', 'same-origin', 'POST'), 401);
  await server.close();
});

test('a port that is taken is refused with what to do', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0);
  const { port } = new URL(observer.url);
  await assert.rejects(HttpObserver.start(server, Number(port)), {
    code: 'ERR_RDMA_ADDRESS',
    message: /another program uses that port; choose another/,
  });
  await server.close();
});

test('whoever has the token drains the server, lets clients in again and disconnects one; nobody else does', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0, { controlToken: TOKEN });
  const connection = await connectTo(server);
  const ask = (body: string, token?: string): Promise<Answer> =>
    get(`${observer.url}/control`, { method: 'POST', body, ...(token === undefined ? {} : { token }) });
  const drain = JSON.stringify({ action: 'drain' });
  for (const wrong of [undefined, 'wrong', `${TOKEN}x`, TOKEN.slice(1)])
    assert.equal((await ask(drain, wrong)).status, 401);
  assert.equal(server.isDraining, false);
  assert.equal((await get(`${observer.url}/control`, { token: TOKEN })).status, 404, 'it is asked by POST');
  for (const body of [
    '',
    '{',
    '{}',
    '{"action":"delete"}',
    '{"action":"disconnect"}',
    `{"action":"drain","x":"${'x'.repeat(5000)}"}`,
  ])
    assert.equal((await ask(body, TOKEN)).status, 400, body.slice(0, 40));
  assert.equal((await ask(drain, TOKEN)).status, 200);
  assert.equal(server.isDraining, true);
  assert.equal((await ask('{"action":"admit"}', TOKEN)).status, 200);
  assert.equal(server.isDraining, false);
  assert.equal((await ask('{"action":"disconnect","connection":7}', TOKEN)).status, 404);
  assert.equal((await ask('{"action":"disconnect","connection":1}', TOKEN)).status, 200);
  assert.equal(await connection.closed, undefined);
  await serverIsEmpty(server);
  await server.close();
});

test('without a token a dashboard can only be read', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0);
  const answer = await get(`${observer.url}/control`, {
    method: 'POST',
    body: '{"action":"drain"}',
    token: TOKEN,
  });
  assert.deepEqual([answer.status, server.isDraining], [405, false]);
  const short = HttpObserver.start(server, 0, { controlToken: 'short' });
  await assert.rejects(short, { code: 'ERR_RDMA_INVALID_ARGUMENT', message: /at least 16 characters/ });
  await server.close();
});

test('a dashboard is a handler below a path of an HTTP server of the program', async () => {
  const server = await startServer();
  const shown = dashboard(server, { path: '/admin/rdma/', hosts: ['intranet.test'] });
  const http = createServer((asked, response) =>
    shown(asked, response, () => response.writeHead(200).end('the program')),
  );
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const host = 'intranet.test:8080';
  assert.equal((await get(`${url}/`)).text, 'the program');
  assert.equal((await get(`${url}/admin/rdmax`)).text, 'the program');
  assert.equal((await get(`${url}/admin/rdma/`)).status, 403, 'of another name');
  assert.match((await get(`${url}/admin/rdma/`, { host })).text, /<title>queuepair/);
  assert.equal((await get(`${url}/admin/rdma/dashboard.css`, { host })).status, 200);
  assert.equal((await get(`${url}/admin/rdma/dashboard.html`, { host })).status, 404);
  const moved = await get(`${url}/admin/rdma`, { host });
  assert.deepEqual([moved.status, moved.headers['location']], [308, '/admin/rdma/']);
  assert.throws(() => dashboard(server, { path: 'rdma' }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => dashboard({} as never), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  shown.close();
  http.close();
  await server.close();
});

test('operations are timed while somebody watches, and not before or after', async () => {
  const server = await startServer();
  const observer = dashboard(server);
  const http = createServer(observer);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  assert.equal(hasSubscribers('queuepair:operation'), false, 'also not of observers that could not listen');
  const client = new ServiceClient(await connectTo(server));
  const busy = setInterval(() => void client.echo(randomBytes(100)).catch(() => {}), 5);
  const { connections, steps } = await watch<ServerSnapshot>(
    url,
    'snapshot',
    ({ connections: [first] }) => (first?.latency?.count ?? 0) > 2,
  );
  clearInterval(busy);
  const [{ latency, counters } = {}] = connections;
  assert.ok((latency?.p50 ?? 0) > 0 && (latency?.p50 ?? 0) <= (latency?.p99 ?? 0));
  assert.ok((counters?.['txPackets'] ?? 0) > 0);
  assert.equal(steps['rts']?.count, 1);
  while (hasSubscribers('queuepair:operation')) await new Promise(setImmediate);
  observer.close();
  assert.equal(hasSubscribers('queuepair:step'), false);
  http.closeAllConnections();
  http.close();
  await server.close();
});
