/**
 * One program, two libraries: the tests of behaviour run with node:net and with queuepair/net, and both must pass. What a row
 * needs beyond a changed import (credentials) is here.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as nodeNet from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../src/cli/package-root.js';
import * as ourNet from '../../src/net.js';
import { openDevice } from '../../src/open-device.js';
import { FREE_DEVICE, testCertificates } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

const BRIEF_WORLD = 'queuepair/net by connections that leave their session';
export const PLAIN_WORLD = 'queuepair/net by rsocket';
/** What has not come by then, on whatever machine, does not come. */
export const SURE_MILLIS = 10_000;

export interface World {
  readonly name: string;
  readonly isOurs: boolean;
  readonly net: typeof nodeNet;
  /** Options without which queuepair/net takes no sockets. */
  readonly serverOptions: object;
  readonly clientOptions: object;
}

const { caPem, server } = await testCertificates();
const plainDevice = await openDevice(FREE_DEVICE);
after(async () => {
  // The last word of a connection may still be on its way.
  const end = performance.now() + SURE_MILLIS;
  while (performance.now() < end) {
    try {
      return await plainDevice.close();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  await plainDevice.close();
});
const PLAIN = { rdma: 'rsocket', device: plainDevice, udpPort: (await plainDevice.queryPort()).udpPort };

const SECURE = {
  isOurs: true,
  net: ourNet as unknown as typeof nodeNet,
  serverOptions: { cert: server.certPem, key: server.keyPem, device: FREE_DEVICE },
  clientOptions: { ca: caPem, device: FREE_DEVICE },
};

export const WORLDS: readonly World[] = [
  { name: 'node:net', isOurs: false, net: nodeNet, serverOptions: {}, clientOptions: {} },
  { ...SECURE, name: 'queuepair/net' },
  {
    name: PLAIN_WORLD,
    isOurs: true,
    net: ourNet as unknown as typeof nodeNet,
    serverOptions: PLAIN,
    clientOptions: PLAIN,
  },
];

/** Of what flows and how it ends, rows hold there as well. */
const BRIEF: World = {
  ...SECURE,
  name: BRIEF_WORLD,
  serverOptions: { ...SECURE.serverOptions, lifeline: 'brief' },
  clientOptions: { ...SECURE.clientOptions, lifeline: 'brief' },
};
const WITH_BRIEF = ['flow', 'ending'];

/** What a program sees, and where one of the libraries differs: then the row is not run with it, and docs/net.md says so. */
export type Row = readonly [
  sentence: string,
  run: (world: World) => Promise<void>,
  differs?: Readonly<Record<string, string>>,
];

/** Runs the rows of the test file `name` with each library. docs/net.md has them as a table under its name, and nothing else there. */
export function testRows(name: string, rows: readonly Row[]): void {
  test('docs/net.md has these rows, and what differs', () => {
    const expected = rows.map(
      ([sentence, , differs = {}]) => `| ${sentence} | ${differs[PLAIN_WORLD] ?? 'the same'} |`,
    );
    assert.deepEqual(rowsUnder(`test/net/${name}.test.ts`), expected);
  });
  for (const world of WITH_BRIEF.includes(name) ? [...WORLDS, BRIEF] : WORLDS) {
    for (const [sentence, run, differs = {}] of rows) {
      const skip = differs[world.name] ?? false;
      test(`${world.name}: ${sentence}`, { timeout: 30_000, skip }, () => run(world));
    }
  }
}

/** Those of the table whose heading names the test file. */
function rowsUnder(file: string): readonly string[] {
  const document = readFileSync(join(packageRoot(), 'docs', 'net.md'), 'utf8');
  const section = document.split(/^##+ /m).find((part) => part.split('\n', 1)[0]?.endsWith(`(\`${file}\`)`));
  assert.ok(section !== undefined, `docs/net.md has no heading that ends with (\`${file}\`)`);
  return section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1);
}

/** A server that listens on a free port of 127.0.0.1. */
export async function listening(
  { net, serverOptions }: World,
  onConnection?: (socket: nodeNet.Socket) => void,
  options: nodeNet.ServerOpts = {},
): Promise<nodeNet.Server> {
  const made = net.createServer({ ...serverOptions, ...options }, onConnection);
  made.listen(0, '127.0.0.1');
  await once(made, 'listening');
  return made;
}

export const portOf = (server: nodeNet.Server): number => (server.address() as nodeNet.AddressInfo).port;

/** A socket on its way to the server. */
export function connecting(
  { net, clientOptions }: World,
  server: nodeNet.Server,
  options: Partial<nodeNet.NetConnectOpts> = {},
): nodeNet.Socket {
  return net.connect({ host: '127.0.0.1', port: portOf(server), ...clientOptions, ...options });
}

export interface Pair {
  readonly server: nodeNet.Server;
  readonly client: nodeNet.Socket;
  /** The socket that the server took. */
  readonly taken: nodeNet.Socket;
}

export interface PairOptions {
  readonly server?: nodeNet.ServerOpts;
  readonly client?: Partial<nodeNet.NetConnectOpts>;
}

/** Both ends of a connection. The client has said hello, and the server has read it. */
export async function pair(world: World, options: PairOptions = {}): Promise<Pair> {
  const server = await listening(world, undefined, options.server);
  const taking = once(server, 'connection') as Promise<[nodeNet.Socket]>;
  const client = connecting(world, server, options.client);
  const [[taken]] = await Promise.all([taking, once(client, 'connect')]);
  return { server, client, taken };
}

/** Ends what is left, and sees the server close. */
export async function over({ server, client, taken }: Pair): Promise<void> {
  for (const socket of [client, taken]) socket.on('error', () => {}).destroy();
  await closing(server);
}

export async function closing(server: nodeNet.Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

/** All that the socket still gives, as text. */
export async function rest(socket: nodeNet.Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** Resolves with what `close` says of errors. */
export function closed(socket: nodeNet.Socket): Promise<boolean> {
  return within(new Promise((resolve) => socket.once('close', resolve)), SURE_MILLIS);
}

export async function failure(emitter: nodeNet.Socket | nodeNet.Server): Promise<NodeJS.ErrnoException> {
  const error = await within(new Promise<unknown>((resolve) => emitter.once('error', resolve)), SURE_MILLIS);
  assert.ok(error instanceof Error);
  return error;
}
