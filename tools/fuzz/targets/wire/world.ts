/**
 * A live NIC in the middle of many conversations, and what the fuzzer knows about it. Queue pairs of all services stand
 * in all states; regions and windows of every kind of right lie in the arena. The peer of all of them is the fuzzer,
 * which knows every number and key, so that its packets get as deep as packets can.
 *
 * Invariant: built the same for the same configuration bytes.
 */

import type { Cq } from '../../../../src/roce/completion/cq.js';
import type { Region, RemoteGrant } from '../../../../src/roce/memory/region.js';
import { Nic } from '../../../../src/roce/nic.js';
import { Window } from '../../../../src/roce/qp/bind-request.js';
import type { Qp } from '../../../../src/roce/qp/qp.js';
import type { Srq } from '../../../../src/roce/qp/srq.js';
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import type { UdpAddress } from '../../../../src/verbs/address.js';
import type { PathMtu } from '../../../../src/verbs/mtu.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import { toAddress } from '../../../../testkit/nic-pair.js';
import { Random } from '../../../../testkit/random.js';
import type { Choices } from '../../choices.js';
import { bringUp, type QpPlan } from './bring-up.js';
import { type MemoryMap, ZoneKind } from './memory-map.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC, MW_BIND, ZERO_BASED } = AccessFlags;
const ALL_REMOTE = REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC;
export const PD = 1;
const OTHER_PD = 2;
/** Index of a region of another domain. Receives and READs name it: right ones, on the queue pair of that domain. */
export const OTHER_DOMAIN = 7;

export const PIECE_STRIDE_BYTES = 1056;
/** The two pieces of a buffer; the bytes around them must never change. */
export const PIECES: readonly (readonly [from: number, to: number])[] = [
  [16, 216],
  [232, 1040],
];
export const RECEIVE_BUFFERS = 14;
export const TARGET_BUFFERS = 6;

const PSNS = [0xfffffe, 0, 0x7fffff, 0x800000, 0x123456, 0xffffff];
const MTUS: readonly PathMtu[] = [256, 512, 1024];

export interface KnownRegion {
  readonly name: string;
  readonly region: Region;
  readonly grant: RemoteGrant | null;
  /** Deregistered: nothing may touch it any more. */
  dead: boolean;
}

export interface KnownWindow {
  readonly window: Window;
  /** Index of the queue pair that binds it. */
  readonly owner: number;
  /** In the host region. */
  readonly from: number;
  readonly length: number;
}

export interface KnownQp {
  readonly qp: Qp;
  readonly plan: QpPlan;
  /** Rights that it ever had. */
  everAccess: number;
  /** PSN of the last packet that was sent to it. */
  lastPsn: number;
}

/** What the queue pairs are for, and how far they are brought up. */
const PLANS: readonly QpPlan[] = [
  { name: 'rc responder', type: QpType.RC, until: QpState.RTR, receives: 6 },
  { name: 'rc busy', type: QpType.RC, until: QpState.RTS, receives: 4, busy: true },
  { name: 'rc with srq', type: QpType.RC, until: QpState.RTS, srq: true, busy: true },
  { name: 'rc draining', type: QpType.RC, until: QpState.SQD, receives: 2, busy: true },
  { name: 'rc in error', type: QpType.RC, until: QpState.ERR, receives: 2 },
  { name: 'rc without receives', type: QpType.RC, until: QpState.RTS, busy: true },
  { name: 'rc of another domain', type: QpType.RC, until: QpState.RTS, pd: OTHER_PD, access: REMOTE_READ },
  { name: 'uc', type: QpType.UC, until: QpState.RTS, receives: 4 },
  { name: 'ud', type: QpType.UD, until: QpState.RTS, receives: 4 },
  { name: 'uc with srq', type: QpType.UC, until: QpState.RTS, srq: true },
  { name: 'ud with srq', type: QpType.UD, until: QpState.RTS, srq: true },
  { name: 'rc in init', type: QpType.RC, until: QpState.INIT, receives: 1 },
  { name: 'rc with a tiny cq', type: QpType.RC, until: QpState.RTS, receives: 4, tinyCq: true },
  { name: 'rc without rights', type: QpType.RC, until: QpState.RTS, receives: 2, access: 0, depth: 0 },
];

export class World {
  readonly nic: Nic;
  readonly memory: MemoryMap;
  readonly own: UdpAddress;
  readonly peer: UdpAddress;
  readonly mtu: PathMtu;
  readonly rqPsn: number;
  readonly sqPsn: number;
  readonly cq: Cq;
  readonly tinyCq: Cq;
  readonly srq: Srq;
  readonly regions: KnownRegion[] = [];
  readonly windows: KnownWindow[] = [];
  readonly qps: KnownQp[] = [];
  readonly receiveRegion: Region;
  readonly targetRegion: Region;
  readonly windowHost: Region;
  readonly checkIcrc: boolean;
  /** µs. */
  now = 0;

  constructor(memory: MemoryMap, config: Choices, checkIcrc: boolean) {
    this.memory = memory;
    this.checkIcrc = checkIcrc;
    memory.reset();
    const ipv6 = config.oneIn(4);
    this.own = toAddress(ipv6 ? 'fd00::1' : '10.0.0.1');
    this.peer = toAddress(ipv6 ? 'fd00::2' : '10.0.0.2', config.oneIn(4) ? 50_000 : 4791);
    this.mtu = config.pick(MTUS);
    this.rqPsn = config.pick(PSNS);
    this.sqPsn = config.pick(PSNS);
    this.nic = new Nic({ addresses: [this.own], random: new Random(7).u32, activeMtu: this.mtu, checkIcrc });
    this.cq = this.nic.createCq(512);
    this.tinyCq = this.nic.createCq(2);
    this.srq = this.nic.createSrq(PD, 8, 2);
    this.srq.limit = config.below(4);
    this.receiveRegion = this.#buffers('receives', ZoneKind.RECEIVE, RECEIVE_BUFFERS);
    this.targetRegion = this.#buffers('targets', ZoneKind.TARGET, TARGET_BUFFERS);
    this.#grantedRegions();
    this.windowHost = this.#region('window host', 1024, LOCAL_WRITE | MW_BIND);
    for (const plan of PLANS) this.#addQp(plan);
    this.#window(1, 128, 64);
    this.#window(2, 512, 256);
  }

  qpOf(qpn: number): KnownQp | undefined {
    return this.qps.find(({ qp }) => qp.qpn === qpn);
  }

  #addQp(plan: QpPlan): void {
    const cq = plan.tinyCq ? this.tinyCq : this.cq;
    const qp = this.nic.createQp(
      {
        type: plan.type,
        pd: plan.pd ?? PD,
        sendCq: cq,
        recvCq: cq,
        srq: plan.srq ? this.srq : null,
        signalAll: true,
        capacity: { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 2, maxRecvSge: 2, maxInlineData: 32 },
      },
      0,
    );
    this.qps.push({ qp, plan, everAccess: 0, lastPsn: this.rqPsn - 1 });
    bringUp(this, this.qps.length - 1, plan.until);
  }

  #grantedRegions(): void {
    this.#region('rw', 4096, LOCAL_WRITE | ALL_REMOTE);
    this.#region('ro', 2048, REMOTE_READ);
    this.#region('wo', 1024, LOCAL_WRITE | REMOTE_WRITE);
    this.#region('atomic', 64, LOCAL_WRITE | REMOTE_ATOMIC);
    this.#region('local', 1024, 0);
    this.#region('other domain', 1024, LOCAL_WRITE | ALL_REMOTE, OTHER_PD);
    this.#region('zero based', 512, LOCAL_WRITE | ALL_REMOTE | ZERO_BASED);
    this.#region('odd', 333, LOCAL_WRITE | ALL_REMOTE);
    this.#region('dead', 1024, LOCAL_WRITE | ALL_REMOTE);
    this.kill(this.regions.length - 1);
  }

  /** Deregisters a region. */
  kill(index: number): void {
    const known = this.regions[index] as KnownRegion;
    if (known.dead) return;
    known.dead = true;
    this.nic.regions.deregister(known.region);
  }

  #region(name: string, length: number, access: number, pd: number = PD): Region {
    const bytes = this.memory.carve(length);
    const { region, grant } = this.nic.regions.register(bytes, access, pd);
    const index = this.regions.push({ name, region, grant, dead: false }) - 1;
    if (grant !== null) this.memory.addZone(ZoneKind.GRANT, index, bytes, 0, length);
    return region;
  }

  #buffers(name: string, kind: ZoneKind, count: number): Region {
    const region = this.#region(name, count * PIECE_STRIDE_BYTES, LOCAL_WRITE);
    for (let i = 0; i < count; i++) {
      for (const [from, to] of PIECES) {
        const at = i * PIECE_STRIDE_BYTES;
        this.memory.addZone(kind, i, region.bytes, at + from, at + to);
      }
    }
    return region;
  }

  #window(owner: number, from: number, length: number): void {
    const window = new Window(PD, this.nic.regions.reserveKey());
    this.memory.addZone(ZoneKind.WINDOW, this.windows.length, this.windowHost.bytes, from, from + length);
    this.windows.push({ window, owner, from, length });
  }
}
