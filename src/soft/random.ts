/** Random numbers of the CSPRNG, taken from it in blocks. */
import { randomFillSync } from 'node:crypto';

const pool = new Uint32Array(256);
let used = pool.length;

export function randomU32(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const value = pool[used] as number;
  // What was handed out must not be readable from here later.
  pool[used++] = 0;
  return value;
}
