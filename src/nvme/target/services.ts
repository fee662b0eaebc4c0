/** What the queues of a target share. */

import type { Command } from '../wire/command.js';
import type { ConnectData } from '../wire/connect-data.js';
import type { AdminFacts } from './admin-commands.js';
import type { BufferPool } from './buffer-pool.js';
import type { Controller } from './controller.js';
import type { TargetCounters } from './counters.js';
import type { ConnectDecision } from './registry.js';
import type { TargetQueue } from './target-queue.js';

export interface TargetServices {
  readonly pool: BufferPool;
  readonly counters: TargetCounters;
  nowMillis(): number;
  /** Decides about a Connect command; what a host left behind in backends is done when it resolves. */
  connect(queue: TargetQueue, command: Command, data: ConnectData): Promise<ConnectDecision>;
  /** For commands of this queue. */
  adminFacts(queue: TargetQueue): AdminFacts;
  /** The host has asked for an orderly end: what it wrote must survive. */
  shutDown(controller: Controller): void;
  /** The host has switched its controller off. */
  disable(controller: Controller): void;
  /** The host breaks the protocol: its controller fails, and its queues end. */
  onFatal(queue: TargetQueue, reason: string): void;
  onBackendError(queue: TargetQueue, error: unknown): void;
  onQueueEnding(queue: TargetQueue, reason: string): void;
  onQueueEnded(queue: TargetQueue): void;
}
