/**
 * All registered memory of a NIC by key. Keys are random 32-bit numbers, never 0 and never derived from each other,
 * so that knowing one key says nothing about the next; virtual addresses are random pages for the same reason.
 *
 * Invariant: what ends with a region or a queue pair is found there; nothing walks what belongs to others.
 */

import { AccessFlags, REMOTE_ACCESS } from '../../verbs/access-flags.js';
import type { RKey } from '../../verbs/brands.js';
import { invariant } from '../../verbs/invariant.js';
import type { RandomU32 } from '../random.js';
import { Region, RemoteGrant } from './region.js';

const PAGE_BYTES = 4096;
/** Addresses lie between 2^44 and 2^45: well inside of what a double holds exactly, and never near 0. */
const LOWEST_VA = 2 ** 44;

export class RegionTable {
  readonly #random: RandomU32;
  readonly #lkeys = new Set<number>();
  readonly #grants = new Map<number, RemoteGrant>();
  /** Windows of type 2 by queue pair. */
  readonly #windows = new Map<number, Set<RemoteGrant>>();

  constructor(random: RandomU32) {
    this.#random = random;
  }

  get regionCount(): number {
    return this.#lkeys.size;
  }

  register(bytes: Uint8Array, access: number, pd: number): { region: Region; grant: RemoteGrant | null } {
    const lkey = this.#newKey();
    const va = (access & AccessFlags.ZERO_BASED) !== 0 ? 0 : LOWEST_VA + this.#random() * PAGE_BYTES;
    const region = new Region(bytes, va, access, pd, lkey);
    this.#lkeys.add(lkey);
    if ((access & REMOTE_ACCESS) === 0) return { region, grant: null };
    const grant = new RemoteGrant(this.#newKey(), region, va, bytes.length, access, 0);
    this.addGrant(grant);
    return { region, grant };
  }

  /** From now on nothing local or remote can use the region or any window on it. */
  deregister(region: Region): void {
    region.invalidate();
    this.#lkeys.delete(region.lkey);
    for (const grant of region.grants ?? []) this.revoke(grant);
    INVARIANT: invariant((region.grants?.size ?? 0) === 0, 'nothing opens a region that is deregistered');
  }

  addGrant(grant: RemoteGrant): void {
    INVARIANT: invariant(!this.#grants.has(grant.rkey), 'a key opens one thing');
    INVARIANT: invariant(grant.region.valid, 'only registered memory is opened');
    this.#grants.set(grant.rkey, grant);
    grant.region.grants ??= new Set();
    grant.region.grants.add(grant);
    if (grant.qpn === 0) return;
    const windows = this.#windows.get(grant.qpn);
    if (windows === undefined) this.#windows.set(grant.qpn, new Set([grant]));
    else windows.add(grant);
  }

  /** Nothing can use it from now on. Idempotent. */
  revoke(grant: RemoteGrant): void {
    grant.valid = false;
    if (this.#grants.get(grant.rkey) === grant) this.#grants.delete(grant.rkey);
    grant.region.grants?.delete(grant);
    const windows = grant.qpn === 0 ? undefined : this.#windows.get(grant.qpn);
    if (windows?.delete(grant) === true && windows.size === 0) this.#windows.delete(grant.qpn);
  }

  /** The windows of a queue pair end with it: its number will belong to another one some day. */
  revokeAllOf(qpn: number): void {
    for (const grant of this.#windows.get(qpn) ?? []) this.revoke(grant);
    INVARIANT: invariant(!this.#windows.has(qpn), 'no window outlives its queue pair');
  }

  findGrant(rkey: number): RemoteGrant | undefined {
    return this.#grants.get(rkey);
  }

  /** A random key that is in use nowhere, and not 0. */
  #newKey(): RKey {
    for (;;) {
      const key = this.#random() >>> 0;
      if (key !== 0 && !this.#lkeys.has(key) && !this.#grants.has(key)) return key as RKey;
    }
  }

  /** A key for a memory window, which is bound later. */
  reserveKey(): RKey {
    return this.#newKey();
  }
}
