/**
 * What host and target say to each other while rdma_cm brings a queue up, little endian. REQ, 32 bytes: 0 format u16 = 0, 2 queue ID
 * u16, 4 receives of the host u16, 6 size of the submission queue less 1 u16, 8 controller ID u16. REP, 32 bytes: 0 format u16, 2 receives of
 * the target u16. REJ, 4 bytes: 0 format u16, 2 reason u16.
 */

const REQUEST_BYTES = 32;
const REPLY_BYTES = 32;
const REJECT_BYTES = 4;
/** Of the admin queue at most. */
export const MAX_ADMIN_QUEUE_ENTRIES = 32;
/** Of an I/O queue at most, whatever the target offers: more is no queue size of the specification. */
const MAX_QUEUE_ENTRIES = 0xffff;

/** Why a queue is refused before it exists. */
export const RejectStatus = {
  LENGTH: 1,
  FORMAT: 2,
  QUEUE_ID: 3,
  SUBMISSION_QUEUE_SIZE: 4,
  RECEIVE_QUEUE_SIZE: 5,
  NO_RESOURCES: 6,
  READ_DEPTH: 7,
} as const;
export type RejectStatus = (typeof RejectStatus)[keyof typeof RejectStatus];

export interface QueueRequest {
  readonly qid: number;
  /** Responses that the host can take at a time. */
  readonly hostReceives: number;
  /** Commands that the host may have under way, and one more. */
  readonly entries: number;
}

/** What the host asks for, or why it cannot have that. `maxQid`: the highest number of a queue. */
export function readQueueRequest(
  data: Uint8Array,
  { maxQid, maxEntries }: { maxQid: number; maxEntries: number },
): QueueRequest | RejectStatus {
  if (data.length < REQUEST_BYTES) return RejectStatus.LENGTH;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (view.getUint16(0, true) !== 0) return RejectStatus.FORMAT;
  const qid = view.getUint16(2, true);
  const hostReceives = view.getUint16(4, true);
  const entries = view.getUint16(6, true) + 1;
  if (qid > maxQid) return RejectStatus.QUEUE_ID;
  const most = qid === 0 ? MAX_ADMIN_QUEUE_ENTRIES : Math.min(maxEntries, MAX_QUEUE_ENTRIES);
  if (entries < 2 || entries > most) return RejectStatus.SUBMISSION_QUEUE_SIZE;
  if (hostReceives === 0) return RejectStatus.RECEIVE_QUEUE_SIZE;
  return { qid, hostReceives, entries };
}

export function queueRequest({ qid, hostReceives, entries }: QueueRequest): Uint8Array {
  const data = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(data.buffer);
  view.setUint16(2, qid, true);
  view.setUint16(4, hostReceives, true);
  view.setUint16(6, entries - 1, true);
  return data;
}

export function queueReply(receives: number): Uint8Array {
  const data = new Uint8Array(REPLY_BYTES);
  new DataView(data.buffer).setUint16(2, receives, true);
  return data;
}

export function queueReject(status: RejectStatus): Uint8Array {
  const data = new Uint8Array(REJECT_BYTES);
  new DataView(data.buffer).setUint16(2, status, true);
  return data;
}
