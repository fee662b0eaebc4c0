/**
 * Looks after hosts from time to time: one that is silent for longer than its keep-alive timer, that does not take what it asked for, or that
 * does not send Connect, goes.
 *
 * Invariant: nobody is judged right after this program paused, since what hosts have sent meanwhile may lie there unread.
 */
import type { Controller } from './controller.js';
import type { TargetCounters } from './counters.js';
import { LIMITS } from './limits.js';
import type { HostQueue } from './services.js';

const LOOK_MILLIS = 250;

export interface Watched {
  readonly counters: TargetCounters;
  readonly queues: Iterable<HostQueue>;
  /** Those that are connected now. */
  controllers(): Iterable<Controller>;
  /** Whether its Connect has come, and waits for others. */
  isConnecting(queue: HostQueue): boolean;
  onSilent(controller: Controller): void;
}

export class HostWatch {
  readonly #watched: Watched;
  readonly #timer: NodeJS.Timeout;
  #lookedMillis = performance.now();
  #hasSpared = false;

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#timer = setInterval(() => this.#look(), LOOK_MILLIS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMillis = performance.now();
    const isLate = nowMillis - this.#lookedMillis > 2 * LOOK_MILLIS;
    this.#lookedMillis = nowMillis;
    this.#hasSpared = isLate && !this.#hasSpared;
    if (this.#hasSpared) return;
    const { counters, queues } = this.#watched;
    for (const controller of this.#watched.controllers()) {
      if (!controller.isSilent(nowMillis)) continue;
      counters.keepAliveExpired++;
      this.#watched.onSilent(controller);
    }
    for (const queue of queues) {
      if (queue.isEnding || queue.connection === undefined) continue;
      if (queue.isStalled(nowMillis)) {
        counters.queuesStalled++;
        void queue.end('the host does not take what it asked for');
      } else if (this.#isLate(queue, nowMillis)) {
        counters.connectsMissed++;
        void queue.end('the host did not send Connect');
      }
    }
  }

  #isLate(queue: HostQueue, nowMillis: number): boolean {
    if (queue.controller !== undefined || this.#watched.isConnecting(queue)) return false;
    return nowMillis - queue.sinceMillis > LIMITS.connectMillis;
  }
}
