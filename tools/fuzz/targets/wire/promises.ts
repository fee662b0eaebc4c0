/**
 * What the NIC owes to whoever looks at it from outside, remembered from what went in: how much a receive holds, what
 * each READ asked for when it was taken, which keys are in force. Nothing of it comes from the engine's own checks.
 */
import type { Datagram } from '../../../../src/roce/datagram.js';
import type { Region, RemoteGrant } from '../../../../src/roce/memory/region.js';
import type { Requester } from '../../../../src/roce/qp/requester.js';
import { readU24 } from '../../../../src/roce/wire/bytes.js';
import { Icrc } from '../../../../src/roce/wire/icrc.js';
import {
  ATOMIC_ETH_AT,
  Opcode,
  OpcodeFlag,
  opcodeFlags,
  RETH_AT,
} from '../../../../src/roce/wire/opcodes.js';
import { rethLength, rethRkey, rethVa } from '../../../../src/roce/wire/reth.js';
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import { sameGid } from '../../../../src/verbs/address.js';
import { QpType } from '../../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../../src/verbs/work-request.js';
import { must } from '../../target.js';
import type { KnownQp, World } from './world.js';

const PSN_AT = 9;
/** Above any window; below what an acknowledgement from the other half of the circle would make of it. */
const MAX_IN_FLIGHT = 0x10000;
/** More than a queue pair remembers. */
const KEPT_READS = 64;

interface TakenRead {
  readonly psn: number;
  readonly region: Region | null;
  readonly rkey: number;
  readonly va: number;
  readonly length: number;
}

export class Promises {
  readonly #world: World;
  readonly #icrc = new Icrc();
  /** By queue pair, newest last. */
  readonly #reads = new Map<number, TakenRead[]>();
  readonly #capacities = new Map<number, number>();

  constructor(world: World) {
    this.#world = world;
  }

  // --- receives -----------------------------------------------------------------------------------------------------

  holds(wrId: number, capacity: number): void {
    this.#capacities.set(wrId, capacity);
  }

  /** A message of `length` bytes was put into the receive. */
  filled(wrId: number, length: number): void {
    const capacity = this.#capacities.get(wrId) ?? 0;
    must(length <= capacity, `a receive of ${capacity} bytes does not take ${length}`);
  }

  // --- packets ------------------------------------------------------------------------------------------------------

  /** The queue pair `index` has taken a datagram. */
  taken(index: number, datagram: Datagram): void {
    const { qp, plan } = this.#world.qps[index] as KnownQp;
    const { own, peer, checkIcrc } = this.#world;
    must(sameGid(datagram.destination, own), 'a packet for another address is dropped');
    if (plan.type !== QpType.UD) {
      must(sameGid(datagram.source, peer), 'a packet from another address is dropped');
      const isHeld = peer.port !== 4791 && peer.port !== datagram.source.port;
      must(!isHeld, 'a packet from another port is dropped');
    }
    if (checkIcrc && !datagram.icrcVerified) {
      const { source, destination, bytes, at, length } = datagram;
      must(
        this.#icrc.verify(source, destination, bytes, at, length),
        'a packet with a wrong ICRC is dropped',
      );
    }
    const opcode = datagram.bytes[datagram.at] as number;
    if (((opcodeFlags[opcode] as number) & OpcodeFlag.RETH) !== 0) this.#checkRange(datagram);
    if (qp.type !== QpType.RC) return;
    if (opcode === Opcode.RC_READ_REQUEST) this.#noteRead(index, datagram);
    if (opcode === Opcode.RC_COMPARE_SWAP || opcode === Opcode.RC_FETCH_ADD) {
      const low = datagram.bytes[datagram.at + ATOMIC_ETH_AT + 7] as number;
      must(low % 8 === 0, 'an atomic lies on eight bytes');
    }
  }

  /** The memory that a packet names is inside of what its key opens. */
  #checkRange({ bytes, at }: Datagram): void {
    const header = at + RETH_AT;
    const length = rethLength(bytes, header);
    if (length === 0) return;
    const rkey = rethRkey(bytes, header);
    const va = rethVa(bytes, header);
    const { regions, windows } = this.#world;
    const isInside = (grant: RemoteGrant | null): boolean =>
      grant !== null && grant.rkey === rkey && va >= grant.va && va + length <= grant.va + grant.length;
    const isKnown =
      regions.some(({ grant }) => isInside(grant)) || windows.some(({ window }) => isInside(window.grant));
    must(isKnown, 'a packet names memory inside of what its key opens');
  }

  /** The READ request, which is no new one, is answered again. */
  answeredAgain(index: number, { bytes, at }: Datagram): void {
    const header = at + RETH_AT;
    const length = rethLength(bytes, header);
    if (length === 0) return;
    const psn = readU24(bytes, at + PSN_AT);
    const read = this.#find(index, psn);
    must(read !== undefined, 'only a READ that was taken is answered again');
    const skipped = ((psn - read.psn) & 0xffffff) * (this.#world.qps[index] as KnownQp).qp.mtu;
    const isPart =
      rethRkey(bytes, header) === read.rkey &&
      rethVa(bytes, header) === read.va + skipped &&
      skipped + length <= read.length;
    must(isPart, 'a READ is answered again for what it asked for at first, and for no more');
  }

  #noteRead(index: number, { bytes, at }: Datagram): void {
    const reads = this.#reads.get(index) ?? [];
    this.#reads.set(index, reads);
    const header = at + RETH_AT;
    const rkey = rethRkey(bytes, header);
    const known = this.#world.regions.find(({ grant }) => grant?.rkey === rkey);
    const region = known?.region ?? this.#world.windowHost;
    const length = rethLength(bytes, header);
    const va = rethVa(bytes, header);
    reads.push({ psn: readU24(bytes, at + PSN_AT), region: length === 0 ? null : region, rkey, va, length });
    if (reads.length > KEPT_READS) reads.shift();
  }

  /** The queue pair `index` shows `length` bytes of a region in the READ response `psn`. */
  shown(index: number, psn: number, region: Region, from: number, length: number): void {
    const { mtu } = (this.#world.qps[index] as KnownQp).qp;
    const read = this.#find(index, psn);
    must(read !== undefined, 'a READ response answers a READ');
    const at = ((psn - read.psn) & 0xffffff) * mtu;
    const isPart = region === read.region && from === read.va - region.va + at && at + length <= read.length;
    must(isPart, 'a READ response shows what was asked for when the READ was taken');
  }

  #find(index: number, psn: number): TakenRead | undefined {
    const { mtu } = (this.#world.qps[index] as KnownQp).qp;
    return this.#reads.get(index)?.findLast((read) => {
      const packets = Math.max(1, Math.ceil(read.length / mtu));
      return ((psn - read.psn) & 0xffffff) < packets;
    });
  }

  /** Bytes of READ data that the queue pair waits for next in the packet `psn`; -1 when it waits for another one. */
  dueBytes(index: number, psn: number): number {
    const qp = this.#world.qps[index]?.qp;
    if (qp?.type !== QpType.RC) return -1;
    const { queue, unackedPsn } = qp.requester as Requester;
    for (let i = queue.head; i !== queue.tail; i++) {
      const wqe = queue.at(i);
      if (!wqe.started || wqe.opcode !== WrOpcode.RDMA_READ) continue;
      const ahead = (unackedPsn - wqe.firstPsn) & 0xffffff;
      const due = ahead < wqe.packets ? unackedPsn : wqe.firstPsn;
      return psn === due ? Math.min(qp.mtu, wqe.length - ((psn - wqe.firstPsn) & 0xffffff) * qp.mtu) : -1;
    }
    return -1;
  }

  /** The queue pair was reset. */
  forget(index: number): void {
    this.#reads.delete(index);
  }

  // --- what no packet changes -----------------------------------------------------------------------------------------

  /** Which windows are open; compare after a packet. */
  openWindows(): boolean[] {
    return this.#world.windows.map(({ window }) => window.grant?.valid === true);
  }

  /** After a packet for the queue pair `index` (-1: for none). */
  check(index: number, openBefore: readonly boolean[]): void {
    const { windows, regions, qps } = this.#world;
    for (const [i, { window, owner }] of windows.entries()) {
      const isClosed = openBefore[i] === true && window.grant?.valid !== true;
      must(!isClosed || owner === index, 'a window is closed by the peer of its queue pair alone');
      const { grant } = window;
      if (grant === null || !grant.valid) continue;
      const { va, bytes, access } = grant.region;
      const isInside = grant.va >= va && grant.va + grant.length <= va + bytes.length;
      must(
        isInside && (access & AccessFlags.MW_BIND) !== 0,
        'a window lies in a region that may have windows',
      );
    }
    for (const { grant, dead, name } of regions) {
      must(dead || grant === null || grant.valid, `no packet revokes the region ${name}`);
    }
    const qp = qps[index]?.qp;
    if (qp?.type !== QpType.RC) return;
    const { unackedPsn, nextPsn } = qp.requester as Requester;
    must(((nextPsn - unackedPsn) & 0xffffff) < MAX_IN_FLIGHT, 'no more is acknowledged than was sent');
  }
}
