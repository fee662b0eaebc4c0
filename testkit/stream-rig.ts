/** Two programs with a connection, for tests of its streams, and what they write to and read from streams. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { ConnectOptions } from '../src/connection/options/connect-options.js';
import type { ListenOptions } from '../src/connection/options/listen-options.js';
import type { Connection } from '../src/connection/program/connection.js';
import type { ConnectionStream } from '../src/connection/program/connection-stream.js';
import type { Server } from '../src/connection/server/server.js';
import type { RdmaError } from '../src/verbs/errors.js';
import { Random } from './random.js';
import { connectTo, serverIsEmpty, startServer } from './session-pair.js';

export interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly client: Connection;
  /** The server's end. */
  readonly peer: Connection;
}

/** A client and a server of which `onStream` gets the streams that the client opens. */
export async function startStreams(
  onStream: ((stream: ConnectionStream, connection: Connection) => void) | null,
  serverOptions: Partial<ListenOptions> = {},
  clientOptions: Partial<ConnectOptions> = {},
): Promise<Rig> {
  const connected: Connection[] = [];
  const server = await startServer(async (connection) => {
    connected.push(connection);
    if (onStream !== null) {
      connection.on('stream', (stream) => {
        // A test that expects an error awaits it; those at the end of the connection are no news.
        stream.on('error', () => {});
        onStream(stream, connection);
      });
    }
    for await (const { data } of connection) await connection.send(data);
  }, serverOptions);
  const client = await connectTo(server, clientOptions);
  while (connected.length === 0) await turn();
  const [peer] = connected;
  assert.ok(peer !== undefined);
  const isBrief = serverOptions.lifeline === 'brief' && clientOptions.lifeline === 'brief';
  while (isBrief && (client.session !== 'left' || peer.session !== 'left')) await turn();
  return {
    server,
    client,
    peer,
    async [Symbol.asyncDispose]() {
      await client.close();
      await serverIsEmpty(server);
      await server.close();
    },
  };
}

export const echo = (stream: ConnectionStream): void => void pipeline(stream, stream).catch(() => {});

/** Not by `for await`, which destroys what it has read to the end. */
export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}

export const failureOf = async (stream: ConnectionStream): Promise<RdmaError> => {
  const [error] = (await once(stream, 'error')) as [RdmaError];
  return error;
};

/** Pseudo-random bytes in chunks of different sizes, and the hash of all of them when they are read. */
export function body(bytes: number, seed: number): { source: Readable; digest: () => string } {
  const random = new Random(seed);
  const hash = createHash('sha256');
  const block = Buffer.from(Array.from({ length: 65_536 + 97 }, () => random.int(0, 255)));
  function* chunks(): Generator<Buffer> {
    for (let left = bytes; left > 0; ) {
      const from = random.int(0, 96);
      const chunk = block.subarray(
        from,
        from + Math.min(left, random.pick([1, 100, 4096, 4097, 30_000, 65_536])),
      );
      hash.update(chunk);
      left -= chunk.length;
      yield Buffer.from(chunk);
    }
  }
  return { source: Readable.from(chunks(), { objectMode: false }), digest: () => hash.digest('hex') };
}

export async function hashOf(stream: Readable): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  await once(stream, 'end');
  return { digest: hash.digest('hex'), bytes };
}
