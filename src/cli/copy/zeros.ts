/** Finds blocks of zeros, which become holes of a file and need not travel. */

/** What file systems can leave out. */
export const ZERO_BLOCK_BYTES = 4096;

const ZEROS = Buffer.alloc(ZERO_BLOCK_BYTES);

/** Whether the block of `bytes` that begins at `at` holds nothing but zeros; the last one may be shorter. */
export function isZero(bytes: Uint8Array, at: number): boolean {
  // Most blocks are told by their first byte.
  if (bytes[at] !== 0) return false;
  const end = Math.min(at + ZERO_BLOCK_BYTES, bytes.length);
  return ZEROS.compare(bytes, at, end, 0, end - at) === 0;
}

export function isAllZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += ZERO_BLOCK_BYTES) if (!isZero(bytes, at)) return false;
  return true;
}
