/**
 * Puts a TCP program at the end of rsockets: with a host, TCP clients of PORT here go on as rsockets to PORT there; without,
 * rsocket clients of PORT go on as TCP to PORT of this machine. Until SIGTERM.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { ByteStream } from '../../../../src/connection/byte-stream.js';
import { RsocketTransport } from '../../../../src/net/rsocket/rsocket-transport.js';
import type { TransportStream } from '../../../../src/net/transport.js';
import type { Player } from '../player.js';

const LOOPBACK = '127.0.0.1';

export const relay: Player = async ({ device, host, port, bind = '0.0.0.0', onListening }) => {
  const transport = new RsocketTransport(device);
  const joins: Promise<boolean>[] = [];
  const failures: Error[] = [];
  const onFailure = (error: Error): void => void failures.push(error);
  if (host === undefined) {
    const onStream = (stream: TransportStream): void => {
      const socket = connect({ host: LOOPBACK, port, allowHalfOpen: true });
      joins.push(join(socket, stream));
    };
    await transport.listen({ host: bind, port }, { onStream, onFailure });
    onListening();
  } else {
    const signal = new AbortController().signal;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const stream = transport.connect({ host, addresses: [host], port, signal });
      joins.push(stream.then((opened) => join(socket, opened)));
    });
    await once(server.listen(port, LOOPBACK), 'listening');
    onListening();
  }
  await once(process, 'SIGTERM');
  const whole = (await Promise.allSettled(joins)).filter(
    (ended) => ended.status === 'fulfilled' && ended.value,
  ).length;
  return { connections: joins.length, whole };
};

/** Resolves with whether both directions came to their end in order. */
async function join(socket: Socket, { channel }: TransportStream): Promise<boolean> {
  const stream = new ByteStream();
  stream.attach(channel);
  const ended = await Promise.allSettled([
    pipeline(socket, stream, { end: true }),
    pipeline(stream, socket, { end: true }),
  ]);
  return ended.every(({ status }) => status === 'fulfilled');
}
