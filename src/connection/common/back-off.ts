/**
 * A pause that has doubled `doublings` times since `firstMillis`, `longestMillis` at most, less up to a half by chance: many that
 * fail in the same moment do not come back in the same one. `random`: from 0 to 1.
 */
export function backOffMillis(
  firstMillis: number,
  longestMillis: number,
  doublings: number,
  random: () => number,
): number {
  return Math.min(longestMillis, firstMillis * 2 ** doublings) * (0.5 + random() / 2);
}
