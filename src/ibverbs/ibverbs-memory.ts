/**
 * Memory regions and windows over libibverbs. The addon keeps the buffer of a region until it is deregistered, whether
 * or not the program still knows the region: the device may write to it all that time.
 */

import type { LKey, RKey } from '../verbs/brands.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { MemoryWindow } from '../verbs/memory-window.js';
import type { ObjectLife } from '../verbs/object-life.js';
import type { RegionAddress } from './request-buffer.js';
import type { VerbsContext, VerbsDomain } from './verbs-context.js';

export class IbverbsMr implements MemoryRegion, RegionAddress {
  readonly pd: VerbsDomain;
  readonly device: VerbsContext;
  readonly handle: number;
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly access: number;
  readonly lkey: LKey;
  readonly rkey: RKey;
  /** The address that lkey and rkey count from: that in this process, or 0 for ZERO_BASED. */
  readonly base: number;
  readonly baseLow: number;
  readonly baseHigh: number;
  readonly lkeyWord: number;
  readonly #life: ObjectLife;

  constructor(
    life: ObjectLife,
    pd: VerbsDomain,
    handle: number,
    bytes: Uint8Array,
    access: number,
    base: number,
    keys: Float64Array,
  ) {
    this.#life = life;
    life.owner = this;
    this.pd = pd;
    this.device = pd.device;
    this.handle = handle;
    this.bytes = bytes;
    this.length = bytes.length;
    this.access = access;
    this.base = base;
    this.baseLow = base | 0;
    this.baseHigh = Math.floor(base / 2 ** 32) | 0;
    this.lkey = (keys[1] ?? 0) as LKey;
    this.lkeyWord = this.lkey | 0;
    this.rkey = (keys[2] ?? 0) as RKey;
  }

  get addr(): bigint {
    return BigInt(this.base);
  }

  get closed(): boolean {
    return this.#life.closed;
  }

  close(): Promise<void> {
    const busy = 'close the memory windows bound to it first';
    return this.#life.close(() => this.device.destroy(this.handle, this.#life.name, busy));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class IbverbsMw implements MemoryWindow {
  readonly pd: VerbsDomain;
  readonly handle: number;
  rkey: RKey;
  readonly #life: ObjectLife;

  constructor(life: ObjectLife, pd: VerbsDomain, handle: number, rkey: number) {
    this.#life = life;
    life.owner = this;
    this.pd = pd;
    this.handle = handle;
    this.rkey = rkey as RKey;
  }

  get closed(): boolean {
    return this.#life.closed;
  }

  /** `ibv_inc_rkey`: the low byte is the program's, the rest names the window. */
  nextRkey(): RKey {
    this.#life.checkOpen();
    return (((this.rkey & 0xffffff00) | ((this.rkey + 1) & 0xff)) >>> 0) as RKey;
  }

  close(): Promise<void> {
    return this.#life.close(() => this.pd.device.destroy(this.handle, this.#life.name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
