/**
 * All verbs objects that were made, open and closed, with who uses whom: what a device's census must say, and which
 * objects may be closed.
 */
import type { AddressHandle } from '../../../../src/verbs/address-handle.js';
import type { CompletionChannel, CompletionQueue } from '../../../../src/verbs/completion-queue.js';
import type { Device, DeviceCensus, ProtectionDomain } from '../../../../src/verbs/device.js';
import type { MemoryRegion } from '../../../../src/verbs/memory-region.js';
import type { MemoryWindow } from '../../../../src/verbs/memory-window.js';
import type { QueuePair, SharedReceiveQueue } from '../../../../src/verbs/queue-pair.js';
import type { Choices } from '../../choices.js';
import { must } from '../../target.js';
import { attempt, isDone } from './call.js';
import type { RequestQueue } from './ledger.js';

/** Those that the calls of verbs make. */
export type Kind = Exclude<keyof DeviceCensus, 'cmIds'>;
export const KINDS: readonly Kind[] = ['pds', 'mrs', 'mws', 'cqs', 'channels', 'qps', 'srqs', 'ahs'];

interface Closable {
  close(): Promise<void>;
}

export class Entry<T extends Closable = Closable> {
  readonly kind: Kind;
  readonly device: number;
  readonly object: T;
  /** What cannot be closed while this is open. */
  readonly uses: readonly Entry[];
  users = 0;
  closed = false;

  constructor(kind: Kind, device: number, object: T, uses: readonly Entry[]) {
    this.kind = kind;
    this.device = device;
    this.object = object;
    this.uses = uses;
    for (const used of uses) used.users++;
  }
}

export type PdEntry = Entry<ProtectionDomain>;
export type CqEntry = Entry<CompletionQueue>;
export type ChannelEntry = Entry<CompletionChannel>;
export type SrqEntry = Entry<SharedReceiveQueue> & { queue?: RequestQueue };
export type AhEntry = Entry<AddressHandle>;
export type MwEntry = Entry<MemoryWindow>;
export type MrEntry = Entry<MemoryRegion> & { piece?: number };
export type QpEntry = Entry<QueuePair> & {
  sends?: RequestQueue;
  /** `undefined` with a shared receive queue. */
  receives?: RequestQueue | undefined;
  peer?: QpEntry;
  depth?: number;
  mtu?: number;
};

export class Registry {
  readonly pds: PdEntry[] = [];
  readonly mrs: MrEntry[] = [];
  readonly mws: MwEntry[] = [];
  readonly cqs: CqEntry[] = [];
  readonly channels: ChannelEntry[] = [];
  readonly qps: QpEntry[] = [];
  readonly srqs: SrqEntry[] = [];
  readonly ahs: AhEntry[] = [];

  /** All that there is room for; a program that makes objects without end is none of our business. */
  isFull(kind: Kind): boolean {
    return this[kind].length >= 24;
  }

  add<T extends Closable, E extends Entry<T>>(kind: Kind, entry: E): E {
    (this[kind] as unknown as E[]).push(entry);
    return entry;
  }

  /** Mostly an open one of the device, sometimes any: closed, or of the other device. */
  pick<K extends Kind>(kind: K, device: number, choices: Choices): Registry[K][number] | undefined {
    const all = this[kind] as Entry[];
    const stranger = choices.oneIn(12);
    const candidates = stranger ? all : all.filter((entry) => !entry.closed && entry.device === device);
    return choices.pick(candidates) as Registry[K][number] | undefined;
  }

  /** Closes it, if that is allowed. Returns whether it is closed now by this call. */
  async close(entry: Entry): Promise<boolean> {
    const wasClosed = entry.closed;
    const result = await attempt(() => entry.object.close());
    if (wasClosed) {
      must(isDone(result), 'what is closed can be closed again');
      return false;
    }
    const isFree = entry.users === 0;
    if (isFree) must(isDone(result), `${entry.kind}: what nobody uses can be closed`);
    else
      must(!isDone(result) && result.code === 'ERR_RDMA_IN_USE', `${entry.kind}: what is in use stays open`);
    if (!isFree) return false;
    entry.closed = true;
    for (const used of entry.uses) used.users--;
    return true;
  }

  /** In an order that always works. */
  *closingOrder(): Generator<Entry> {
    const order: Kind[] = ['qps', 'mws', 'mrs', 'ahs', 'srqs', 'cqs', 'channels', 'pds'];
    for (const kind of order) yield* this[kind] as Entry[];
  }

  checkCensus(devices: readonly Device[]): void {
    for (const [index, device] of devices.entries()) {
      const census = device.census();
      for (const kind of KINDS) {
        const open = (this[kind] as Entry[]).filter((entry) => entry.device === index && !entry.closed);
        must(census[kind] === open.length, `the census counts the open ${kind}`);
      }
    }
  }
}
