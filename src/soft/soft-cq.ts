/** Completion queues and channels of the soft device. */

import type { Cq } from '../roce/completion/cq.js';
import { CqArm } from '../roce/completion/cq.js';
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import { usageError } from '../verbs/errors.js';
import { EventQueue } from '../verbs/event-queue.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import { overrun, unarmable } from '../verbs/misuse.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import type { Driver } from './driver.js';

export class SoftCq implements CompletionQueue {
  readonly engine: Cq;
  readonly channel: SoftChannel | null;
  readonly #live: LiveObjects;
  readonly #driver: Driver;
  readonly life: ObjectLife;

  constructor(engine: Cq, channel: SoftChannel | null, live: LiveObjects, driver: Driver) {
    this.engine = engine;
    this.channel = channel;
    this.#live = live;
    this.#driver = driver;
    engine.context = this;
    this.life = new ObjectLife('cqs', live, channel === null ? [] : [channel.life]);
    this.life.owner = this;
  }

  get capacity(): number {
    return this.engine.capacity;
  }

  get closed(): boolean {
    return this.life.closed;
  }

  /** Whether it is of the device with these objects. */
  belongsTo(live: LiveObjects): boolean {
    return this.#live === live;
  }

  /**
   * A queue that is empty drives the device itself, so that a thread which only polls needs no event loop. While there
   * are completions it does not, and neither does another queue of the device in between: what was posted meanwhile
   * leaves as one batch when they are all taken.
   */
  poll(into: readonly WorkCompletion[], max: number = into.length): number {
    this.life.checkOpen();
    if (this.engine.overrun && this.engine.count === 0) {
      throw overrun(this.capacity);
    }
    if (!Number.isInteger(max) || max < 0) throw usageError(`poll takes 0 or more completions, not ${max}`);
    if (this.engine.count === 0 && max > 0) this.#driver.poll(this.engine);
    const taken = this.engine.poll(into, max);
    if (taken > 0) this.#driver.noteTaken();
    return taken;
  }

  reqNotify(solicitedOnly = false): void {
    this.life.checkOpen();
    if (this.channel === null) {
      throw unarmable();
    }
    // A queue armed for everything stays so.
    if (!solicitedOnly) this.engine.arm = CqArm.ALL;
    else if (this.engine.arm === CqArm.NONE) this.engine.arm = CqArm.SOLICITED;
  }

  close(): Promise<void> {
    return this.life.closeNow(() => this.engine.clear());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class SoftChannel extends EventQueue implements CompletionChannel {
  readonly life: ObjectLife;
  readonly #live: LiveObjects;

  constructor(live: LiveObjects) {
    super();
    this.#live = live;
    this.life = new ObjectLife('channels', live);
    this.life.owner = this;
  }

  belongsTo(live: LiveObjects): boolean {
    return this.#live === live;
  }

  close(): Promise<void> {
    return this.life.closeNow(() => this.end());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
