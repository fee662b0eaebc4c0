/** How many fragments the peer may have sent on this link: what it was told, and what it will be told next. */

/** Receives beyond those that the peer may fill with fragments: for its LIMIT messages, the first two of which prove the link. */
export const LIMIT_RECEIVES = 4;

export interface ReceiveWindow {
  /** Receives that are there for fragments now. */
  slots: number;
  /** Number of the fragment that the peer may not send any more; goes into the next header. */
  limit: number;
  /** The `limit` that left last. */
  told: number;
  /** The last `limit` of which the peer's device has acknowledged that it is there. */
  known: number;
}
