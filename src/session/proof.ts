/**
 * Both ends are ready, but a session that stands says nothing about UDP: until packets have come through, nothing is up.
 *
 * Each end has its own proof: the peer's device acknowledged a message, which took one direction, as the acknowledgement
 * took the other. It says so by `proven`, before anything else, and goes on. So the peer's word is proof as well, also of
 * a peer that has since ended, started over or failed.
 */
import { RdmaError } from '../verbs/errors.js';
import type { ControlChannel } from './control-channel.js';
import { UNEXPECTED_FRAME } from './handshake.js';

/**
 * Resolves when `own` does or the peer says that it has its proof.
 *
 * @throws RdmaError what `own` rejects with, why the channel ended, ERR_RDMA_CONNECTION_LOST when the peer starts over.
 */
export async function untilProven(channel: ControlChannel, own: Promise<void>): Promise<void> {
  const over = new AbortController();
  const word = peersWord(channel, over.signal);
  // Whichever comes second is no news any more.
  word.catch(() => {});
  own.catch(() => {});
  try {
    const isOwn = await Promise.race([own.then(() => true), word.then(() => false)]);
    if (isOwn && channel.end === undefined) channel.send({ type: 'proven' });
  } finally {
    over.abort();
  }
}

/** Other frames than those of a peer that is at the same point stay for the next reader. */
async function peersWord(channel: ControlChannel, over: AbortSignal): Promise<void> {
  for (;;) {
    const { type } = await channel.peek();
    if (over.aborted) return;
    if (type === 'psn' || type === 'bye') {
      const what = type === 'psn' ? 'starts over' : 'said bye';
      const message = `${channel.peerName} ${what} before a packet came through`;
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message);
    }
    if (type !== 'proven' && type !== 'ping' && type !== 'pong') throw unexpected(channel, type);
    await channel.receive();
    if (type === 'ping') channel.send({ type: 'pong' });
    if (type === 'proven') return;
  }
}

function unexpected(channel: ControlChannel, type: string): RdmaError {
  const what = `${UNEXPECTED_FRAME}: it sent "${type}" before a packet came through`;
  const error = new RdmaError(
    'ERR_RDMA_PROTOCOL',
    `${channel.peerName} broke the session protocol (${what})`,
  );
  channel.fail(error, what);
  return error;
}
