/** What the machine of an rsocket asks its driver to post: an RDMA WRITE, with immediate data or without. */
import { IOMAP_ENTRY_BYTES } from './wire/iomap-entry.js';

export const PostKind = {
  /** Bytes of the send ring. */
  DATA: 0,
  /** Bytes of `payload`, or none: announcements, credits, the end. */
  CONTROL: 1,
  /** Bytes of `payload`. */
  IOMAP_ENTRY: 2,
  /** Bytes of the program's own memory. */
  IOMAP_WRITE: 3,
} as const;
export type PostKind = (typeof PostKind)[keyof typeof PostKind];

/** Filled anew for every post. */
export class RsocketPost {
  kind: PostKind = PostKind.DATA;
  remoteAddr = 0;
  rkey = 0;
  /** -1 = a write without immediate data. */
  imm = 0;
  bytes = 0;
  /** DATA: where in the send ring. IOMAP_WRITE: where in the program's memory. */
  offset = 0;
  readonly payload: Uint8Array = new Uint8Array(IOMAP_ENTRY_BYTES);
  readonly view: DataView = new DataView(this.payload.buffer);
}
