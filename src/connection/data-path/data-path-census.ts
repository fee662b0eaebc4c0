/** What waits in the data path of a connection, in numbers: all of it has a bound, and is 0 after the end. */
export interface DataPathCensus {
  /** In the send queue. */
  readonly requests: number;
  /** Messages that the peer does not have. */
  readonly toSend: number;
  /** Cost of the messages that wait for the program. */
  readonly unreadBytes: number;
  readonly receivers: number;
  readonly streams: number;
  /** One-sided ones. */
  readonly operations: number;
  /** Reads and writes that have not ended, sealed ones among them, and their claims on the peer's memory. */
  readonly transfers: number;
  readonly claims: number;
  readonly grants: number;
  /** Memory for fragments that are received and sent. */
  readonly bufferBytes: number;
}
