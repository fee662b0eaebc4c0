/** What the queues of a target share, and what a target must know of its queues. */
import type { CmConnection } from '../../cm/cm-connection.js';

import type { Command } from '../wire/command.js';
import type { ConnectData } from '../wire/connect-data.js';
import type { AdminFacts } from './admin-commands.js';
import type { BufferPool } from './buffer-pool.js';
import type { Controller } from './controller.js';
import type { TargetCounters } from './counters.js';
import type { ConnectDecision } from './registry.js';

export interface HostQueue {
  readonly qid: number;
  readonly entries: number;
  /** Once the host has sent Connect. */
  controller: Controller | undefined;
  /** Once rdma_cm is done. */
  readonly connection: CmConnection | undefined;
  readonly isEnding: boolean;
  sinceMillis: number;
  isStalled(nowMillis: number): boolean;
  /** Resolves when backends are done with what they have of it now. */
  leftBackends(): Promise<void>;
  /** Resolves when nothing of it is in use any more. */
  end(reason: string): Promise<void>;
}

export interface TargetServices {
  readonly pool: BufferPool;
  readonly counters: TargetCounters;
  nowMillis(): number;
  /** Decides about a Connect command; what a host left behind in backends is done when it resolves. */
  connect(queue: HostQueue, command: Command, data: ConnectData): Promise<ConnectDecision>;
  /** For commands of this queue. */
  adminFacts(queue: HostQueue): AdminFacts;
  /** The host has asked for an orderly end: what it wrote must survive. */
  shutDown(controller: Controller): void;
  /** The host has switched its controller off. */
  disable(controller: Controller): void;
  /** The host breaks the protocol: its controller fails, and its queues end. */
  onFatal(queue: HostQueue, reason: string): void;
  onBackendError(queue: HostQueue, error: unknown): void;
  onQueueEnding(queue: HostQueue, reason: string): void;
  onQueueEnded(queue: HostQueue): void;
}
