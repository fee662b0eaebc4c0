/** What a server shows of itself over HTTP: true numbers, to those on this machine, and no secrets. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import type { ConnectionStep } from '../../src/connection/steps.js';
import { DASHBOARD_SCRIPT } from '../../src/observe/dashboard/script.js';
import { HttpObserver } from '../../src/observe/http-observer.js';
import type { ServerSnapshot } from '../../src/observe/server-snapshot.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

function get(url: string, options: { host?: string; method?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = options.host === undefined ? {} : { host: options.host };
    const call = request(url, { method: options.method ?? 'GET', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    call.on('error', reject).end();
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

test('the page runs its own script and style and nothing else', async () => {
  const server = await startServer();
  await using observer = await HttpObserver.start(server, 0);
  const pages = [await get(`${observer.url}/`), await get(`${observer.url}/`)];
  const nonces = pages.map(({ headers, text }) => {
    const policy = String(headers['content-security-policy']);
    const [, nonce = ''] = /script-src 'nonce-([^']+)'/.exec(policy) ?? [];
    assert.match(policy, /^default-src 'none';/);
    assert.equal(text.split(`nonce="${nonce}"`).length, 3, 'one style and one script');
    assert.doesNotMatch(text, /<(script|style)>| style="| on\w+="|src=|https?:\/\/(?!www\.w3\.org)/);
    return nonce;
  });
  assert.notEqual(nonces[0], nonces[1]);
  new Script(DASHBOARD_SCRIPT);
  assert.doesNotMatch(DASHBOARD_SCRIPT, /innerHTML|insertAdjacentHTML|document\.write|eval/);
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
