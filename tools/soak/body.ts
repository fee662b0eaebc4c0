/** A body of any length that follows from a seed, and costs little to make: no chunk is like another. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Random } from '../../testkit/random.js';

const CHUNK_BYTES = 64 * 1024;

/** `digest` is right when the body was read to its end. `onBytes` hears how much of it has been made. */
export function bodyOf(
  bytes: number,
  seed: number,
  onBytes: (made: number) => void,
): { source: Readable; digest: () => string } {
  const random = new Random(seed);
  const hash = createHash('sha256');
  const block = Buffer.from(Array.from({ length: 2 * CHUNK_BYTES }, () => random.int(0, 255)));
  let made = 0;
  const source = new Readable({
    highWaterMark: CHUNK_BYTES,
    read() {
      if (made === bytes) {
        this.push(null);
        return;
      }
      const from = random.int(0, CHUNK_BYTES - 1);
      const chunk = Buffer.from(block.subarray(from, from + Math.min(CHUNK_BYTES, bytes - made)));
      chunk.writeUIntBE(made % 2 ** 40, 0, Math.min(5, chunk.length));
      hash.update(chunk);
      made += chunk.length;
      onBytes(made);
      this.push(chunk);
    },
  });
  return { source, digest: () => hash.digest('hex') };
}
