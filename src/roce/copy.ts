/**
 * Copies bytes between buffers. Short pieces are copied by a loop, because making the view that `set` needs costs
 * more than moving a few bytes. A source that is copied whole is such a view already.
 */
const LOOP_LIMIT_BYTES = 48;
const WHOLE_LOOP_LIMIT_BYTES = 16;

export function copyBytes(
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
): void {
  if (sourceAt === 0 && length === source.length && length > WHOLE_LOOP_LIMIT_BYTES) {
    target.set(source, targetAt);
  } else if (length > LOOP_LIMIT_BYTES) {
    target.set(source.subarray(sourceAt, sourceAt + length), targetAt);
  } else {
    for (let i = 0; i < length; i++) target[targetAt + i] = source[sourceAt + i] as number;
  }
}
