/** Memory regions and windows of the soft device. */
import type { Region, RemoteGrant } from '../roce/memory/region.js';
import type { Nic } from '../roce/nic.js';
import { Window } from '../roce/qp/bind-request.js';
import type { LKey, RKey } from '../verbs/brands.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { MemoryWindow } from '../verbs/memory-window.js';
import { ObjectLife } from '../verbs/object-life.js';

/** What regions and windows need of the domain that made them. */
export interface MemoryOwner {
  readonly nic: Nic;
  readonly live: LiveObjects;
  readonly number: number;
  readonly life: ObjectLife;
}

export class SoftMr implements MemoryRegion {
  readonly region: Region;
  readonly #grant: RemoteGrant | null;
  readonly #owner: MemoryOwner;
  readonly #life: ObjectLife;

  constructor(owner: MemoryOwner, bytes: Uint8Array, access: number) {
    const { region, grant } = owner.nic.regions.register(bytes, access, owner.number);
    this.region = region;
    this.#grant = grant;
    this.#owner = owner;
    this.#life = new ObjectLife('mrs', owner.live, [owner.life]);
    this.#life.owner = this;
  }

  get bytes(): Uint8Array {
    return this.region.bytes;
  }

  get length(): number {
    return this.region.bytes.length;
  }

  get access(): number {
    return this.region.access;
  }

  get lkey(): LKey {
    return this.region.lkey as LKey;
  }

  get rkey(): RKey {
    return (this.#grant?.rkey ?? 0) as RKey;
  }

  get addr(): bigint {
    return BigInt(this.region.va);
  }

  get closed(): boolean {
    return !this.region.valid;
  }

  belongsTo(nic: Nic): boolean {
    return this.#owner.nic === nic;
  }

  close(): Promise<void> {
    return this.#life.closeNow(() => this.#owner.nic.regions.deregister(this.region));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class SoftMw implements MemoryWindow {
  readonly window: Window;
  readonly #owner: MemoryOwner;
  readonly #life: ObjectLife;

  constructor(owner: MemoryOwner) {
    this.#owner = owner;
    this.window = new Window(owner.number, owner.nic.regions.reserveKey());
    this.#life = new ObjectLife('mws', owner.live, [owner.life]);
    this.#life.owner = this;
  }

  get rkey(): RKey {
    return this.window.rkey;
  }

  get closed(): boolean {
    return !this.window.valid;
  }

  belongsTo(nic: Nic): boolean {
    return this.#owner.nic === nic;
  }

  nextRkey(): RKey {
    return this.#owner.nic.regions.reserveKey();
  }

  close(): Promise<void> {
    return this.#life.closeNow(() => {
      this.window.valid = false;
      if (this.window.grant !== null) this.#owner.nic.regions.revoke(this.window.grant);
      this.window.grant = null;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
