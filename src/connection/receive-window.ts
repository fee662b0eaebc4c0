/** How many fragments the peer may have sent on this link: what it was told, and what it will be told next. */

export interface ReceiveWindow {
  /** Number of the fragment that the peer may not send any more; goes into the next header. */
  limit: number;
  /** The `limit` that left last. */
  told: number;
}
