/** node:http as it is, over an rsocket: a server of COUNT bytes, or a client that fetches what there is. */

import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Player, PlayerOptions } from '../player.js';
import { oneStream } from './one-stream.js';
import { hashOf, sampleHash, sampleStream } from './sample.js';

export const http: Player = (options) => (options.host === undefined ? serve(options) : fetchAll(options));

async function serve(options: PlayerOptions): ReturnType<Player> {
  const server = createServer((_request, response) => {
    response.setHeader('content-length', options.count);
    pipeline(sampleStream(options.count), response).catch(() => {});
  });
  const { stream, over } = await oneStream(options);
  server.emit('connection', stream);
  await over();
  return { bytes: options.count, sha256: sampleHash(options.count) };
}

async function fetchAll(options: PlayerOptions): ReturnType<Player> {
  const { stream, over } = await oneStream(options);
  const request = get({ createConnection: () => stream as Duplex, path: '/' });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const came = await hashOf(response);
  await over();
  return { ...came, status: response.statusCode ?? 0 };
}
