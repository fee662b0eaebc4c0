/** node:http as it is, over queuepair/net by rsocket: a server of COUNT bytes, or a client that fetches what there is. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { connect, createServer as createNetServer, type Socket } from '../../../../src/net.js';
import type { Device } from '../../../../src/verbs/device.js';
import { type Player, type PlayerOptions, TIMEOUT_MILLIS } from '../player.js';
import { hashOf, sampleHash, sampleStream } from './sample.js';

const LOOK_MILLIS = 20;

export const http: Player = (options) => (options.host === undefined ? serve(options) : fetchAll(options));

/** One client. */
async function serve({ device, port, bind, count, onListening }: PlayerOptions): ReturnType<Player> {
  const web = createServer((_request, response) => {
    response.setHeader('content-length', count);
    pipeline(sampleStream(count), response).catch(() => {});
  });
  const server = createNetServer({ rdma: 'rsocket', device, allowHalfOpen: true }, (socket) => {
    web.emit('connection', socket);
  });
  server.listen({ port, ...(bind === undefined ? {} : { host: bind }) }, onListening);
  const [socket] = (await once(server, 'connection')) as [Socket];
  // A client that quits without a word resets it, when all has arrived.
  await new Promise((resolve) => socket.once('close', resolve));
  server.close();
  await once(server, 'close');
  await lastWords(device);
  return { bytes: count, sha256: sampleHash(count) };
}

async function fetchAll({ device, host = '', port }: PlayerOptions): ReturnType<Player> {
  const socket = connect({ rdma: 'rsocket', device, host, port });
  const isClosed = new Promise((resolve) => socket.once('close', resolve));
  const request = get({ createConnection: () => socket, path: '/' });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const came = await hashOf(response);
  await isClosed;
  await lastWords(device);
  return { ...came, status: response.statusCode ?? 0 };
}

/** A socket is closed for its program before its peer has heard so; the player closes its device by force. */
async function lastWords(device: Device): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MILLIS;
  while (device.census().cmIds > 0 && performance.now() < deadline) await setTimeout(LOOK_MILLIS);
}
