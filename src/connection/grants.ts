/**
 * Memory that the peer may use until it is told otherwise: a program grants a piece of its memory, gives the peer what it
 * needs to reach it, and takes it back when it likes; a grant may also end at a set time.
 *
 * Where the device has memory windows a grant is one of type 2, which opens for the queue pair of this connection alone
 * and ends with it: when the connection recovers, its grants are over and have to be made again. Elsewhere it is a region
 * of its own, which lasts as long as the connection.
 *
 * Invariants: a grant never gives more than the rights that the connection has; once `revoke` has resolved, its key opens
 * nothing, and it never comes back; nothing is left of it on the device.
 */
import { AccessFlags } from '../verbs/access-flags.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { MemoryWindow } from '../verbs/memory-window.js';
import { nameOf } from '../verbs/option-check.js';
import { WrOpcode } from '../verbs/work-request.js';
import { Cleanup } from './cleanup.js';
import type { MemoryRights } from './options.js';
import { RemoteBuffer } from './remote-buffer.js';
import type { ConnectionResources } from './resources.js';
import { remoteAccess } from './transitions.js';
import type { Work, WorkTracker } from './work-tracker.js';

/** More would cost the device keys without being of use to anybody. */
export const MAX_GRANTS = 1024;
/** Timers of Node.js do not reach further. */
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1;

export interface GrantOptions {
  /** The peer may read. Default false. */
  readonly read?: boolean;
  /** The peer may write. Default false. */
  readonly write?: boolean;
  /** When the grant ends by itself. Default: with the connection. */
  readonly expires?: Date;
}

export interface GrantListener {
  onGranted(grant: Grant): void;
  onEnded(grant: Grant, reason: string): void;
}

/** What a grant holds on the device. */
interface Holding {
  readonly mr: MemoryRegion;
  readonly mw: MemoryWindow | null;
}

export class Grant implements AsyncDisposable {
  /** Unique in its connection. */
  readonly id: number;
  readonly rights: MemoryRights;
  /** What the peer needs: send it `remote.encode()`, which the peer gives to `RemoteBuffer.decode`. */
  readonly remote: RemoteBuffer;
  readonly expires: Date | undefined;
  /** Resolves when the grant is over, with the reason. */
  readonly ended: Promise<string>;
  readonly #end: (reason: string) => Promise<void>;

  /** Made by `Connection.grant`. */
  constructor(
    id: number,
    rights: MemoryRights,
    remote: RemoteBuffer,
    expires: Date | undefined,
    ended: Promise<string>,
    end: (reason: string) => Promise<void>,
  ) {
    this.id = id;
    this.rights = rights;
    this.remote = remote;
    this.expires = expires;
    this.ended = ended;
    this.#end = end;
  }

  /**
   * Takes the memory back: what the peer asks for from now on gets a remote access error. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a reason that is no text.
   */
  async revoke(reason = 'revoked'): Promise<void> {
    if (typeof reason !== 'string') throw usageError(`reason must be a text, not ${nameOf(reason)}`);
    await this.#end(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.revoke();
  }
}

interface LiveGrant {
  readonly grant: Grant;
  readonly holding: Holding;
  readonly bytes: Uint8Array;
  readonly resources: ConnectionResources;
  timer: NodeJS.Timeout | undefined;
  ending: Promise<void> | undefined;
  readonly resolveEnded: (reason: string) => void;
}

export class Grants {
  listener: GrantListener | null = null;
  readonly #rights: MemoryRights;
  readonly #live = new Set<LiveGrant>();
  #lastId = 0;
  /** Grants that are being made. */
  readonly #making = new Set<Promise<Grant>>();

  /** `rights`: the most that the peer may have. */
  constructor(rights: MemoryRights) {
    this.#rights = rights;
  }

  /**
   * Grants `bytes` over a link that is up.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_LIMIT, ERR_RDMA_CONNECTION_LOST when the link fails meanwhile.
   */
  async create(
    resources: ConnectionResources,
    tracker: WorkTracker,
    bytes: Uint8Array,
    options: GrantOptions,
  ): Promise<Grant> {
    const rights = this.#check(bytes, options);
    const making = this.#create(resources, tracker, bytes, rights, options.expires);
    this.#making.add(making);
    try {
      return await making;
    } finally {
      this.#making.delete(making);
    }
  }

  /** Grants that are there, or being made. */
  get size(): number {
    return this.#live.size + this.#making.size;
  }

  /** Granted memory, for those who move its bytes in the peer's place. */
  reachable(addr: bigint, length: number, right: keyof MemoryRights): Uint8Array | undefined {
    for (const { grant, bytes, ending } of this.#live) {
      const { remote, rights } = grant;
      if (ending !== undefined || !rights[right] || addr < remote.addr) continue;
      if (addr + BigInt(length) > remote.addr + BigInt(remote.length)) continue;
      const at = Number(addr - remote.addr);
      return bytes.subarray(at, at + length);
    }
    return undefined;
  }

  /** The queue pair is gone, and with it its windows. */
  async endWindows(reason: string): Promise<void> {
    const windows = [...this.#live].filter(({ holding }) => holding.mw !== null);
    await Promise.all(windows.map((live) => this.#end(live, reason)));
  }

  /** The link must be over, so that what is being made comes to its end too. */
  async endAll(reason: string): Promise<void> {
    await Promise.allSettled(this.#making);
    const cleanup = new Cleanup();
    await Promise.all([...this.#live].map((live) => cleanup.step(() => this.#end(live, reason))));
    cleanup.finish();
  }

  #check(bytes: Uint8Array, { read = false, write = false, expires }: GrantOptions): MemoryRights {
    if (bytes.length === 0) throw usageError('a grant needs at least one byte');
    if (!read && !write) throw usageError('a grant needs a right: read, write, or both');
    if ((read && !this.#rights.read) || (write && !this.#rights.write)) {
      throw usageError('this peer may not have that right: its terms allow less');
    }
    if (expires !== undefined && !(expires.getTime() > Date.now())) {
      throw usageError('expires must be a time to come');
    }
    if (this.size >= MAX_GRANTS) {
      throw new RdmaError(
        'ERR_RDMA_LIMIT',
        `a connection has ${MAX_GRANTS} grants at most; revoke some first`,
      );
    }
    return { read, write };
  }

  async #create(
    resources: ConnectionResources,
    tracker: WorkTracker,
    bytes: Uint8Array,
    rights: MemoryRights,
    expires: Date | undefined,
  ): Promise<Grant> {
    const hasWindows = resources.pd.device.attributes.maxMws > 0;
    const access = AccessFlags.LOCAL_WRITE | (hasWindows ? AccessFlags.MW_BIND : remoteAccess(rights));
    const mr = await resources.register(bytes, access);
    let mw: MemoryWindow | null = null;
    try {
      if (hasWindows) {
        mw = await resources.pd.allocMw();
        await bind(tracker, mw, mr, remoteAccess(rights));
      }
    } catch (error) {
      await mw?.close();
      await resources.deregister(mr);
      throw error;
    }
    return this.#add({ mr, mw }, resources, bytes, rights, expires);
  }

  #add(
    holding: Holding,
    resources: ConnectionResources,
    bytes: Uint8Array,
    rights: MemoryRights,
    expires: Date | undefined,
  ): Grant {
    const { mr, mw } = holding;
    const remote = new RemoteBuffer(mr.addr, mw?.rkey ?? mr.rkey, bytes.length);
    let resolveEnded: (reason: string) => void = () => {};
    const ended = new Promise<string>((resolve) => {
      resolveEnded = resolve;
    });
    const end = (reason: string): Promise<void> => this.#end(live, reason);
    const grant = new Grant(++this.#lastId, rights, remote, expires, ended, end);
    const state = { timer: undefined, ending: undefined };
    const live: LiveGrant = { grant, holding, bytes, resources, resolveEnded, ...state };
    this.#live.add(live);
    if (expires !== undefined) this.#expire(live, expires);
    this.listener?.onGranted(grant);
    return grant;
  }

  #expire(live: LiveGrant, expires: Date): void {
    const leftMillis = expires.getTime() - Date.now();
    if (leftMillis <= 0) {
      void live.grant.revoke('expired');
      return;
    }
    live.timer = setTimeout(() => this.#expire(live, expires), Math.min(leftMillis, LONGEST_TIMER_MILLIS));
    live.timer.unref();
  }

  #end(live: LiveGrant, reason: string): Promise<void> {
    live.ending ??= this.#release(live, reason);
    return live.ending;
  }

  /** The window goes first: a region may not go before what was bound over it. */
  async #release(live: LiveGrant, reason: string): Promise<void> {
    clearTimeout(live.timer);
    await live.holding.mw?.close();
    await live.resources.deregister(live.holding.mr);
    this.#live.delete(live);
    this.listener?.onEnded(live.grant, reason);
    live.resolveEnded(reason);
  }
}

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
