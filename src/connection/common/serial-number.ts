/**
 * Counters modulo 2^32, as RFC 1982 has them: of two numbers the one that is less than 2^31 steps ahead is the newer. What
 * is compared here is never further apart.
 */

const HALF = 2 ** 31;

export const serialAdd = (counter: number, steps: number): number => (counter + steps) >>> 0;

/** Steps from `from` up to `to`. */
export const serialDistance = (from: number, to: number): number => (to - from) >>> 0;

/** Steps from `from` to `to`, negative when `to` is behind. */
export const serialDifference = (from: number, to: number): number => (to - from) | 0;

/** Whether a limit that was `from` may become `to`: limits never go back. */
export const mayAdvance = (from: number, to: number): boolean => serialDistance(from, to) < HALF;
