/**
 * riostream with -I 1 -S 1000 -C COUNT -T v: each end offers memory, and writes that of the other COUNT times; the last write
 * has a marker in its last byte, for which the other end looks.
 */
import type { Player } from '../player.js';
import { endOf, leave, oneStream, Pieces, write } from './one-stream.js';

const SYNC_BYTES = 16;
const TRANSFER_BYTES = 1000;
const MARKED_AT = TRANSFER_BYTES - 1;
const NO_MARKER = 0xff;
const CLIENT_MARKER = 0;
const SERVER_MARKER = 1;
const LOOK_MILLIS = 30_000;

export const riostream: Player = async (options) => {
  const isClient = options.host !== undefined;
  const { stream, channel, over } = await oneStream(options, { iomapEntries: 1 });
  const pieces = new Pieces(stream);
  const offer = await channel.iomap.offer(TRANSFER_BYTES);
  offer.bytes[MARKED_AT] = NO_MARKER;
  for (const isOurs of [isClient, !isClient]) {
    if (isOurs) await write(stream, new Uint8Array(SYNC_BYTES));
    else await pieces.next(SYNC_BYTES);
  }
  await channel.iomap.untilOffered(0, TRANSFER_BYTES);
  const send = async (marker: number): Promise<void> => {
    const bytes = new Uint8Array(TRANSFER_BYTES);
    bytes[MARKED_AT] = NO_MARKER;
    for (let i = 1; i < options.count; i++) await channel.iomap.write(0, bytes);
    for (let i = 0; i < MARKED_AT; i++) bytes[i] = i;
    bytes[MARKED_AT] = marker;
    await channel.iomap.write(0, bytes);
  };
  const look = async (marker: number): Promise<void> => {
    const deadline = performance.now() + LOOK_MILLIS;
    while (offer.bytes[MARKED_AT] !== marker) {
      if (performance.now() > deadline) throw new Error(`no marker ${marker} came`);
      await new Promise(setImmediate);
    }
    for (let i = 0; i < MARKED_AT; i++) {
      if (offer.bytes[i] !== (i & 0xff)) throw new Error(`byte ${i} of the memory is ${offer.bytes[i]}`);
    }
  };
  if (isClient) {
    await send(CLIENT_MARKER);
    await look(SERVER_MARKER);
  } else {
    await look(CLIENT_MARKER);
    await send(SERVER_MARKER);
  }
  if (isClient) leave(stream);
  else await endOf(stream, pieces);
  await over();
  return { writes: options.count };
};
