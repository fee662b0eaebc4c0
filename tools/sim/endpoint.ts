/**
 * One side of a connection: its queue pair, the memory of its program in the present epoch, and the records of what
 * it has posted. It posts through the same calls of the engine as a device does.
 */
import type { Cq } from '../../src/roce/completion/cq.js';
import type { Nic } from '../../src/roce/nic.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { Requester } from '../../src/roce/qp/requester.js';
import { Responder } from '../../src/roce/qp/responder.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { formatGid } from '../../src/verbs/address.js';
import type { Psn, Qpn } from '../../src/verbs/brands.js';
import { QpState } from '../../src/verbs/qp-state.js';
import type { WcStatus } from '../../src/verbs/work-completion.js';
import type { Random } from '../../testkit/random.js';
import { Arena } from './arena.js';
import type { SharedWord } from './checks/atomics.js';
import type { ConnectionDriver } from './connection-driver.js';
import { receiveCapacity } from './generate-epochs.js';
import type { ReceiveRecord, SendRecord } from './records.js';
import { ALL_RIGHTS, type Epoch, needsReceive, type Operation, type Side } from './scenario.js';

export const PD = 1;
export const FOREIGN_PD = 2;

/** What endpoints share at one NIC. */
export interface Host {
  readonly index: number;
  readonly nic: Nic;
  readonly cq: Cq;
  readonly words: Arena;
  readonly sharedWords: readonly SharedWord[];
  readonly sharedReceives: Map<number, ReceiveRecord>;
  readonly sharedArena: Arena;
  /** Bytes of every receive in the shared queue. */
  readonly sharedCapacity: number;
  readonly idleQp: Qp;
  receivesPosted: number;
  /** When it may send again. */
  nextTurnAt: number;
}

export class Endpoint {
  readonly name: string;
  readonly host: Host;
  readonly qp: Qp;
  readonly requester: Requester;
  readonly responder: Responder;
  readonly side: Side;
  readonly driver: ConnectionDriver;
  readonly usesSrq: boolean;
  readonly random: Random;
  peer!: Endpoint;

  sends: SendRecord[] = [];
  settledSends = 0;
  /** Requests that take a receive at the peer, in posting order. */
  messages: SendRecord[] = [];
  receives: ReceiveRecord[] = [];
  completedReceives = 0;
  receivedMessages = 0;
  failedReceives: WcStatus[] = [];
  failedStatus: WcStatus | null = null;
  /** A send has failed or was flushed: from now on every one reports. */
  flushing = false;
  uncertainWrites: SendRecord[] = [];
  /** Names of asynchronous events of this epoch. */
  events: string[] = [];
  /** SQ_DRAINED was raised and the queue pair has not gone on since: no new request may leave. */
  drained = false;
  /** The PSN of its next new packet when it was drained. */
  drainedPsn = 0;
  /** PSN of the peer's latest sequence NAK in this epoch; -1 = none. */
  lastNakPsn = -1;

  /** Sources of what it sends, targets of what it reads, receives. */
  local!: Arena;
  /** What the peer may read and write. */
  target!: Arena;
  /** May be read by the peer, not written. */
  readable!: Arena;
  /** May be written by the peer, not read. */
  writable!: Arena;
  /** Of another protection domain. */
  foreign!: Arena;
  receiveBytes = 0;

  constructor(name: string, host: Host, qp: Qp, side: Side, driver: ConnectionDriver, random: Random) {
    this.name = name;
    this.host = host;
    this.qp = qp;
    const { requester, responder } = qp;
    if (!(requester instanceof Requester && responder instanceof Responder))
      throw new Error('not an RC queue pair');
    this.requester = requester;
    this.responder = responder;
    this.side = side;
    this.driver = driver;
    this.usesSrq = qp.srq !== null;
    this.random = random;
  }

  get nic(): Nic {
    return this.host.nic;
  }

  get inError(): boolean {
    return this.qp.state === QpState.ERR;
  }

  /** READs and atomics that it may have unfinished. */
  maxRdAtomic = 0;

  get arenas(): readonly Arena[] {
    return [this.local, this.target, this.readable, this.writable, this.foreign];
  }

  // --- epochs -------------------------------------------------------------------------------------------------------

  /** New memory, sized for everything that the epoch will do with it. */
  beginEpoch(epoch: Epoch): void {
    this.sends = [];
    this.settledSends = 0;
    this.messages = [];
    this.receives = [];
    this.completedReceives = 0;
    this.receivedMessages = 0;
    this.failedReceives = [];
    this.failedStatus = null;
    this.flushing = false;
    this.uncertainWrites = [];
    this.events = [];
    this.drained = false;
    this.lastNakPsn = -1;
    this.maxRdAtomic = epoch.noReads === this.side ? 0 : this.driver.connection.maxRdAtomic[this.side];
    this.receiveBytes = this.usesSrq ? this.host.sharedCapacity : receiveCapacity(epoch, this.side);
    let local = 256;
    let target = 4096 + 256;
    for (const operation of epoch.operations) {
      if (operation.side === this.side)
        local += Arena.need(this.lengthOf(operation), Math.max(1, operation.sges));
      else target = Math.max(target, operation.offset + operation.length);
      if (operation.side === this.side && operation.kind === 'bind') {
        target = Math.max(target, operation.offset + operation.length);
      }
      if (operation.side !== this.side && needsReceive(operation)) local += Arena.need(this.receiveBytes, 16);
    }
    const make = (what: string, length: number, access: number, pd = PD): Arena =>
      new Arena(`${what} memory of ${this.name}`, this.nic, length, access, pd, this.random);
    this.local = make('local', local, AccessFlags.LOCAL_WRITE);
    this.target = make('target', target, ALL_RIGHTS | AccessFlags.MW_BIND);
    this.readable = make('read-only', target, AccessFlags.REMOTE_READ);
    this.writable = make('write-only', target, AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE);
    this.foreign = make('foreign', target, ALL_RIGHTS | AccessFlags.MW_BIND, FOREIGN_PD);
  }

  endEpoch(): void {
    for (const arena of this.arenas) arena.deregister();
  }

  /** A message that is too long is longer than what the peer receives into; the plan does not know that length. */
  lengthOf(operation: Operation): number {
    return operation.wrong === 'tooLong' ? this.peerReceiveBytes + operation.length : operation.length;
  }

  get peerReceiveBytes(): number {
    const { peer } = this;
    return peer.usesSrq ? peer.host.sharedCapacity : receiveCapacity(this.driver.epoch, peer.side);
  }

  // --- states -------------------------------------------------------------------------------------------------------

  toInit(): void {
    const { epoch } = this.driver;
    this.qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: epoch.accessFlags });
    this.driver.world.marks.hit('state 1');
  }

  toRtr(): void {
    const { connection, epoch } = this.driver;
    const { peer } = this;
    const address = peer.nic.addresses[connection.ipv6 ? 1 : 0];
    if (address === undefined) throw new Error('no address');
    this.qp.modify({
      state: QpState.RTR,
      av: { dgid: formatGid(address), udpPort: address.port },
      destQpn: peer.qp.qpn as Qpn,
      pathMtu: connection.mtu,
      rqPsn: epoch.psns[peer.side] as Psn,
      maxDestRdAtomic: connection.maxRdAtomic[peer.side] + connection.spareRdAtomic,
      minRnrTimer: connection.minRnrTimer,
    });
  }

  toRts(): void {
    const { connection, epoch } = this.driver;
    this.qp.modify({
      state: QpState.RTS,
      sqPsn: epoch.psns[this.side] as Psn,
      timeout: connection.timeout,
      retryCount: connection.retryCount,
      rnrRetry: connection.rnrRetry,
      maxRdAtomic: this.maxRdAtomic,
    });
  }

  /** In SQD: other limits for READs and atomics, which must hold at once for what comes next. */
  changeLimits(): void {
    const { connection, world } = this.driver;
    const mine = connection.maxRdAtomic[this.side];
    if (this.maxRdAtomic > 0) this.maxRdAtomic = this.random.int(1, mine);
    this.qp.modify({
      state: QpState.SQD,
      minRnrTimer: connection.minRnrTimer,
      maxRdAtomic: this.maxRdAtomic,
      maxDestRdAtomic: connection.maxRdAtomic[this.peer.side] + this.random.int(0, 3),
    });
    world.marks.hit('limits changed');
  }
}
