/**
 * Registered memory as the engine sees it. A `Region` is the memory itself; a `RemoteGrant` is what an rkey opens: a
 * whole region (memory region) or a part of one (memory window). Addresses inside are plain numbers below 2^53.
 */
import { AccessFlags, REMOTE_ACCESS } from '../../verbs/access-flags.js';
import type { RKey } from '../../verbs/brands.js';

export class Region {
  readonly bytes: Uint8Array;
  /** Virtual address of the first byte, as peers name it. */
  readonly va: number;
  readonly access: number;
  /** Number of the protection domain. */
  readonly pd: number;
  readonly lkey: number;
  /** What opens it at the moment, its own key and windows; `null` where nothing ever did. */
  grants: Set<RemoteGrant> | null = null;
  /** What `bytes` must still have; -1, which they never have, after deregistration. */
  #usableLength: number;
  /** For the use of a port: what it calls this by, and which port that is. */
  port: object | null = null;
  portHandle = 0;

  constructor(bytes: Uint8Array, va: number, access: number, pd: number, lkey: number) {
    this.bytes = bytes;
    this.va = va;
    this.access = access;
    this.pd = pd;
    this.lkey = lkey;
    this.#usableLength = bytes.length;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** `false` after deregistration. */
  get valid(): boolean {
    return this.#usableLength >= 0;
  }

  /** For good. */
  invalidate(): void {
    this.#usableLength = -1;
  }

  /**
   * Registered, and all of the memory still there: a program can transfer or shrink a buffer behind our back. Every use
   * checks it.
   */
  get usable(): boolean {
    return this.bytes.length === this.#usableLength;
  }
}

export class RemoteGrant {
  readonly rkey: RKey;
  readonly region: Region;
  readonly va: number;
  readonly length: number;
  readonly access: number;
  /** Only this queue pair may use it (type 2 memory window); 0 = every queue pair of the protection domain. */
  readonly qpn: number;
  valid = true;

  constructor(rkey: RKey, region: Region, va: number, length: number, access: number, qpn: number) {
    this.rkey = rkey;
    this.region = region;
    this.va = va;
    this.length = length;
    this.access = access & REMOTE_ACCESS;
    this.qpn = qpn;
  }

  /** Not revoked, and the memory is there. */
  get usable(): boolean {
    return this.valid && this.region.usable;
  }

  /** Whether the queue pair `qpn` of domain `pd` may do `access` to `length` bytes at `va`. */
  allows(pd: number, qpn: number, access: number, va: number, length: number): boolean {
    if (!this.usable || this.region.pd !== pd) return false;
    if (this.qpn !== 0 && this.qpn !== qpn) return false;
    if ((this.access & access) !== access) return false;
    return va >= this.va && length <= this.length && va - this.va <= this.length - length;
  }

  /** Offset in the region's bytes of the virtual address `va`, which must be inside the grant. */
  offsetOf(va: number): number {
    return va - this.region.va;
  }
}

/** A region that only the engine itself reads from, such as the arena of inline data: no key opens it. */
export const privateRegion = (bytes: Uint8Array, pd: number): Region =>
  new Region(bytes, 0, AccessFlags.LOCAL_WRITE, pd, 0);
