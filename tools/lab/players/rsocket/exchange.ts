/** What nc does: COUNT bytes go out, and what comes in is read to its end. nc leaves at our end, so that it has the first word. */
import { pipeline } from 'node:stream/promises';
import type { Player } from '../player.js';
import { oneStream } from './one-stream.js';
import { hashOf, sampleHash, sampleStream } from './sample.js';

export const exchange: Player = async (options) => {
  const { stream, over } = await oneStream(options);
  const [, came] = await Promise.all([
    pipeline(sampleStream(options.count), stream, { end: false }),
    hashOf(stream.iterator({ destroyOnReturn: false })),
  ]);
  stream.end();
  await over();
  return { ...came, sentSha256: sampleHash(options.count) };
};
