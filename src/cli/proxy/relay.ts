/**
 * Joins two sockets: what one reads the other writes, at the pace of the slower one. An end travels as an end, so that the other
 * direction goes on; a failure travels as a reset.
 *
 * Invariants: both sockets close; the promise never rejects.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What is common to sockets of node:net and of `queuepair/net`. */
export interface RelaySocket extends Duplex {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  resetAndDestroy(): this;
}

export interface Relayed {
  /** Bytes from the socket that came to the proxy to the one that it opened, and back. */
  readonly bytesThere: number;
  readonly bytesBack: number;
  /** Which side failed and how; `undefined` when both sides ended in order. */
  readonly failure: { readonly side: 'incoming' | 'outgoing'; readonly error: Error } | undefined;
}

export async function relay(incoming: RelaySocket, outgoing: RelaySocket): Promise<Relayed> {
  let failure: Relayed['failure'];
  const fail = (side: 'incoming' | 'outgoing', other: RelaySocket) => (error: Error) => {
    failure ??= { side, error };
    reset(other);
  };
  incoming.on('error', fail('incoming', outgoing));
  outgoing.on('error', fail('outgoing', incoming));
  // It was reset while the other side was reached.
  if (incoming.destroyed) fail('incoming', outgoing)(incoming.errored ?? new Error('the socket was closed'));
  const closed = Promise.all([incoming, outgoing].map(closing));
  incoming.pipe(outgoing);
  outgoing.pipe(incoming);
  await closed;
  return { bytesThere: incoming.bytesRead, bytesBack: outgoing.bytesRead, failure };
}

/** Node.js refuses to reset a socket of its own while it ends, which would then never close. Its peer has had all of that direction. */
function reset(socket: RelaySocket): void {
  if (socket instanceof Socket && socket.writableEnded) socket.destroySoon();
  else socket.resetAndDestroy();
}

function closing(socket: RelaySocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
