/** Bytes to send about, the same everywhere, and what they hash to. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

const CHUNK_BYTES = 64 * 1024;

/** Chunks of `bytes` in all. No two of a run are alike, so that a lost or doubled one shows. */
export function* sampleChunks(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - at), PATTERN);
    chunk.writeUInt32LE(at / CHUNK_BYTES, 0);
    yield chunk;
  }
}

const PATTERN = Buffer.from(Array.from({ length: 251 }, (_, i) => i));

export const sampleStream = (bytes: number): Readable => Readable.from(sampleChunks(bytes));

export function sampleHash(bytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of sampleChunks(bytes)) hash.update(chunk);
  return hash.digest('hex');
}

/** What came, and its hash. */
export async function hashOf(
  chunks: AsyncIterable<Buffer>,
): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
