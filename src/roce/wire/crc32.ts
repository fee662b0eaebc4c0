/**
 * CRC-32 as in zlib and Ethernet (polynomial 0xEDB88320 reflected, seeded and finally inverted with all ones), by
 * tables, 16 bytes a step. A port that has something faster injects it as a {@link Crc32}.
 *
 * Invariant: `crc32(b, 0, n, 0) === crc32(b, k, n, crc32(b, 0, k, 0))`, as with zlib: a running value is a finished one.
 */

/**
 * CRC-32 of bytes[at, end), continued from `seed` (0 at the start). Unsigned; an empty range gives back the seed, which
 * whoever wraps `zlib.crc32` has to see to: over an array without memory, that returns 0.
 */
export type Crc32 = (bytes: Uint8Array, at: number, end: number, seed: number) => number;

/** The polynomial, bit i of the number being the coefficient of x^(31-i). */
export const CRC32_POLYNOMIAL = 0xedb88320;
const STEP = 16;

/** Row k, column b: the register after byte b and k zero bytes. */
function buildTables(): Int32Array {
  const tables = new Int32Array(STEP * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let register = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      register = (register >>> 1) ^ ((register & 1) === 0 ? 0 : CRC32_POLYNOMIAL);
    }
    tables[byte] = register;
  }
  for (let index = 256; index < tables.length; index += 1) {
    const before = tables[index - 256] as number;
    tables[index] = (before >>> 8) ^ (tables[before & 255] as number);
  }
  return tables;
}

const TABLES = buildTables();

export function crc32(bytes: Uint8Array, at: number, end: number, seed = 0): number {
  const t = TABLES;
  const lastStep = end - STEP;
  let c = ~seed;
  let i = at;
  for (; i <= lastStep; i += STEP) {
    // The 12 look-ups that do not need the register come first, so that they overlap with the step before.
    const ahead =
      (t[0xb00 | (bytes[i + 4] as number)] as number) ^
      (t[0xa00 | (bytes[i + 5] as number)] as number) ^
      (t[0x900 | (bytes[i + 6] as number)] as number) ^
      (t[0x800 | (bytes[i + 7] as number)] as number) ^
      (t[0x700 | (bytes[i + 8] as number)] as number) ^
      (t[0x600 | (bytes[i + 9] as number)] as number) ^
      (t[0x500 | (bytes[i + 10] as number)] as number) ^
      (t[0x400 | (bytes[i + 11] as number)] as number) ^
      (t[0x300 | (bytes[i + 12] as number)] as number) ^
      (t[0x200 | (bytes[i + 13] as number)] as number) ^
      (t[0x100 | (bytes[i + 14] as number)] as number) ^
      (t[bytes[i + 15] as number] as number);
    c ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    c =
      (t[0xf00 | (c & 255)] as number) ^
      (t[0xe00 | ((c >>> 8) & 255)] as number) ^
      (t[0xd00 | ((c >>> 16) & 255)] as number) ^
      (t[0xc00 | (c >>> 24)] as number) ^
      ahead;
  }
  for (; i < end; i += 1) c = (c >>> 8) ^ (t[((bytes[i] as number) ^ c) & 255] as number);
  return ~c >>> 0;
}
