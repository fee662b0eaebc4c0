/**
 * The life of a verbs object, the same on every device: it is counted in the census, keeps what it needs from being
 * closed, is closed once and takes no calls from then on. A device adds how an object is made and destroyed.
 *
 * Invariants: an object is counted from before it is made until after it is destroyed, so that what it needs stays
 * while either verb runs; `users` is the number of lives that need this one. A life that could not be closed goes on.
 */
import type { DeviceCensus } from './device.js';
import { closedError, RdmaError } from './errors.js';

export type ObjectKind = keyof DeviceCensus | 'devices';

/** Where lives are counted. */
export interface LifeList {
  add(life: ObjectLife): void;
  remove(life: ObjectLife): void;
}

/** For those that are counted nowhere: devices. */
export const UNCOUNTED: LifeList = { add: () => {}, remove: () => {} };

const NAMES: Readonly<Record<ObjectKind, string>> = {
  devices: 'the device',
  pds: 'the protection domain',
  mrs: 'the memory region',
  mws: 'the memory window',
  cqs: 'the completion queue',
  channels: 'the completion channel',
  qps: 'the queue pair',
  srqs: 'the shared receive queue',
  ahs: 'the address handle',
  cmIds: 'the connection of rdma_cm',
};

const NOTHING: readonly ObjectLife[] = [];
const DONE = Promise.resolve();

export class ObjectLife {
  readonly kind: ObjectKind;
  /** For people: `the queue pair`. */
  readonly name: string;
  /** Lives that need this one. */
  users = 0;
  /** What is closed when all of a device is; set by whoever made it. */
  owner: { close(): Promise<void> } | null = null;
  /** Neighbours in the list of all lives of the device. */
  previous: ObjectLife | null = null;
  next: ObjectLife | null = null;
  readonly #list: LifeList;
  readonly #needs: readonly ObjectLife[];
  #last: Promise<unknown> = DONE;
  #closing: Promise<void> | undefined;

  constructor(
    kind: ObjectKind,
    list: LifeList,
    needs: readonly ObjectLife[] = NOTHING,
    name: string = NAMES[kind],
  ) {
    this.kind = kind;
    this.name = name;
    this.#list = list;
    this.#needs = needs;
    list.add(this);
    for (const need of needs) need.users++;
  }

  /** From the call of `close` on. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** @throws RdmaError ERR_RDMA_CLOSED. */
  checkOpen(): void {
    if (this.#closing !== undefined) throw closedError(this.name);
  }

  /** Runs a control verb after those before it. @throws RdmaError ERR_RDMA_CLOSED, and what `verb` throws. */
  run<T>(verb: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(closedError(this.name));
    return this.#enqueue(verb);
  }

  /**
   * Runs `destroy` once, after the control verbs that run.
   *
   * @throws RdmaError ERR_RDMA_IN_USE while something needs the object, and what `destroy` throws. Then it is open.
   */
  close(destroy: () => Promise<void>): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.users > 0) return Promise.reject(this.#inUse());
    this.#closing = this.#enqueue(destroy).then(
      () => this.#end(),
      (error: unknown) => {
        this.#closing = undefined;
        throw error;
      },
    );
    return this.#closing;
  }

  /** As {@link close}, for devices whose verbs take no time: it has happened when the call returns. */
  closeNow(destroy: () => void): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.users > 0) return Promise.reject(this.#inUse());
    this.#closing = DONE;
    destroy();
    this.#end();
    return DONE;
  }

  /** The object could not be made. */
  miscarry(): void {
    this.#closing = DONE;
    this.#end();
  }

  #end(): void {
    this.#list.remove(this);
    for (const need of this.#needs) need.users--;
  }

  #enqueue<T>(verb: () => Promise<T>): Promise<T> {
    const result = this.#last.then(verb);
    this.#last = result.catch(() => {});
    return result;
  }

  #inUse(): RdmaError {
    return new RdmaError('ERR_RDMA_IN_USE', `close ${this.#describeUsers()} first`);
  }

  #describeUsers(): string {
    switch (this.kind) {
      case 'cqs':
      case 'srqs':
        return `the queue pairs that use ${this.name}`;
      case 'channels':
        return 'the completion queues that use the channel';
      default:
        return `the ${this.users} objects of ${this.name}`;
    }
  }
}

/** Makes an object by a verb that takes time. The life begins before, and never was when the verb fails. */
export async function makeObject<T>(
  kind: ObjectKind,
  list: LifeList,
  needs: readonly ObjectLife[],
  make: (life: ObjectLife) => Promise<T>,
): Promise<T> {
  const life = new ObjectLife(kind, list, needs);
  try {
    return await make(life);
  } catch (error) {
    life.miscarry();
    throw error;
  }
}
