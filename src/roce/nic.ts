/**
 * A whole RoCEv2 NIC without I/O: no sockets, clocks or randomness of its own. Its owner feeds it datagrams and time,
 * and takes packets, completions and events out of it:
 *
 *     receive(datagram, now)       a datagram came in
 *     handleTimeout(now)           nextDeadline() has passed
 *     pollTransmit(batch, now)     takes packets to send; call until it returns 0
 *     takeFiredCq(), takeEvent()   armed completion queues that fired, asynchronous events
 *
 * Times are µs of any monotonic clock. Hostile datagrams never throw: each is processed or counted under a reason.
 */

import { AccessFlags } from '../verbs/access-flags.js';
import { formatIp, isIpv4, parseGid, sameGid, type UdpAddress } from '../verbs/address.js';
import type { AddressVector } from '../verbs/address-handle.js';
import { usageError } from '../verbs/errors.js';
import { invariant } from '../verbs/invariant.js';
import type { PathMtu } from '../verbs/mtu.js';
import { mayReceive, QpState, QpType } from '../verbs/qp-state.js';
import { Cq, type CqOwner } from './completion/cq.js';
import { Counters } from './counters.js';
import type { Datagram } from './datagram.js';
import { Deadlines } from './deadlines.js';
import { DropReason } from './drop-reason.js';
import { Flow } from './flow.js';
import { Gsi, type GsiOwner } from './gsi.js';
import { GSI_QPN } from './mad/gmp.js';
import { RemoteGrant } from './memory/region.js';
import { RegionTable } from './memory/region-table.js';
import type { BindRequest } from './qp/bind-request.js';
import type { NicHost, QpEvent } from './qp/nic-host.js';
import { Qp, type QpInit } from './qp/qp.js';
import { QpnAllocator } from './qp/qpn-allocator.js';
import { Srq } from './qp/srq.js';
import type { RandomU32 } from './random.js';
import type { Sender } from './sender.js';
import { MAX_SEGMENTS_PER_PACKET, type TransmitBatch } from './transmit-batch.js';
import { Turns } from './turns.js';
import { Icrc } from './wire/icrc.js';
import { OpcodeFlag } from './wire/opcodes.js';
import { PacketView, parsePacket } from './wire/packet.js';

export const ROCE_PORT = 4791;

// Every packet needs these. Engines read a constant of the module itself faster than an imported or exported one.
const { NONE, WRONG_SERVICE } = DropReason;
const { CNP } = OpcodeFlag;
const { UD } = QpType;
const STANDARD_PORT = ROCE_PORT;

export interface NicOptions {
  /** Address and UDP port that packets leave from and arrive at; the GID table, index 0 upwards. */
  readonly addresses: readonly UdpAddress[];
  readonly random: RandomU32;
  /** Bytes that the largest UD datagram carries. Default 4096. */
  readonly activeMtu?: PathMtu;
  /** Default: the portable one. */
  readonly icrc?: Icrc;
  /** `false` only where corruption is impossible, or to test what then gets through. Default true. */
  readonly checkIcrc?: boolean;
  /**
   * Whether an acknowledgement leaves behind the requests of its turn. It is mostly the shortest packet, and a port that
   * sends a run of packets of one length with a shorter one behind as one burst saves a send so. Default false: before
   * them, as RNICs do, so that the peer's SEND completes before the answer to it arrives.
   */
  readonly acknowledgesLast?: boolean;
}

/** Asynchronous events, about engine objects. */
export type NicEvent =
  | QpEvent<Qp>
  | { readonly type: 'CQ_ERR'; readonly cq: Cq }
  | { readonly type: 'SRQ_LIMIT_REACHED'; readonly srq: Srq };

export class Nic implements CqOwner, NicHost<Qp> {
  readonly addresses: readonly UdpAddress[];
  readonly counters = new Counters();
  completions = 0;
  readonly regions: RegionTable;
  readonly icrc: Icrc;
  readonly activeMtu: PathMtu;
  readonly acknowledgesLast: boolean;
  readonly #checkIcrc: boolean;
  readonly #qpns: QpnAllocator;
  readonly #qps = new Map<number, Qp>();
  readonly #deadlines = new Deadlines<Qp | Gsi>();
  readonly #packet = new PacketView();
  readonly #firedCqs: Cq[] = [];
  readonly #events: NicEvent[] = [];
  readonly #overruns: Cq[] = [];
  /** The queue pairs that complete into each queue: nothing that goes wrong with one walks those of others. */
  readonly #usersOf = new Map<Cq, Set<Qp>>();
  readonly #turns = new Turns();
  #gsi: Gsi | null = null;

  constructor(options: NicOptions) {
    this.addresses = options.addresses;
    this.regions = new RegionTable(options.random);
    this.icrc = options.icrc ?? new Icrc();
    this.activeMtu = options.activeMtu ?? 4096;
    this.acknowledgesLast = options.acknowledgesLast ?? false;
    this.#checkIcrc = options.checkIcrc ?? true;
    this.#qpns = new QpnAllocator(options.random);
  }

  // --- the four verbs of the engine ---------------------------------------------------------------------------------

  /** Takes one datagram. Never throws, whatever is in it. */
  receive(datagram: Datagram, now: number): void {
    this.counters.rxPackets++;
    this.counters.rxBytes += datagram.length;
    const reason = this.#process(datagram, now);
    if (reason !== NONE) this.counters.drop(reason);
    if (this.#overruns.length > 0) this.#failOverrunUsers();
  }

  /** Wakes whatever is due. */
  handleTimeout(now: number): void {
    for (;;) {
      const due = this.#deadlines.popDue(now);
      if (due === null) break;
      due.handleTimeout(now);
      INVARIANT: invariant(due.heapIndex < 0 || due.heapKey > now, 'what was woken is due later, or never');
    }
    if (this.#overruns.length > 0) this.#failOverrunUsers();
  }

  /** Fills `batch`, taking senders in turn, and returns how many packets were added. */
  pollTransmit(batch: TransmitBatch, now: number): number {
    const before = batch.count;
    while (batch.hasRoom && this.#turns.take(batch, now));
    if (this.#overruns.length > 0) this.#failOverrunUsers();
    return batch.count - before;
  }

  /** Whether `pollTransmit` may find something to do. */
  get wantsTransmit(): boolean {
    return !this.#turns.areOver;
  }

  /** When `handleTimeout` wants to be called next, µs; Infinity = never. May be too early, never too late. */
  nextDeadline(): number {
    return this.#deadlines.next;
  }

  /**
   * When `handleTimeout` will find something to do, µs; Infinity = never. Costs more than `nextDeadline`, which still has the times of
   * queue pairs whose answers have come: for an owner that goes to sleep.
   */
  nextWake(): number {
    const deadlines = this.#deadlines;
    for (let first = deadlines.first; first !== null; first = deadlines.first) {
      const at = first.nextDeadline;
      if (at <= first.heapKey) break;
      deadlines.postponeFirst(at);
    }
    return deadlines.next;
  }

  /** What `nextDeadline` says, at index 0, for whom even the number that a call returns is too much garbage. */
  get earliestDeadline(): Float64Array {
    return this.#deadlines.earliest;
  }

  takeFiredCq(): Cq | undefined {
    return this.#firedCqs.shift();
  }

  takeEvent(): NicEvent | undefined {
    return this.#events.shift();
  }

  // --- objects ------------------------------------------------------------------------------------------------------

  createCq(capacity: number): Cq {
    return new Cq(capacity, this);
  }

  createSrq(pd: number, maxWr: number, maxSge: number): Srq {
    return new Srq(pd, maxWr, maxSge, (srq) => this.raise({ type: 'SRQ_LIMIT_REACHED', srq }));
  }

  createQp(init: QpInit, now: number): Qp {
    if (init.capacity.maxSendSge > MAX_SEGMENTS_PER_PACKET) {
      throw usageError(`maxSendSge is ${MAX_SEGMENTS_PER_PACKET} at most, not ${init.capacity.maxSendSge}`);
    }
    const qp = new Qp(this, this.#qpns.allocate(now), init);
    this.#qps.set(qp.qpn, qp);
    this.#addUser(qp.sendCq, qp);
    this.#addUser(qp.recvCq, qp);
    init.sendCq.users++;
    init.recvCq.users++;
    if (init.srq !== null) init.srq.users++;
    return qp;
  }

  /** Outstanding requests vanish without completions. */
  destroyQp(qp: Qp, now: number): void {
    if (qp.destroyed) return;
    qp.destroyed = true;
    qp.modify({ state: QpState.RESET });
    this.#deadlines.remove(qp);
    this.regions.revokeAllOf(qp.qpn);
    this.#qps.delete(qp.qpn);
    this.#removeUser(qp.sendCq, qp);
    this.#removeUser(qp.recvCq, qp);
    this.#qpns.release(qp.qpn, now);
    qp.sendCq.users--;
    qp.recvCq.users--;
    if (qp.srq !== null) qp.srq.users--;
  }

  #addUser(cq: Cq, qp: Qp): void {
    const users = this.#usersOf.get(cq);
    if (users === undefined) this.#usersOf.set(cq, new Set([qp]));
    else users.add(qp);
  }

  #removeUser(cq: Cq, qp: Qp): void {
    const users = this.#usersOf.get(cq);
    if (users?.delete(qp) === true && users.size === 0) this.#usersOf.delete(cq);
  }

  get qpCount(): number {
    return this.#qps.size;
  }

  findQp(qpn: number): Qp | undefined {
    return this.#qps.get(qpn);
  }

  /** Opens queue pair 1: its datagrams go to `owner` from now on. Until then they are dropped as of an unknown number. */
  openGsi(owner: GsiOwner): Gsi {
    const gsi = new Gsi(this, owner);
    this.#gsi = gsi;
    return gsi;
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a GID that is none, or of a family that this NIC has no address of. */
  createFlow(av: AddressVector): Flow {
    const destination = parseGid(av.dgid);
    if (destination === undefined) {
      throw usageError(`dgid '${av.dgid}' is not an IPv6 address or ::ffff:a.b.c.d`);
    }
    const index =
      av.sgidIndex ?? this.addresses.findIndex((address) => isIpv4(address) === isIpv4(destination));
    const source = this.addresses[index];
    if (source === undefined || isIpv4(source) !== isIpv4(destination)) {
      const own = this.addresses.map(formatIp).join(', ');
      throw usageError(
        `no GID of this device (${own}) can reach ${formatIp(destination)}: both must be IPv4 or both IPv6`,
      );
    }
    const flow = new Flow(source, destination);
    destination.port = inRange('udpPort', av.udpPort ?? ROCE_PORT, 0xffff);
    flow.trafficClass = inRange('trafficClass', av.trafficClass ?? 0, 0xff);
    flow.hopLimit = inRange('hopLimit', av.hopLimit ?? 64, 0xff);
    flow.flowLabel = inRange('flowLabel', av.flowLabel ?? 0, 0xfffff);
    return flow;
  }

  /** BIND_MW: puts a window over a part of a region, good for the queue pair that posted it. */
  bindWindow(qp: Qp, bind: BindRequest): boolean {
    const { mw: window, mr: region } = bind;
    if (!window.valid || !region.valid || window.pd !== qp.pd || region.pd !== qp.pd) return false;
    if ((region.access & AccessFlags.MW_BIND) === 0) return false;
    const writes = AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;
    if ((bind.access & writes) !== 0 && (region.access & AccessFlags.LOCAL_WRITE) === 0) return false;
    if (bind.offset < 0 || bind.length < 0 || bind.offset > region.bytes.length - bind.length) return false;
    // A window in force must be invalidated first, as RNICs and Linux rxe demand.
    if (window.grant?.valid === true || bind.length === 0) return false;
    if (bind.rkey === 0 || this.regions.findGrant(bind.rkey) !== undefined) return false;
    window.rkey = bind.rkey;
    window.grant = new RemoteGrant(
      bind.rkey,
      region,
      region.va + bind.offset,
      bind.length,
      bind.access,
      qp.qpn,
    );
    this.regions.addGrant(window.grant);
    return true;
  }

  // --- for queue pairs and completion queues ------------------------------------------------------------------------

  schedule(sender: Sender): void {
    this.#turns.enter(sender);
  }

  armTimer(sender: Qp | Gsi, at: number): void {
    if (!sender.destroyed) this.#deadlines.arm(sender, at);
  }

  raise(event: NicEvent): void {
    this.#events.push(event);
  }

  cqFired(cq: Cq): void {
    this.#firedCqs.push(cq);
  }

  cqOverrun(cq: Cq, isFirst: boolean): void {
    if (!this.#overruns.includes(cq)) this.#overruns.push(cq);
    if (!isFirst) return;
    this.counters.cqOverruns++;
    this.raise({ type: 'CQ_ERR', cq });
  }

  /** Queue pairs cannot go on without a place for their completions. Not done inside `push`, which is amid things. */
  #failOverrunUsers(): void {
    for (let cq = this.#overruns.pop(); cq !== undefined; cq = this.#overruns.pop()) {
      for (const qp of this.#usersOf.get(cq) ?? []) qp.fail('QP_FATAL');
    }
  }

  /** To be called after posting, which can complete requests at once. */
  settle(): void {
    if (this.#overruns.length > 0) this.#failOverrunUsers();
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /** The cheap questions come first, so that a flood of nonsense costs little; the ICRC comes before any effect. */
  #process(datagram: Datagram, now: number): DropReason {
    const packet = this.#packet;
    const reason = parsePacket(packet, datagram.bytes, datagram.at, datagram.length);
    if (reason !== NONE) return reason;
    if ((packet.pkey & 0x7fff) !== 0x7fff) return DropReason.BAD_PKEY;
    const qp = this.#qps.get(packet.destQpn);
    if (qp === undefined) return this.#processForGsi(packet, datagram, now);
    qp.counters.rxPackets++;
    qp.counters.rxBytes += datagram.length;
    const verdict = this.#processFor(qp, packet, datagram, now);
    if (verdict !== NONE) qp.counters.drop(verdict);
    return verdict;
  }

  #processForGsi(packet: PacketView, datagram: Datagram, now: number): DropReason {
    if (packet.destQpn !== GSI_QPN || this.#gsi === null) return DropReason.UNKNOWN_QPN;
    if (!this.#isOwn(datagram.destination)) return DropReason.WRONG_SOURCE;
    if (!datagram.icrcVerified && this.#checkIcrc && !this.#verifyIcrc(datagram)) return DropReason.BAD_ICRC;
    return this.#gsi.onPacket(packet, datagram, now);
  }

  #processFor(qp: Qp, packet: PacketView, datagram: Datagram, now: number): DropReason {
    if ((packet.flags & qp.expectedFlags) === 0) return this.#processFirst(qp, packet, datagram, now);
    if (!mayReceive(qp.state)) return DropReason.BAD_STATE;
    if (!this.#isAddressed(qp, datagram)) return DropReason.WRONG_SOURCE;
    if (!datagram.icrcVerified && this.#checkIcrc && !this.#verifyIcrc(datagram)) return DropReason.BAD_ICRC;
    if ((packet.flags & CNP) !== 0) {
      qp.counters.count('cnpsReceived');
      qp.requester.onCongestionNotice();
      return NONE;
    }
    if (datagram.congestionExperienced) {
      qp.counters.count('congestionMarks');
      qp.onCongestionMark(now);
    }
    return qp.onPacket(packet, datagram, now);
  }

  /**
   * A packet that `qp` does not expect: of another service, or the first that somebody waits for, so that no other packet
   * is asked whether it is that. One that is taken says that the peer is ready; a CNP proves nothing.
   */
  #processFirst(qp: Qp, packet: PacketView, datagram: Datagram, now: number): DropReason {
    if (qp.expectedFlags !== 0 || (packet.flags & qp.serviceFlags) === 0) return WRONG_SERVICE;
    qp.expectedFlags = qp.serviceFlags;
    const verdict = this.#processFor(qp, packet, datagram, now);
    const isTaken = verdict === NONE || verdict === DropReason.NO_RECEIVE;
    if (isTaken && (packet.flags & CNP) === 0) this.raise({ type: 'COMM_EST', qp });
    else qp.expectedFlags = 0;
    return verdict;
  }

  /** UD hears everybody, at any of this NIC's addresses; the connected services hear their peer alone. */
  #isAddressed(qp: Qp, datagram: Datagram): boolean {
    return qp.type === UD ? this.#isOwn(datagram.destination) : isFromPeer(datagram, qp.flow);
  }

  #isOwn(destination: UdpAddress): boolean {
    for (const address of this.addresses) if (sameGid(destination, address)) return true;
    return false;
  }

  #verifyIcrc(datagram: Datagram): boolean {
    return this.icrc.verify(
      datagram.source,
      datagram.destination,
      datagram.bytes,
      datagram.at,
      datagram.length,
    );
  }
}

function inRange(name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw usageError(`${name} of an address vector must be an integer from 0 to ${max}, not ${value}`);
}

/**
 * Addresses must match the queue pair's path both ways. A peer on the standard port may send from any source port, as
 * RNICs do; one that declared another port is held to it.
 */
function isFromPeer(datagram: Datagram, flow: Flow): boolean {
  if (!sameGid(datagram.source, flow.destination) || !sameGid(datagram.destination, flow.source))
    return false;
  return flow.destination.port === STANDARD_PORT || flow.destination.port === datagram.source.port;
}
