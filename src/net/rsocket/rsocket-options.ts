/** What programs may choose of an rsocket. */

export interface RsocketOptions {
  /** The ring into which the peer writes, given to it in halves. Default 256 KiB. */
  readonly receiveBufferBytes?: number;
  /** What was written and is not acknowledged, at most. Default 256 KiB. */
  readonly sendBufferBytes?: number;
  /** Pieces of memory that the peer may offer for one-sided writes. Default 0. */
  readonly iomapEntries?: number;
  /** UDP port of the peer's device. Default 4791; others only towards soft devices that share a host. */
  readonly udpPort?: number;
  /** The time for the meeting. Default 10 000. */
  readonly timeoutMillis?: number;
  /** Of clients: the server runs under librspreload with RDMAV_FORK_SAFE=1, and is met by TCP first (fork-greeting.ts). */
  readonly forkSafe?: boolean;
}
