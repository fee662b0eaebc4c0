/**
 * Why an incoming datagram had no effect. Every datagram is either processed or counted under exactly one of these:
 * nothing is dropped without a name. The names are stable, and appear in `Device.counters()` as `drop_<name>`.
 */
export const DropReason = {
  NONE: 0,
  TOO_SHORT: 1,
  BAD_VERSION: 2,
  UNKNOWN_OPCODE: 3,
  BAD_PAD: 4,
  BAD_LENGTH: 5,
  BAD_ICRC: 6,
  BAD_PKEY: 7,
  UNKNOWN_QPN: 8,
  WRONG_SERVICE: 9,
  WRONG_SOURCE: 10,
  BAD_STATE: 11,
  BAD_QKEY: 12,
  OUT_OF_ORDER: 13,
  DUPLICATE: 14,
  DUPLICATE_UNKNOWN: 15,
  GHOST_ACK: 16,
  GHOST_RESPONSE: 17,
  STALE_RESPONSE: 18,
  RESPONSE_GAP: 19,
  BAD_RESPONSE: 20,
  BAD_SYNDROME: 21,
  BAD_SEQUENCE: 22,
  BAD_OPERATION: 23,
  BAD_RETH: 24,
  NO_RECEIVE: 25,
  REMOTE_ACCESS: 26,
  RECEIVE_TOO_SMALL: 27,
  RECEIVE_PROTECTION: 28,
  NO_RESOURCES: 29,
  TRUNCATED_BY_PORT: 30,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

export const DROP_REASON_COUNT = Object.keys(DropReason).length;

const NAMES = Object.keys(DropReason).map((name) => name.toLowerCase());
/** `bad_icrc` and so on. */
export const dropReasonName = (reason: number): string => NAMES[reason] ?? `reason_${reason}`;
