/** Why a REJ is sent (IBTA table 109), by number. These are the ones that this host sends or tells apart. */
export const RejectReason = {
  TIMEOUT: 4,
  INVALID_SERVICE_ID: 8,
  INVALID_TRANSPORT: 9,
  STALE_CONNECTION: 10,
  INVALID_GID: 12,
  INVALID_ALTERNATE_GID: 18,
  INVALID_MTU: 26,
  CONSUMER: 28,
} as const;
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason];
