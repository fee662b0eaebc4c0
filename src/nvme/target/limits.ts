/** What a target gives hosts at most. Everything that a host can make the target keep is bounded here. */

export const LIMITS = {
  /** Behind a command, in its capsule. */
  inCapsuleBytes: 4096,
  /** log2 of the largest transfer in pages of 4 KiB: 1 MiB. */
  maxTransferShift: 8,
  maxTransferBytes: 1 << 20,
  /** Async event requests of a controller that are held. */
  asyncEvents: 4,
  /** Unit of the keep-alive timer. */
  keepAliveUnitMillis: 100,
  /** Of discovery controllers whose host names none, so that none stays for ever. */
  discoveryKeepAliveMillis: 120_000,
  /** From the end of the meeting until the host has sent Connect. */
  connectMillis: 10_000,
  /** A queue whose oldest request to the host does not complete ends. */
  stallMillis: 30_000,
  /** Entries of an I/O queue. */
  queueEntries: 128,
  /** I/O queues of a controller. */
  ioQueues: 16,
  controllers: 64,
  /** Queues of all controllers, and those whose host has not sent Connect. */
  queues: 256,
} as const;

/** Those that a program may choose. */
export interface TargetLimits {
  readonly queueEntries: number;
  readonly ioQueues: number;
  readonly controllers: number;
  readonly queues: number;
}
