/** rstream with -I 1 -S 10000 -C COUNT -T v: the client sends COUNT transfers, and then the server as many. */
import type { ByteStream } from '../../../../src/connection/program/byte-stream.js';
import type { Player, PlayerOptions } from '../player.js';
import { endOf, leave, oneStream, Pieces, write } from './one-stream.js';

const SYNC_BYTES = 16;
const TRANSFER_BYTES = 10_000;

export const rstream: Player = (options) =>
  play(options, async (stream, pieces) => {
    if (options.host === undefined) await endOf(stream, pieces);
    else leave(stream);
    return undefined;
  });

/** As rstream, but it waits for the end of the other, and tells how that came. */
export const patientRstream: Player = (options) =>
  play(options, async (stream, pieces) => ({
    ending: await endOf(stream, pieces).then(
      () => 'the end',
      (error: Error) => error.message,
    ),
  }));

type Parting = (stream: ByteStream, pieces: Pieces) => Promise<{ readonly ending: string } | undefined>;

async function play(options: PlayerOptions, part: Parting): ReturnType<Player> {
  const { count, host } = options;
  const { stream, over } = await oneStream(options);
  const pieces = new Pieces(stream);
  const counters = { sent: 0, received: 0 };
  const isClient = host !== undefined;
  const turn = (isOurs: boolean, bytes: number): Promise<void> =>
    isOurs ? send(stream, counters, bytes) : receive(pieces, counters, bytes);
  for (const isOurs of [isClient, !isClient]) await turn(isOurs, SYNC_BYTES);
  for (const isOurs of [isClient, !isClient]) {
    for (let i = 0; i < count; i++) await turn(isOurs, TRANSFER_BYTES);
  }
  const parted = await part(stream, pieces);
  await over();
  return { bytesSent: counters.sent, bytesReceived: counters.received, ...parted };
}

/** Bytes count up, all through the connection. */
async function send(stream: ByteStream, counters: { sent: number }, bytes: number): Promise<void> {
  const buffer = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) buffer[i] = counters.sent + i;
  counters.sent += bytes;
  await write(stream, buffer);
}

async function receive(pieces: Pieces, counters: { received: number }, bytes: number): Promise<void> {
  const buffer = await pieces.next(bytes);
  for (let i = 0; i < bytes; i++) {
    const wanted = (counters.received + i) & 0xff;
    if (buffer[i] !== wanted) throw new Error(`byte ${counters.received + i} is ${buffer[i]}, not ${wanted}`);
  }
  counters.received += bytes;
}
