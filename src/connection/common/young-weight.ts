/**
 * Has V8 collect its young generation before it marks its whole heap, where a program takes in many bytes.
 *
 * Memory of ArrayBuffers lies outside V8's heap. V8 counts all of it as growth of the old generation, also where the objects are
 * young and dead already. A program that takes in a hundred megabytes a second and makes little else has its whole heap
 * marked every ten of them, by all processors. A collection of the young generation would free the memory at a fiftieth of the
 * cost, but nothing asks for one. Whoever allocates such memory for a moment asks by allocating some of the young generation as well.
 *
 * Measured in docs/performance.md ("Streams").
 */

/** So many bytes outside call for one piece of weight; half of them. */
const BYTES_OF_A_WEIGHT = 64 * 1024;
const WORDS = BYTES_OF_A_WEIGHT / 2 / 8;

/** The last piece; it is held so that it is really made. */
const held: { weight: readonly unknown[] } = { weight: [] };
let unweighed = 0;

/** `bytes` of an ArrayBuffer were allocated, which live for a moment. */
export function weigh(bytes: number): void {
  unweighed += bytes;
  if (unweighed < BYTES_OF_A_WEIGHT) return;
  unweighed = 0;
  held.weight = new Array(WORDS);
}
