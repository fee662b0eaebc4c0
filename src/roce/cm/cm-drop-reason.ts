/**
 * Why a management packet had no effect on a connection. Every packet either has one or is counted under exactly one of
 * these. The names are stable, and appear in counters as `cm_<name>`. Some of them are answered (docs/cm.md says which),
 * and none changes a connection or a request.
 */
export const CmDropReason = {
  NONE: 0,
  /** Not 256 bytes. */
  BAD_LENGTH: 1,
  /** Base version, class version or method of another protocol. */
  BAD_VERSION: 2,
  /** Not of the communication manager. */
  WRONG_CLASS: 3,
  BAD_METHOD: 4,
  UNKNOWN_ATTRIBUTE: 5,
  /** A communication ID or request ID of 0. */
  BAD_ID: 6,
  /** A number that no queue pair has. */
  BAD_QPN: 7,
  /** LAP and APR: RoCE has no alternate paths. */
  ALTERNATE_PATH: 8,
  /** No connection has these communication IDs. */
  UNKNOWN_ID: 9,
  /** The connection's peer has another address. */
  WRONG_SOURCE: 10,
  /** The connection is in a state in which this message says nothing. */
  BAD_STATE: 11,
  /** Came before. */
  DUPLICATE: 12,
  /** A DREQ that names another queue pair. */
  WRONG_QPN: 13,
  /** The sender's queue pair belongs to a connection already. */
  STALE: 14,
  NO_LISTENER: 15,
  /** The service is one for datagrams and the message for connections, or the other way round. */
  WRONG_SERVICE: 16,
  BAD_CMA_HEADER: 17,
  /** The destination in the CMA header is none of this host's addresses. */
  FOREIGN_DESTINATION: 18,
  /** The source in the CMA header is no address of a host. */
  BAD_SOURCE: 19,
  /** The path of a REQ does not lead here, or not from the sender. */
  BAD_PATH: 20,
  BAD_PKEY: 21,
  BAD_MTU: 22,
  BAD_TRANSPORT: 23,
  /** The listener has as many requests as it takes. */
  BACKLOG_FULL: 24,
  /** The source has as many unfinished requests as one source may. */
  SOURCE_LIMIT: 25,
  /** There are as many unfinished requests or connections as there may be. */
  NO_RESOURCES: 26,
  /** An answer that does not repeat the transaction ID of what was asked. */
  WRONG_TRANSACTION: 27,
} as const;
export type CmDropReason = (typeof CmDropReason)[keyof typeof CmDropReason];

export const CM_DROP_REASON_COUNT = Object.keys(CmDropReason).length;

const NAMES = Object.keys(CmDropReason).map((name) => `cm_${name.toLowerCase()}`);
/** `cm_unknown_id` and so on. */
export const cmDropReasonName = (reason: number): string => NAMES[reason] ?? `cm_reason_${reason}`;
