/** What a target has done, as numbers by name. */
export class TargetCounters {
  queuesAccepted = 0;
  /** Before they existed: by rdma_cm. */
  queuesRefused = 0;
  /** By the answer to Connect. */
  connectsRefused = 0;
  /** All commands, those of the admin queues too. */
  commands = 0;
  /** Answered with another status than success. */
  commandsFailed = 0;
  reads = 0;
  bytesRead = 0;
  writes = 0;
  bytesWritten = 0;
  flushes = 0;
  /** Failures of a backend. */
  backendErrors = 0;
  /** Capsules that are shorter than a command: their queue ends. */
  shortCapsules = 0;
  keepAliveExpired = 0;
  /** Queues that ended because a request to their host did not complete. */
  queuesStalled = 0;
  /** Queues whose host did not send Connect in time. */
  connectsMissed = 0;
}
