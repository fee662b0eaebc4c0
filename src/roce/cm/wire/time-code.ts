/**
 * Times of the communication manager are 5-bit codes: code t stands for 4.096 µs × 2^t.
 *
 * Invariant: milliseconds are counted as Linux counts them, 2^(t - 8) and at least 1, so that both ends expect the same.
 */

export const MAX_TIME_CODE = 31;
/** Linux's delay of an acknowledgement, and what rxe reports. */
export const DEFAULT_ACK_DELAY = 15;

export const timeCodeMillis = (code: number): number => 2 ** Math.max(code - 8, 0);

/**
 * The local ACK timeout of a path whose packets live for `packetLifetime` towards a peer that takes `ackDelay` to
 * acknowledge: a code that covers there and back, and the delay.
 */
export function ackTimeoutCode(packetLifetime: number, ackDelay: number): number {
  const path = packetLifetime + 1;
  const code =
    path >= ackDelay ? path + (ackDelay >= path - 1 ? 1 : 0) : ackDelay + (path >= ackDelay - 1 ? 1 : 0);
  return Math.min(code, MAX_TIME_CODE);
}
