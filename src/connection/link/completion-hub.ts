/**
 * Completions of all connections of a device: they share completion queues and a channel, so that thousands of them need a few
 * of the device, and one event brings what has come for all. Each completion goes to the queue pair that it names.
 *
 * Invariants: queues have room for all that the connections of their group may have under way, so that none can take it from another;
 * completions of one queue pair are handed out in their order; what one event brings is bounded, and the rest comes in a turn of
 * its own. A group goes with its last connection, and gets no others once its queues are lost.
 */
import type { CompletionChannel, CompletionQueue } from '../../verbs/completion-queue.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, type RdmaError } from '../../verbs/errors.js';
import type { QueuePairEvent } from '../../verbs/queue-pair.js';
import { createCompletions, WcStatus, type WorkCompletion } from '../../verbs/work-completion.js';
import { Cleanup } from '../common/cleanup.js';

const POLL_BATCH = 32;
/** Of each queue, for one event. */
const BATCHES_OF_AN_EVENT = 16;
/** Connections that the first group has room for; later ones have room for twice as many as the one before. */
const FIRST_CONNECTIONS = 16;
const MOST_ENTRIES = 65_536;
const { SUCCESS } = WcStatus;

/** What takes the completions and the events of one queue pair. Nothing of it may throw. */
export interface CompletionHandler {
  /** One of those that come next has failed. */
  onFailureAhead(): void;
  onReceive(completion: WorkCompletion): void;
  onSend(completion: WorkCompletion): void;
  /** Everything was handed out that had come together with one that failed. */
  onDrained(): void;
  /** No completion will come any more. */
  onBroken(error: RdmaError): void;
  /** Something happened to the queue pair itself. */
  onAsyncEvent(event: QueuePairEvent): void;
}

/** Completions that one connection may have waiting. */
export interface CompletionNeeds {
  readonly sends: number;
  readonly receives: number;
}

/** For all groups, as one drains at a time. */
const completions = createCompletions(POLL_BATCH);
let isDraining = false;

export class CompletionGroup {
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly #channel: CompletionChannel;
  readonly #handlers = new Map<number, CompletionHandler>();
  /** Have failed completions among those that were handed out. */
  readonly #failed: CompletionHandler[] = [];
  #isOver = false;
  #isBroken = false;

  constructor(channel: CompletionChannel, sendCq: CompletionQueue, recvCq: CompletionQueue) {
    this.#channel = channel;
    this.sendCq = sendCq;
    this.recvCq = recvCq;
    channel.onEvent = this.#onEvent;
  }

  /** Its queues are lost: what completes in them is told to nobody. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Listens to queue pairs for their handlers: a function for each of thousands would take more than the handlers. */
  readonly onAsyncEvent = (event: QueuePairEvent): void =>
    this.#handlers.get(event.qp.qpn)?.onAsyncEvent(event);

  /** From now on `handler` gets what comes for this queue pair, until it is told not to. */
  listen(qpn: number, handler: CompletionHandler): void {
    this.#handlers.set(qpn, handler);
  }

  unlisten(qpn: number, handler: CompletionHandler): void {
    if (this.#handlers.get(qpn) === handler) this.#handlers.delete(qpn);
  }

  /** Hands out all that has come by now, and from the first call on also what comes later. Does nothing from inside of a handler. */
  drain(): void {
    if (this.#isOver || isDraining) return;
    const entries = Math.max(this.sendCq.capacity, this.recvCq.capacity);
    if (this.#take(1 + Math.ceil(entries / POLL_BATCH))) setImmediate(this.#onEvent);
  }

  /** Resolves when nobody is inside of a handler. */
  async settled(): Promise<void> {
    while (isDraining) await null;
  }

  /** @throws RdmaError of the verb that failed first. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#channel.onEvent = null;
    const cleanup = new Cleanup();
    for (const one of [this.sendCq, this.recvCq, this.#channel]) await cleanup.step(() => one.close());
    cleanup.finish();
  }

  readonly #onEvent = (): void => {
    if (this.#isOver) return;
    if (isDraining || this.#take(BATCHES_OF_AN_EVENT)) setImmediate(this.#onEvent);
  };

  /** Arms both queues and takes what is there, as far as `batches` go; returns whether there may be more. */
  #take(batches: number): boolean {
    if (isDraining) return true;
    isDraining = true;
    let isMore = false;
    try {
      this.sendCq.reqNotify();
      this.recvCq.reqNotify();
      // Receives first: a failed send may end a link, but never what arrived before.
      isMore = this.#drain(this.recvCq, true, batches);
      isMore = this.#drain(this.sendCq, false, batches) || isMore;
    } catch (error) {
      this.#break(asRdmaError(error, 'completions are lost'));
    } finally {
      isDraining = false;
    }
    if (this.#failed.length > 0) for (const handler of this.#failed.splice(0)) handler.onDrained();
    return isMore;
  }

  #drain(cq: CompletionQueue, isReceive: boolean, batches: number): boolean {
    for (let batch = 0; batch < batches; batch++) {
      const count = cq.poll(completions);
      if (count === 0) return false;
      this.#lookAhead(count);
      let qpn = -1;
      let handler: CompletionHandler | undefined;
      for (let i = 0; i < count; i++) {
        const completion = completions[i] as WorkCompletion;
        if (completion.qpn !== qpn) {
          qpn = completion.qpn;
          handler = this.#handlers.get(qpn);
        }
        if (handler === undefined) continue;
        if (isReceive) handler.onReceive(completion);
        else handler.onSend(completion);
      }
      // That was all; what comes later fires the event that was armed before.
      if (count < POLL_BATCH) return false;
    }
    return true;
  }

  /** Those that succeeded come first, and make room in a queue that is over already. */
  #lookAhead(count: number): void {
    for (let i = 0; i < count; i++) {
      const { status, qpn } = completions[i] as WorkCompletion;
      if (status === SUCCESS) continue;
      const handler = this.#handlers.get(qpn);
      if (handler === undefined || this.#failed.includes(handler)) continue;
      this.#failed.push(handler);
      handler.onFailureAhead();
    }
  }

  #break(error: RdmaError): void {
    this.#isBroken = true;
    for (const handler of [...this.#handlers.values()]) handler.onBroken(error);
  }
}

/** Room for the completions of one connection. */
export class CompletionSeat {
  readonly #at: Group;
  readonly #sends: number;
  readonly #receives: number;
  readonly #groups: Set<Group>;
  #isReleased = false;

  constructor(at: Group, needs: CompletionNeeds, groups: Set<Group>) {
    this.#at = at;
    this.#sends = needs.sends;
    this.#receives = needs.receives;
    this.#groups = groups;
    at.sendsLeft -= needs.sends;
    at.receivesLeft -= needs.receives;
    at.connections++;
  }

  get group(): CompletionGroup {
    return this.#at.group;
  }

  /**
   * Its queue pair is gone. Idempotent.
   *
   * @throws RdmaError of the verb that failed first, where the group goes with it.
   */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    const at = this.#at;
    // What it has left behind takes the place of others.
    at.group.drain();
    at.sendsLeft += this.#sends;
    at.receivesLeft += this.#receives;
    if (--at.connections > 0) return;
    this.#groups.delete(at);
    await at.group.close();
  }
}

interface Group {
  readonly group: CompletionGroup;
  sendsLeft: number;
  receivesLeft: number;
  connections: number;
}

const hubs = new WeakMap<Device, CompletionHub>();

/** The groups of a device. */
export class CompletionHub {
  readonly #device: Device;
  readonly #groups = new Set<Group>();
  #creating: Promise<void> | null = null;

  static of(device: Device): CompletionHub {
    const known = hubs.get(device);
    if (known !== undefined) return known;
    const hub = new CompletionHub(device);
    hubs.set(device, hub);
    return hub;
  }

  private constructor(device: Device) {
    this.#device = device;
  }

  /** @throws RdmaError of the verbs. */
  async take(needs: CompletionNeeds): Promise<CompletionSeat> {
    for (;;) {
      for (const group of this.#groups)
        if (!group.group.isBroken && group.sendsLeft >= needs.sends && group.receivesLeft >= needs.receives)
          return new CompletionSeat(group, needs, this.#groups);
      // One is made for all that wait; it may be too small for some.
      this.#creating ??= this.#create(needs).finally(() => {
        this.#creating = null;
      });
      await this.#creating;
    }
  }

  async #create({ sends, receives }: CompletionNeeds): Promise<void> {
    const most = Math.min(MOST_ENTRIES, this.#device.attributes.maxCqe);
    const connections = FIRST_CONNECTIONS * 2 ** this.#groups.size;
    const entries = (needed: number): number => Math.max(needed, Math.min(most, needed * connections));
    const channel = await this.#device.createCompletionChannel();
    const made: (CompletionChannel | CompletionQueue)[] = [channel];
    try {
      const sendCq = await this.#device.createCq({ capacity: entries(sends), channel });
      made.unshift(sendCq);
      const recvCq = await this.#device.createCq({ capacity: entries(receives), channel });
      const group = new CompletionGroup(channel, sendCq, recvCq);
      const left = { sendsLeft: entries(sends), receivesLeft: entries(receives) };
      this.#groups.add({ group, ...left, connections: 0 });
    } catch (error) {
      // Why it cannot be made says more than why it cannot be freed.
      for (const one of made) await one.close().catch(() => {});
      throw error;
    }
  }
}
