/**
 * Packet sequence number arithmetic: 24 bits, on a circle. No other file computes with PSNs by hand.
 *
 * Invariants: every PSN that leaves a function is in [0, 2^24). Arguments may be any safe integers, and are taken
 * modulo 2^24: `&` and `<<` reduce modulo 2^32 first, of which 2^24 is a divisor. Of two PSNs, the one that is less
 * than 2^23 steps ahead is the later; exactly 2^23 steps away counts as behind.
 */
import { PSN_MASK } from '../verbs/brands.js';

export { PSN_MASK };

/** The same as this module's own, which engines read faster than an imported one. */
const MASK = PSN_MASK;

/** `psn` moved by `n` steps; `n` may be negative. */
export const psnAdd = (psn: number, n: number): number => (psn + n) & MASK;

/** Signed steps from `b` to `a`, in [-2^23, 2^23). */
export const psnDiff = (a: number, b: number): number => ((a - b) << 8) >> 8;

/** -1, 0 or 1 as `a` is behind, at or ahead of `b`. Not an order: it is not transitive around the circle. */
export function psnCompare(a: number, b: number): number {
  const steps = psnDiff(a, b);
  return steps < 0 ? -1 : steps > 0 ? 1 : 0;
}

/** Unsigned steps ahead from `from` to `to`, in [0, 2^24). */
export const psnDistance = (from: number, to: number): number => (to - from) & MASK;

/** Whether `psn` lies in [first, endExclusive), walking ahead from `first`. Empty where the two are equal. */
export const psnInWindow = (psn: number, first: number, endExclusive: number): boolean =>
  ((psn - first) & MASK) < ((endExclusive - first) & MASK);
