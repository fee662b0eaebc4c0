/**
 * Copies bytes between buffers. Short pieces are copied by a loop, because making the view that `set` needs costs
 * more than moving a few bytes.
 */
const LOOP_LIMIT_BYTES = 48;

export function copyBytes(
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
): void {
  if (length > LOOP_LIMIT_BYTES) {
    target.set(source.subarray(sourceAt, sourceAt + length), targetAt);
    return;
  }
  for (let i = 0; i < length; i++) target[targetAt + i] = source[sourceAt + i] as number;
}
