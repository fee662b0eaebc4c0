/**
 * The network between simulated NICs. A packet that leaves one NIC suffers its link's faults, then waits in the queue
 * in front of the other NIC, which is bounded and shared by all senders, and is delivered from there at the port's
 * speed. Packets are real bytes, made by the production packet writer.
 */
import { Datagram } from '../../src/roce/datagram.js';
import type { Flow } from '../../src/roce/flow.js';
import type { Nic } from '../../src/roce/nic.js';
import { packetLength, writePacket } from '../../src/roce/packet-writer.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { copyAddress, type UdpAddress } from '../../src/verbs/address.js';
import type { EventQueue } from '../../testkit/event-queue.js';
import type { Random } from '../../testkit/random.js';
import type { LinkProfile, PortProfile, Scenario } from './scenario.js';

/** One packet under way. */
export interface Packet {
  from: number;
  to: number;
  bytes: Uint8Array;
  source: UdpAddress;
  destination: UdpAddress;
  corrupted: boolean;
  marked: boolean;
}

export interface NetworkListener {
  /** What the NIC made of it has happened already. May replace the packet by another one by returning it. */
  onTransmit(packet: Packet): Packet;
  deliver(packet: Packet): void;
}

/** IP and UDP headers on the wire. */
const OVERHEAD_BYTES = 62;
/** Flipping any of these bits changes nothing that the ICRC covers. */
const UNCOVERED_BYTE = 4;

export class Network {
  packets = 0;
  lost = 0;
  duplicated = 0;
  reordered = 0;
  corrupted = 0;
  marked = 0;
  tailDropped = 0;
  partitioned = 0;
  /** Packets that were sent and have not arrived or vanished yet. */
  inFlight = 0;
  readonly #scenario: Scenario;
  readonly #events: EventQueue;
  readonly #random: Random;
  readonly #listener: NetworkListener;
  readonly #addresses = new Map<string, number>();
  readonly #batch = new TransmitBatch(64);
  readonly #turnBatches = new Map<number, TransmitBatch>();
  readonly #icrc = new Icrc();
  readonly #queued: number[];
  readonly #busyUntil: number[];

  constructor(scenario: Scenario, events: EventQueue, random: Random, listener: NetworkListener) {
    this.#scenario = scenario;
    this.#events = events;
    this.#random = random;
    this.#listener = listener;
    this.#queued = scenario.ports.map(() => 0);
    this.#busyUntil = scenario.ports.map(() => 0);
  }

  register(nic: number, addresses: readonly UdpAddress[]): void {
    for (const address of addresses) this.#addresses.set(keyOf(address), nic);
  }

  /** Takes everything that `nic` has to send now. */
  transmitFrom(index: number, nic: Nic, now: number): void {
    const batch = this.#batch;
    while (nic.pollTransmit(batch, now) > 0) {
      for (let i = 0; i < batch.count; i++) this.#send(batch, index, i, now);
      batch.reset();
    }
  }

  /** The same, but a few packets at most. */
  transmitTurn(index: number, nic: Nic, now: number, packets: number): void {
    const small = this.#turnBatch(packets);
    nic.pollTransmit(small, now);
    for (let i = 0; i < small.count; i++) this.#send(small, index, i, now);
    small.reset();
  }

  #turnBatch(packets: number): TransmitBatch {
    const batch = this.#turnBatches.get(packets) ?? new TransmitBatch(packets);
    this.#turnBatches.set(packets, batch);
    return batch;
  }

  #send(batch: TransmitBatch, from: number, index: number, now: number): void {
    const flow = batch.flow[index] as Flow;
    const to = this.#addresses.get(keyOf(flow.destination));
    if (to === undefined) throw new Error('a packet to nowhere');
    const bytes = new Uint8Array(packetLength(batch, index));
    writePacket(batch, index, bytes, 0, this.#icrc);
    const packet = {
      from,
      to,
      bytes,
      source: flow.source,
      destination: flow.destination,
      corrupted: false,
      marked: false,
    };
    this.inject(this.#listener.onTransmit(packet), now);
  }

  /** Puts a packet onto its link, with all that may happen to it there. */
  inject(packet: Packet, now: number): void {
    const link = this.#scenario.links[packet.from]?.[packet.to] as LinkProfile;
    const random = this.#random;
    this.packets++;
    if (random.chance(link.loss)) {
      this.lost++;
      return;
    }
    if (this.#isPartitioned(packet, now)) {
      this.partitioned++;
      return;
    }
    if (random.chance(link.duplicate)) {
      this.duplicated++;
      this.#travel({ ...packet }, link, now);
    }
    this.#travel(packet, link, now);
  }

  #travel(sent: Packet, link: LinkProfile, now: number): void {
    const random = this.#random;
    const packet = random.chance(link.corrupt) ? this.#corrupt(sent) : sent;
    let delay = link.delayMicros + random.unit() * link.jitterMicros;
    if (random.chance(link.reorder)) {
      this.reordered++;
      delay += random.unit() * link.reorderMicros;
    }
    this.inFlight++;
    this.#events.add(now + delay, () => this.#enqueue(packet, now + delay));
  }

  #corrupt(packet: Packet): Packet {
    const bytes = packet.bytes.slice();
    let covered = false;
    for (let flips = this.#random.int(1, 3); flips > 0; flips--) {
      const at = this.#random.int(0, bytes.length - 1);
      if (at === UNCOVERED_BYTE) continue;
      const bit = 1 << this.#random.int(0, 7);
      bytes[at] = (bytes[at] as number) ^ bit;
      covered = true;
    }
    // Two flips of the same bit undo each other.
    const changed = covered && bytes.some((byte, at) => byte !== packet.bytes[at]);
    if (changed) this.corrupted++;
    return { ...packet, bytes, corrupted: changed };
  }

  #enqueue(packet: Packet, now: number): void {
    const port = this.#scenario.ports[packet.to] as PortProfile;
    const queued = this.#queued[packet.to] as number;
    if (queued >= port.queuePackets) {
      this.tailDropped++;
      this.inFlight--;
      return;
    }
    if (port.ecnPackets > 0 && queued > port.ecnPackets) {
      this.marked++;
      packet.marked = true;
    }
    this.#queued[packet.to] = queued + 1;
    const start = Math.max(now, this.#busyUntil[packet.to] as number, this.#clogEnd(packet.to, now));
    const done = start + (packet.bytes.length + OVERHEAD_BYTES) / port.bytesPerMicro;
    this.#busyUntil[packet.to] = done;
    this.#events.add(done, () => {
      this.#queued[packet.to] = (this.#queued[packet.to] as number) - 1;
      this.inFlight--;
      this.#listener.deliver(packet);
    });
  }

  #isPartitioned(packet: Packet, now: number): boolean {
    return this.#scenario.outages.some(
      (outage) =>
        outage.kind === 'partition' &&
        (outage.nic === packet.from || outage.nic === packet.to) &&
        now >= outage.fromMicros &&
        now < outage.untilMicros,
    );
  }

  #clogEnd(nic: number, now: number): number {
    let end = 0;
    for (const outage of this.#scenario.outages) {
      if (outage.kind !== 'clog' || outage.nic !== nic) continue;
      if (now >= outage.fromMicros && now < outage.untilMicros) end = Math.max(end, outage.untilMicros);
    }
    return end;
  }
}

/** Fills the port's datagram object, of which there is one, as a production port does. */
export function fillDatagram(datagram: Datagram, packet: Packet): Datagram {
  datagram.bytes = packet.bytes;
  datagram.at = 0;
  datagram.length = packet.bytes.length;
  datagram.congestionExperienced = packet.marked;
  copyAddress(packet.source, datagram.source);
  copyAddress(packet.destination, datagram.destination);
  return datagram;
}

export const newDatagram = (): Datagram => new Datagram();

const keyOf = (address: UdpAddress): string =>
  `${address.w0},${address.w1},${address.w2},${address.w3},${address.port}`;
