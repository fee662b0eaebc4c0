/**
 * Watches the NIC from outside, after every step: what memory changed, what left, what completed, what was counted.
 *
 * What it insists on: a datagram counts once, and under one drop reason at most; a dropped one changes no memory, a
 * taken one only what its queue pair may change; nothing else ever changes memory. What leaves is a well-formed packet,
 * and READ responses show only what the peer may read. A posted request completes once, and only if it was posted.
 */
import type { Datagram } from '../../../../src/roce/datagram.js';
import { DropReason } from '../../../../src/roce/drop-reason.js';
import type { Region } from '../../../../src/roce/memory/region.js';
import { packetLength, writePacket } from '../../../../src/roce/packet-writer.js';
import { TransmitBatch } from '../../../../src/roce/transmit-batch.js';
import { readU24 } from '../../../../src/roce/wire/bytes.js';
import { Icrc } from '../../../../src/roce/wire/icrc.js';
import { OpcodeFlag, opcodeFlags, opcodeName } from '../../../../src/roce/wire/opcodes.js';
import { PacketView, parsePacket } from '../../../../src/roce/wire/packet.js';
import { QpType } from '../../../../src/verbs/qp-state.js';
import { createCompletions, statusName, WcOpcode, WcStatus } from '../../../../src/verbs/work-completion.js';
import { Finding, must } from '../../target.js';
import { nothingMayChange } from './memory-map.js';
import { mayChange, mayShow } from './permissions.js';
import { Promises } from './promises.js';
import type { World } from './world.js';

/** More than all queue pairs together can have to say at once. */
const MAX_PACKETS_A_STEP = 20_000;
const MAX_EVENTS = 2000;
const KEPT_PACKETS = 16;

export class Observer {
  /** Datagrams that went in. */
  datagrams = 0;
  /** The newest packets that came out. */
  readonly sent: Uint8Array[] = [];
  readonly promises: Promises;
  readonly #world: World;
  readonly #batch = new TransmitBatch(32);
  readonly #small = new TransmitBatch(1);
  readonly #icrc = new Icrc();
  readonly #view = new PacketView();
  readonly #packet = new Uint8Array(8192);
  readonly #completions = createCompletions(16);
  /** wrId to the queue pair that it was posted to; -1 = to the shared receive queue. */
  readonly #posted = new Map<number, number>();
  #nextWrId = 1;
  #events = 0;

  constructor(world: World) {
    this.#world = world;
    this.promises = new Promises(world);
  }

  // --- in -----------------------------------------------------------------------------------------------------------

  receive(datagram: Datagram): void {
    const { nic, memory, now } = this.#world;
    const { counters } = nic;
    const taken = counters.rxPackets;
    const dropped = totalDrops(counters.drops);
    const { promises } = this;
    const openWindows = promises.openWindows();
    const replays = counters.readReplays;
    const opcode = datagram.bytes[datagram.at] as number;
    const index = this.#world.qps.findIndex(({ qp }) => qp.qpn === readU24(datagram.bytes, datagram.at + 5));
    const due = promises.dueBytes(index, readU24(datagram.bytes, datagram.at + 9));
    nic.receive(datagram, now);
    this.datagrams++;
    must(counters.rxPackets === taken + 1, 'a datagram is counted once');
    const drops = totalDrops(counters.drops) - dropped;
    must(drops === 0 || drops === 1, 'a datagram has one drop reason at most');
    must(counters.drops[DropReason.NONE] === 0, 'what is processed is no drop');
    const flags = opcodeFlags[opcode] as number;
    if (counters.readReplays > replays) promises.answeredAgain(index, datagram);
    if (drops === 0) {
      promises.taken(index, datagram);
      if (due >= 0 && isReadResponse(flags)) {
        parsePacket(this.#view, datagram.bytes, datagram.at, datagram.length);
        must(this.#view.payloadLength === due, 'READ data is as long as it was asked for');
      }
    }
    promises.check(index, openWindows);
    memory.check(
      (zone) => drops === 0 && index >= 0 && mayChange(this.#world, index, flags, zone),
      () =>
        `${opcodeName(opcode)} for ${this.#world.qps[index]?.plan.name}, ${drops === 1 ? 'dropped' : 'taken'}`,
    );
  }

  /** After anything but a datagram. */
  nothingChanged(what: string): void {
    this.#world.memory.check(nothingMayChange, () => what);
  }

  // --- out ----------------------------------------------------------------------------------------------------------

  /** Takes out everything that is to be sent; with `single`, one packet in a batch of one. */
  transmit(single = false): void {
    const { nic, now } = this.#world;
    const batch = single ? this.#small : this.#batch;
    let packets = 0;
    while (nic.wantsTransmit) {
      const count = nic.pollTransmit(batch, now);
      must(count === batch.count, 'pollTransmit returns how many it added');
      for (let i = 0; i < count; i++) this.#checkSent(batch, i);
      batch.reset();
      packets += count;
      must(packets <= MAX_PACKETS_A_STEP, 'what a step makes the NIC send is bounded');
      if (single) break;
    }
    this.nothingChanged('sending');
  }

  #checkSent(batch: TransmitBatch, i: number): void {
    const flow = batch.flow[i];
    const index = this.#world.qps.findIndex(({ qp }) => qp.flow === flow);
    must(flow !== null && flow !== undefined && index >= 0, 'a packet has the flow of a queue pair');
    const known = this.#world.qps[index];
    if (known === undefined) return;
    const { qp } = known;
    const opcode = batch.headers[i * 64] as number;
    const psn = readU24(batch.headers, i * 64 + 9);
    for (let s = batch.segmentStart[i] as number; s < (batch.segmentStart[i + 1] as number); s++) {
      const region = batch.segmentRegion[s] as Region;
      const from = batch.segmentOffset[s] as number;
      const length = batch.segmentLength[s] as number;
      must(region.pd === qp.pd, 'a packet carries memory of its own protection domain');
      must(from >= 0 && length > 0 && from + length <= region.bytes.length, 'a segment lies in its region');
      if (!isReadResponse(opcodeFlags[opcode] as number)) continue;
      must(mayShow(this.#world, index, region, from, length), `${known.plan.name} shows what it may`);
      this.promises.shown(index, psn, region, from, length);
    }
    const length = packetLength(batch, i);
    must(length <= qp.mtu + 64, 'a packet is no longer than the path takes');
    writePacket(batch, i, this.#packet, 0, this.#icrc);
    const view = this.#view;
    must(parsePacket(view, this.#packet, 0, length) === DropReason.NONE, 'what is sent can be parsed');
    must(qp.type === QpType.UD || view.destQpn === qp.destQpn, 'a packet goes to the peer');
    must((view.flags & qp.serviceFlags) !== 0, 'a packet is of the service of its queue pair');
    this.sent.push(this.#packet.slice(0, length));
    if (this.sent.length > KEPT_PACKETS) this.sent.shift();
  }

  // --- requests and completions ---------------------------------------------------------------------------------------

  /** A number for a request that is being posted to the queue pair `owner`, or with -1 to the shared queue. */
  posted(owner: number): number {
    const wrId = this.#nextWrId++;
    this.#posted.set(wrId, owner);
    return wrId;
  }

  /** The queue pair was reset: what it had does not complete. */
  forget(owner: number): void {
    for (const [wrId, postedTo] of this.#posted) if (postedTo === owner) this.#posted.delete(wrId);
    this.promises.forget(owner);
  }

  poll(): void {
    const { nic, cq, tinyCq } = this.#world;
    for (const queue of [cq, tinyCq]) {
      for (
        let count = queue.poll(this.#completions, 16);
        count > 0;
        count = queue.poll(this.#completions, 16)
      ) {
        for (let i = 0; i < count; i++) this.#checkCompletion(i);
      }
    }
    while (nic.takeFiredCq() !== undefined);
    while (nic.takeEvent() !== undefined) this.#events++;
    must(this.#events <= MAX_EVENTS, 'events are bounded');
    this.nothingChanged('polling');
  }

  #checkCompletion(i: number): void {
    const completion = this.#completions[i];
    if (completion === undefined) return;
    const { wrId, status, byteLen, opcode } = completion;
    const owner = this.#posted.get(wrId);
    if (owner === undefined) throw new Finding(`request ${wrId} was not posted, or completed before`);
    this.#posted.delete(wrId);
    must(!statusName(status).startsWith('STATUS_'), `status ${status} has a name`);
    if (status === WcStatus.SUCCESS && opcode === WcOpcode.RECV) this.promises.filled(wrId, byteLen);
    must(byteLen >= 0 && byteLen <= 0xffffffff && Number.isInteger(byteLen), 'a length is a length');
    must(owner < 0 || this.#world.qps[owner]?.qp.qpn === completion.qpn, 'a completion names its queue pair');
  }

  /** Requests of the queue pair that have not completed. */
  open(owner: number): number {
    let count = 0;
    for (const postedTo of this.#posted.values()) if (postedTo === owner) count++;
    return count;
  }
}

const READ_RESPONSE = OpcodeFlag.RESPONSE | OpcodeFlag.READ;
const isReadResponse = (flags: number): boolean => (flags & READ_RESPONSE) === READ_RESPONSE;

function totalDrops(drops: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < drops.length; i++) sum += drops[i] as number;
  return sum;
}
