/**
 * Who is who: all connections of a communication manager by the identifiers that messages name, and how many requests of
 * peers are not established.
 *
 * Invariants: a communication ID is never 0 and never given out while another connection or lookup has it, timewait
 * included. A peer's (GUID, communication ID) and (GUID, queue pair) belong to one connection at most; the peer's address
 * is part of both, so that nobody meets identifiers of somebody else. Connections are bounded, and so is what one address
 * can begin.
 */
import { formatGid, type UdpAddress } from '../../verbs/address.js';
import { invariant } from '../../verbs/invariant.js';
import type { RandomU32 } from '../random.js';
import type { CmConnection } from './cm-connection.js';
import type { CmHandle, CmLimits } from './cm-outputs.js';

export class Identities {
  readonly #random: RandomU32;
  readonly #limits: CmLimits;
  readonly #byId = new Map<CmHandle, CmConnection>();
  readonly #byCommId = new Map<number, CmConnection>();
  readonly #byRemoteId = new Map<string, CmConnection>();
  readonly #byRemoteQpn = new Map<string, CmConnection>();
  /** IDs of lookups, which are of the same kind. */
  readonly #requestIds = new Set<number>();
  readonly #halfOpenOf = new Map<string, number>();
  #halfOpen = 0;
  #handles = 0;

  constructor(random: RandomU32, limits: CmLimits) {
    this.#random = random;
    this.#limits = limits;
  }

  get size(): number {
    return this.#byId.size;
  }

  get halfOpen(): number {
    return this.#halfOpen;
  }

  get isFull(): boolean {
    return this.#byId.size >= this.#limits.maxConnections;
  }

  newHandle(): CmHandle {
    return ++this.#handles;
  }

  newCommId(): number {
    for (;;) {
      const id = this.#random() >>> 0;
      if (id !== 0 && !this.#byCommId.has(id) && !this.#requestIds.has(id)) return id;
    }
  }

  newRequestId(): number {
    const id = this.newCommId();
    this.#requestIds.add(id);
    return id;
  }

  forgetRequestId(id: number): void {
    this.#requestIds.delete(id);
  }

  add(connection: CmConnection): void {
    INVARIANT: invariant(
      !this.#byCommId.has(connection.localCommId),
      'a communication ID belongs to one connection',
    );
    this.#byId.set(connection.id, connection);
    this.#byCommId.set(connection.localCommId, connection);
  }

  /** The peer has said who it is. */
  bind(connection: CmConnection): void {
    const { peer, remoteGuid, remoteCommId, remoteQpn } = connection;
    const [idKey, qpnKey] = [keyOf(peer, remoteGuid, remoteCommId), keyOf(peer, remoteGuid, remoteQpn)];
    INVARIANT: invariant(!this.#byRemoteId.has(idKey), "a peer's communication ID belongs to one connection");
    INVARIANT: invariant(!this.#byRemoteQpn.has(qpnKey), "a peer's queue pair belongs to one connection");
    this.#byRemoteId.set(idKey, connection);
    this.#byRemoteQpn.set(qpnKey, connection);
  }

  /** The peer may use its queue pair for another connection. */
  unbindQpn(connection: CmConnection): void {
    const key = keyOf(connection.peer, connection.remoteGuid, connection.remoteQpn);
    if (this.#byRemoteQpn.get(key) === connection) this.#byRemoteQpn.delete(key);
  }

  /** The peer may use its communication ID for another connection. */
  unbind(connection: CmConnection): void {
    this.unbindQpn(connection);
    const key = keyOf(connection.peer, connection.remoteGuid, connection.remoteCommId);
    if (this.#byRemoteId.get(key) === connection) this.#byRemoteId.delete(key);
  }

  forget(connection: CmConnection): void {
    this.unbind(connection);
    this.#byCommId.delete(connection.localCommId);
    this.#byId.delete(connection.id);
  }

  get(id: CmHandle): CmConnection | undefined {
    return this.#byId.get(id);
  }

  byCommId(commId: number): CmConnection | undefined {
    return this.#byCommId.get(commId);
  }

  byRemoteId(peer: UdpAddress, guid: bigint, commId: number): CmConnection | undefined {
    return this.#byRemoteId.get(keyOf(peer, guid, commId));
  }

  byRemoteQpn(peer: UdpAddress, guid: bigint, qpn: number): CmConnection | undefined {
    return this.#byRemoteQpn.get(keyOf(peer, guid, qpn));
  }

  all(): CmConnection[] {
    return [...this.#byId.values()];
  }

  /** Whether this address, and all together, may have one more unfinished request. */
  mayOpen(source: UdpAddress): 'yes' | 'source-limit' | 'full' {
    const count = this.#halfOpenOf.get(formatGid(source)) ?? 0;
    if (count >= this.#limits.maxHalfOpenOfSource) return 'source-limit';
    return this.#halfOpen >= this.#limits.maxHalfOpen ? 'full' : 'yes';
  }

  /** A request or lookup of `source` begins (1) or is finished (-1). */
  countHalfOpen(source: UdpAddress, change: 1 | -1): void {
    const key = formatGid(source);
    const count = (this.#halfOpenOf.get(key) ?? 0) + change;
    this.#halfOpen += change;
    INVARIANT: invariant(count >= 0 && this.#halfOpen >= count, 'as many requests end as begin');
    if (count === 0) this.#halfOpenOf.delete(key);
    else this.#halfOpenOf.set(key, count);
  }
}

const keyOf = (peer: UdpAddress, guid: bigint, number: number): string =>
  `${formatGid(peer)}/${guid.toString(16)}/${number}`;
