/** A server under a service manager: its socket, what it says of itself, and systemd with the units of docs/recipes/systemd/. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ServiceManager } from '../../src/cli/service-manager.js';
import { devCerts, FREE_DEVICE, runProgram, testDir } from '../../testkit/program.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const SERVE = [MAIN, 'serve', '--json', ...FREE_DEVICE];
const hasTool = (name: string): boolean => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
const without = (...tools: string[]): string | false => {
  const missing = tools.filter((tool) => !hasTool(tool));
  return missing.length > 0 && `needs ${missing.join(', ')}`;
};

const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process whose lines are waited for. */
class Lines {
  readonly all: string[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  #wake = (): void => {};

  constructor(child: ChildProcess) {
    this.child = child;
    children.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.all.push(line);
        this.#wake();
      });
    }
    this.ended = once(child, 'close').then(([code]) => {
      children.delete(child);
      this.#wake();
      return code as number | null;
    });
  }

  async until(wanted: RegExp, times = 1): Promise<string> {
    for (;;) {
      const found = this.all.filter((line) => wanted.test(line));
      if (found.length >= times) return found[times - 1] ?? '';
      if (!children.has(this.child)) assert.fail(`no ${wanted}:\n${this.all.join('\n')}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Node.js has no word for it. */
const descriptorOf = (socket: Server): number =>
  (socket as unknown as { _handle: { fd: number } })._handle.fd;

/** The server with `socket` as descriptor 3, as a service manager starts it. */
function activated(socket: Server | 'ignore', env: Record<string, string>, ...flags: string[]): Lines {
  // Whom the socket is meant for is known to the process alone.
  const script = 'LISTEN_PID=$$ exec "$@"';
  return new Lines(
    spawn('/bin/sh', ['-c', script, 'sh', process.execPath, ...SERVE, ...devCerts(), ...flags], {
      stdio: ['ignore', 'pipe', 'pipe', socket === 'ignore' ? socket : descriptorOf(socket)],
      env: { ...process.env, LISTEN_FDS: '1', ...env },
    }),
  );
}

async function listening(host = '127.0.0.1'): Promise<{ socket: Server; port: number }> {
  const socket = createServer().listen(0, host);
  await once(socket, 'listening');
  return { socket, port: (socket.address() as { port: number }).port };
}

const client = (port: number): ReturnType<typeof runProgram> =>
  runProgram(['connect', `127.0.0.1:${port}`, ...FREE_DEVICE, ...devCerts(), '--exec', 'send hi; quit']);

test('a server takes the socket that it is handed, with clients that came before it ran', async () => {
  const { socket, port } = await listening();
  const server = activated(socket, {});
  // From here on the port is the server's alone, which has hardly begun: whoever comes waits.
  socket.close();
  const early = client(port);
  const { port: told, host } = JSON.parse(await server.until(/"listening"/)) as {
    port: number;
    host: string;
  };
  assert.deepEqual([host, told], ['127.0.0.1', port]);
  const { code, stderr } = await early;
  assert.equal(code, 0, stderr);
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0, server.all.join('\n'));
});

test('a socket that listens elsewhere than the device is, none of TCP, or more than one are one sentence each', async () => {
  const { socket } = await listening('0.0.0.0');
  const elsewhere = activated(socket, {});
  socket.close();
  assert.match(
    await elsewhere.until(/listens at 0\.0\.0\.0, and host says 127\.0\.0\.1: give the same address/),
    /error/,
  );
  assert.equal(await elsewhere.ended, 1);
  const path = createServer().listen(join(testDir(), 'no-tcp'));
  await once(path, 'listening');
  const local = activated(path, {});
  path.close();
  await local.until(/the socket of fd is none of TCP/);
  const many = activated('ignore', { LISTEN_FDS: '2' });
  await many.until(/hands over 2 sockets \(LISTEN_FDS\); a server takes one/);
  const nothing = activated('ignore', {});
  await nothing.until(/cannot listen on descriptor 3/);
});

test('what is meant for another process is not taken, and children inherit nothing of it', () => {
  const env = {
    LISTEN_PID: '7',
    LISTEN_FDS: '1',
    WATCHDOG_PID: '7',
    WATCHDOG_USEC: '1000000',
    NOTIFY_SOCKET: '',
    KEPT: 'yes',
  };
  assert.equal(new ServiceManager({ ...env }, 8).fd, undefined);
  const taken: Record<string, string | undefined> = { ...env };
  assert.equal(new ServiceManager(taken, 7).fd, 3);
  assert.deepEqual(taken, { KEPT: 'yes' });
});

/** A datagram socket of the UNIX domain; prints each datagram as a line. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(4096).decode().replace('\\n', ' '), flush=True)
`;

test('the service manager hears when the server is ready, that it is alive, and when it stops', {
  skip: without('systemd-notify', 'python3'),
}, async () => {
  const path = join(testDir(), 'notify');
  const manager = new Lines(
    spawn('python3', ['-c', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  await manager.until(/bound/);
  const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '400000' };
  const { socket, port } = await listening();
  const server = activated(socket, env);
  socket.close();
  assert.match(await manager.until(/READY=1/), new RegExp(`STATUS=serving 127.0.0.1 port ${port}`));
  await manager.until(/WATCHDOG=1/, 3);
  server.child.kill('SIGTERM');
  await manager.until(/STOPPING=1/);
  assert.equal(await server.ended, 0);
  manager.child.kill('SIGKILL');
  await manager.ended;
});

test('a server whose service manager cannot be told runs on, and says so once', async () => {
  const { socket, port } = await listening();
  const server = activated(socket, { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '20000', PATH: testDir() });
  socket.close();
  await server.until(/systemd-notify cannot be run/);
  assert.equal((await client(port)).code, 0);
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  assert.equal(server.all.filter((line) => line.includes('cannot be run')).length, 1);
});
