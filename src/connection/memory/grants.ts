/**
 * Memory that the peer may use until it is told otherwise: a program grants a piece of its memory, gives the peer what it
 * needs to reach it, and takes it back when it likes; a grant may also end at a set time. Programs hold a `Grant`
 * (grant.ts); here is what it means to the device.
 *
 * Where the device has memory windows a grant is one of type 2, which opens for the queue pair of this connection alone
 * and ends with it: when the connection recovers, its grants are over and have to be made again. Elsewhere it is a region
 * of its own, which lasts as long as the connection.
 *
 * Invariants: a grant never gives more than the rights that the connection has; once `revoke` has resolved, its key opens
 * nothing, and it never comes back; nothing is left of it on the device. Where memory is sealed, bytes that the peer may
 * write have one address: it keeps the order of its writes by addresses.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { closedError, RdmaError, usageError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { MemoryWindow } from '../../verbs/memory-window.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { Cleanup } from '../common/cleanup.js';
import type { Work, WorkTracker } from '../fragments/work-tracker.js';
import type { ConnectionResources } from '../link/resources.js';
import { remoteAccess } from '../link/transitions.js';
import type { MemoryRights } from '../terms/options.js';
import type { MemoryRange } from './remote-buffer.js';

/** More would cost the device keys without being of use to anybody. */
export const MAX_GRANTS = 1024;
/** Windows that are bound at a time: the other places of the send queue belong to messages, reads and writes. */
const MAX_BINDS = 16;
/** Timers of Node.js do not reach further. */
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1;
/** When the device could not close a grant that has expired. */
const AGAIN_MILLIS = 1000;

/** What a program grants, and until when: milliseconds of `Date`, `null` for no end. */
export interface GrantTerms extends MemoryRights {
  readonly expiresAtMillis: number | null;
}

export interface GrantRequest extends GrantTerms {
  /** The program's number for it, unique in its connection. */
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** What a grant holds on the device. */
interface Holding {
  readonly mr: MemoryRegion;
  readonly mw: MemoryWindow | null;
}

interface Remains extends Holding {
  readonly resources: ConnectionResources;
}

interface LiveGrant {
  readonly request: GrantRequest;
  readonly range: MemoryRange;
  readonly holding: Holding;
  readonly resources: ConnectionResources;
  timer: NodeJS.Timeout | undefined;
  /** Its end is being carried out. */
  ending: Promise<void> | undefined;
  /** Whether its end was ever begun: from then on nobody moves its bytes for the peer. */
  isOver: boolean;
}

export class Grants {
  readonly #rights: MemoryRights;
  readonly #onEnded: (id: number, reason: string) => void;
  readonly #live = new Map<number, LiveGrant>();
  /** Grants that are being made. */
  readonly #making = new Set<Promise<MemoryRange>>();
  /** What the device did not free when a grant failed to be made. */
  readonly #remains = new Set<Remains>();
  /** Of grants that are there or being made, what was asked for. */
  readonly #requests = new Set<GrantRequest>();
  #binds = 0;
  /** Windows that wait for their turn to be bound. */
  readonly #waiting: (() => void)[] = [];

  /** `rights`: the most that the peer may have. `onEnded`: is told of each that was made, once. */
  constructor(rights: MemoryRights, onEnded: (id: number, reason: string) => void) {
    this.#rights = rights;
    this.#onEnded = onEnded;
  }

  /**
   * Grants memory over a link that is up; resolves with what the peer needs to reach it. `isSealed`: what the peer writes is.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_LIMIT, ERR_RDMA_CONNECTION_LOST when the link fails meanwhile.
   */
  async create(
    resources: ConnectionResources,
    tracker: WorkTracker,
    request: GrantRequest,
    isSealed: boolean,
  ): Promise<MemoryRange> {
    this.#check(request);
    if (isSealed) this.#checkAlone(request, resources.bufferMr?.bytes);
    this.#requests.add(request);
    const making = this.#create(resources, tracker, request);
    this.#making.add(making);
    try {
      return await making;
    } catch (error) {
      this.#requests.delete(request);
      throw error;
    } finally {
      this.#making.delete(making);
    }
  }

  /** Grants that are there, or being made, or hold something though they were not made. */
  get size(): number {
    return this.#live.size + this.#making.size + this.#remains.size;
  }

  /** Granted memory, for those who move its bytes in the peer's place. */
  reachable(addr: bigint, length: number, right: keyof MemoryRights): Uint8Array | undefined {
    for (const { request, range, isOver } of this.#live.values()) {
      if (isOver || !request[right] || addr < range.addr) continue;
      if (addr + BigInt(length) > range.addr + BigInt(range.length)) continue;
      const at = Number(addr - range.addr);
      return request.bytes.subarray(at, at + length);
    }
    return undefined;
  }

  /** Takes memory back; resolves when nothing of the grant is left. Idempotent. */
  async revoke(id: number, reason: string): Promise<void> {
    const live = this.#live.get(id);
    if (live !== undefined) await this.#end(live, reason);
  }

  /** The queue pair is gone, and with it its windows. */
  async endWindows(reason: string): Promise<void> {
    const windows = [...this.#live.values()].filter(({ holding }) => holding.mw !== null);
    await Promise.all(windows.map((live) => this.#end(live, reason)));
  }

  /** The link must be over, so that what is being made comes to its end too. */
  async endAll(reason: string): Promise<void> {
    await Promise.allSettled(this.#making);
    const cleanup = new Cleanup();
    await Promise.all([...this.#live.values()].map((live) => this.#endForGood(live, reason, cleanup)));
    await this.#freeRemains(cleanup);
    this.#remains.clear();
    cleanup.finish();
  }

  #check({ bytes, read, write, expiresAtMillis }: GrantRequest): void {
    if (bytes.length === 0) throw usageError('a grant needs at least one byte');
    if (!read && !write) throw usageError('a grant needs a right: read, write, or both');
    if ((read && !this.#rights.read) || (write && !this.#rights.write)) {
      throw usageError('this peer may not have that right: its terms allow less');
    }
    if (expiresAtMillis !== null && expiresAtMillis <= Date.now()) {
      throw usageError('expires must be a time to come');
    }
    if (this.size >= MAX_GRANTS) {
      throw new RdmaError(
        'ERR_RDMA_LIMIT',
        `a connection has ${MAX_GRANTS} grants at most; revoke some first`,
      );
    }
  }

  /**
   * The peer has a write to some bytes wait for others to the same, by their addresses. By two addresses one covers the other
   * before it is opened, which looks like a forgery, and a read gives sealed bytes.
   */
  #checkAlone({ bytes, write }: GrantRequest, lent: Uint8Array | undefined): void {
    const { read: mayRead, write: mayWrite } = this.#rights;
    if (lent !== undefined && (mayWrite || (write && mayRead)) && overlap(bytes, lent))
      throw notAlone('the memory that is lent to the peer');
    for (const other of this.#requests)
      if ((write || other.write) && overlap(bytes, other.bytes)) throw notAlone('another grant');
  }

  async #create(
    resources: ConnectionResources,
    tracker: WorkTracker,
    request: GrantRequest,
  ): Promise<MemoryRange> {
    if (this.#remains.size > 0) await this.#freeRemains(new Cleanup());
    const access = remoteAccess(request);
    const hasWindows = resources.pd.device.attributes.maxMws > 0;
    const mr = await resources.register(
      request.bytes,
      AccessFlags.LOCAL_WRITE | (hasWindows ? AccessFlags.MW_BIND : access),
    );
    let mw: MemoryWindow | null = null;
    try {
      if (hasWindows) {
        mw = await resources.pd.allocMw();
        await this.#bind(tracker, mw, mr, access);
      }
    } catch (error) {
      // Why it was not made says more than why something of it cannot be freed yet.
      await this.#free({ mr, mw, resources }, new Cleanup());
      throw error;
    }
    return this.#add({ mr, mw }, resources, request);
  }

  async #bind(tracker: WorkTracker, mw: MemoryWindow, mr: MemoryRegion, access: number): Promise<void> {
    while (this.#binds === MAX_BINDS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#binds++;
    try {
      await bind(tracker, mw, mr, access);
    } finally {
      this.#binds--;
      this.#waiting.shift()?.();
    }
  }

  #add(holding: Holding, resources: ConnectionResources, request: GrantRequest): MemoryRange {
    const { mr, mw } = holding;
    const range = { addr: mr.addr, rkey: mw?.rkey ?? mr.rkey, length: request.bytes.length };
    const live: LiveGrant = {
      request,
      range,
      holding,
      resources,
      timer: undefined,
      ending: undefined,
      isOver: false,
    };
    this.#live.set(request.id, live);
    if (request.expiresAtMillis !== null) this.#expire(live, request.expiresAtMillis);
    return range;
  }

  #expire(live: LiveGrant, expiresAtMillis: number): void {
    const leftMillis = expiresAtMillis - Date.now();
    const again = (): void => this.#expire(live, expiresAtMillis);
    if (leftMillis <= 0) {
      // The peer may reach it until the device closes it, so that it is no good to give up.
      this.#end(live, 'expired').catch(() => this.#later(live, again, AGAIN_MILLIS));
      return;
    }
    this.#later(live, again, Math.min(leftMillis, LONGEST_TIMER_MILLIS));
  }

  #later(live: LiveGrant, work: () => void, millis: number): void {
    if (this.#live.get(live.request.id) !== live) return;
    live.timer = setTimeout(work, millis);
    live.timer.unref();
  }

  /** One that failed can be tried again. */
  #end(live: LiveGrant, reason: string): Promise<void> {
    live.isOver = true;
    live.ending ??= this.#release(live, reason).catch((error: unknown) => {
      live.ending = undefined;
      throw error;
    });
    return live.ending;
  }

  /** The link is over, and the peer reaches nothing, whatever the device says. */
  async #endForGood(live: LiveGrant, reason: string, cleanup: Cleanup): Promise<void> {
    if (!(await cleanup.step(() => this.#end(live, reason)))) this.#forget(live, reason);
  }

  /** What cannot be freed now is kept. */
  async #free(remains: Remains, cleanup: Cleanup): Promise<void> {
    this.#remains.delete(remains);
    if (!(await cleanup.step(() => release(remains, remains.resources)))) this.#remains.add(remains);
  }

  async #freeRemains(cleanup: Cleanup): Promise<void> {
    await Promise.all([...this.#remains].map((remains) => this.#free(remains, cleanup)));
  }

  async #release(live: LiveGrant, reason: string): Promise<void> {
    clearTimeout(live.timer);
    await release(live.holding, live.resources);
    this.#forget(live, reason);
  }

  #forget(live: LiveGrant, reason: string): void {
    if (this.#live.get(live.request.id) !== live) return;
    clearTimeout(live.timer);
    this.#live.delete(live.request.id);
    this.#requests.delete(live.request);
    this.#onEnded(live.request.id, reason);
  }
}

/** The window goes first: a region may not go before what was bound over it. */
async function release({ mr, mw }: Holding, resources: ConnectionResources): Promise<void> {
  await mw?.close();
  await resources.deregister(mr);
}

const overlap = (one: Uint8Array, other: Uint8Array): boolean =>
  one.buffer === other.buffer &&
  one.byteOffset < other.byteOffset + other.length &&
  other.byteOffset < one.byteOffset + one.length;

const notAlone = (what: string): RdmaError =>
  usageError(
    `these bytes overlap ${what}, and the peer may write one of them: on an encrypted connection memory that is written ` +
      'is granted once; revoke the other grant first, or grant other memory',
  );

/** BIND_MW; resolves when the window is in force. */
function bind(tracker: WorkTracker, mw: MemoryWindow, mr: MemoryRegion, access: number): Promise<void> {
  const work: Work = {
    opcode: WrOpcode.BIND_MW,
    bind: { mw, mr, offset: 0, length: mr.length, access, rkey: mw.nextRkey() },
  };
  return new Promise((resolve, reject) => {
    tracker.post(work, (error) => {
      if (error === undefined) resolve();
      else reject(notGranted(error));
    });
  });
}

const notGranted = (cause: RdmaError): RdmaError =>
  new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the connection failed before the memory was granted', { cause });

/** There is no link to grant over. */
export const cannotGrantNow = (isOver: boolean): RdmaError =>
  isOver
    ? closedError('the connection')
    : new RdmaError(
        'ERR_RDMA_CONNECTION_LOST',
        'the connection is recovering; grant again when it is up ("reconnected")',
      );
