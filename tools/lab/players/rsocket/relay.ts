/**
 * Puts a TCP program at the end of rsockets: with a host, TCP clients of PORT here go on as rsockets to PORT there; without,
 * rsocket clients of PORT go on as TCP to PORT of this machine. Until SIGTERM.
 */
import { once } from 'node:events';
import * as tcp from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as rdma from '../../../../src/net.js';
import type { Player } from '../player.js';

const LOOPBACK = '127.0.0.1';

export const relay: Player = async ({ device, host, port, bind, onListening }) => {
  const joins: Promise<boolean>[] = [];
  const plain = { rdma: 'rsocket', device, allowHalfOpen: true } as const;
  if (host === undefined) {
    const server = rdma.createServer(plain, (socket) => {
      joins.push(join(socket, tcp.connect({ host: LOOPBACK, port, allowHalfOpen: true })));
    });
    server.listen({ port, ...(bind === undefined ? {} : { host: bind }) }, onListening);
  } else {
    const server = tcp.createServer({ allowHalfOpen: true }, (socket) => {
      joins.push(join(socket, rdma.connect({ ...plain, host, port })));
    });
    server.listen(port, LOOPBACK, onListening);
  }
  await once(process, 'SIGTERM');
  const ended = await Promise.all(joins);
  return { connections: joins.length, whole: ended.filter(Boolean).length };
};

/** Resolves with whether both directions came to their end in order. */
async function join(one: Duplex, other: Duplex): Promise<boolean> {
  const ended = await Promise.allSettled([pipeline(one, other), pipeline(other, one)]);
  return ended.every(({ status }) => status === 'fulfilled');
}
