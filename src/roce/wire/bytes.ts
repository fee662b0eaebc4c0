/**
 * Big-endian integers in a Uint8Array. A DataView would need an object per buffer; these need none.
 *
 * Invariants: what is read is unsigned; what is written is taken modulo the field's size. The caller has checked that
 * the field lies inside the array (`parsePacket` does): outside of it, reads give 0 and writes do nothing, so that a
 * mistake here can neither throw nor touch other memory.
 */
export const readU16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

export const readU24 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);

export const readU32 = (bytes: Uint8Array, at: number): number => readI32(bytes, at) >>> 0;

/** The 32 bits as a signed number, which the engine holds without boxing. */
export const readI32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 24) |
  ((bytes[at + 1] as number) << 16) |
  ((bytes[at + 2] as number) << 8) |
  (bytes[at + 3] as number);

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

/** Takes signed and unsigned numbers alike. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

const WORD = 0x100000000;
/** Upper words above this make a number that is no longer exact. */
const MAX_VA_HIGH = 0x1fffff;

/** A 64-bit virtual address as a number, or -1 where it is above Number.MAX_SAFE_INTEGER. */
export function readVa(bytes: Uint8Array, at: number): number {
  const high = readU32(bytes, at);
  return high > MAX_VA_HIGH ? -1 : high * WORD + readU32(bytes, at + 4);
}

/** `va` is a safe integer, not negative; `high` counts on top of its upper word, for addresses that no number holds. */
export function writeVa(bytes: Uint8Array, at: number, va: number, high = 0): void {
  writeU32(bytes, at, high + Math.floor(va / WORD));
  writeU32(bytes, at + 4, va);
}
