/** Standard output may be a TCP socket, as under inetd: it is none of the server's own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { devCerts, FREE_DEVICE } from '../../testkit/program.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

test('a server whose output is a socket leaves nothing over, and ends well', async () => {
  const reader = createServer().listen(0, '127.0.0.1');
  await once(reader, 'listening');
  const arriving = once(reader, 'connection') as Promise<[Socket]>;
  const output = connect((reader.address() as AddressInfo).port, '127.0.0.1');
  const [[arrived]] = await Promise.all([arriving, once(output, 'connect')]);
  const args = ['serve', '--json', '--port', '0', ...FREE_DEVICE, ...devCerts()];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', output, 'inherit'] });
  const ended = once(child, 'close') as Promise<[number | null]>;
  output.destroy();
  let last: { event?: string; leaked?: number; objects?: object } = {};
  for await (const line of createInterface({ input: arrived })) {
    last = JSON.parse(line);
    if (last.event === 'listening') child.kill('SIGTERM');
    if (last.event === 'census') break;
  }
  assert.equal(last.leaked, 0, JSON.stringify(last.objects));
  const [code] = await ended;
  assert.equal(code, 0);
  arrived.destroy();
  reader.close();
});
