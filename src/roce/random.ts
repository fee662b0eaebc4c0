/**
 * Randomness is an argument of the engine: a device passes a CSPRNG, a simulation a seeded generator. Keys and queue
 * pair numbers are secrets of a sort, so nothing here may be predictable in production.
 */

/** Returns an unsigned 32-bit number, uniformly distributed. */
export type RandomU32 = () => number;
