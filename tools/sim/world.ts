/**
 * A simulated network of NICs with programs on them, in virtual time. The engine runs unchanged: it is fed datagrams,
 * time and posted requests, and everything that comes out of it is judged.
 */
import { DropReason } from '../../src/roce/drop-reason.js';
import { Nic } from '../../src/roce/nic.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { bthDestQpn, bthOpcode } from '../../src/roce/wire/bth.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { opcodeName } from '../../src/roce/wire/opcodes.js';
import { parseGid, type UdpAddress } from '../../src/verbs/address.js';
import { QpType } from '../../src/verbs/qp-state.js';
import { createCompletions } from '../../src/verbs/work-completion.js';
import { EventQueue } from '../../testkit/event-queue.js';
import { Random } from '../../testkit/random.js';
import { Arena } from './arena.js';
import { SharedWord } from './checks/atomics.js';
import { checkBounds } from './checks/bounds.js';
import { checkNak } from './checks/naks.js';
import { NotificationChecker } from './checks/notifications.js';
import { checkQuiet } from './checks/quiescence.js';
import { ConnectionDriver } from './connection-driver.js';
import { Endpoint, type Host, PD } from './endpoint.js';
import { expect, SimFailure } from './failure.js';
import { Marks } from './marks.js';
import { fillDatagram, Network, type NetworkListener, newDatagram, type Packet } from './network.js';
import { INLINE_BYTES } from './posting.js';
import type { ReceiveRecord } from './records.js';
import { ResumeRewriter } from './resume-rewriter.js';
import { ALL_RIGHTS, type Connection, type HostProfile, type Scenario } from './scenario.js';
import { sharedReceiveBytes, sharedReceiveCount } from './shared-receives.js';

const MAX_EVENTS = 3_000_000;
const MAX_MICROS = 600_000_000;
const CQ_ENTRIES = 4096;

export interface WorldResult {
  readonly packets: number;
  readonly marks: Marks;
  readonly micros: number;
}

/** Over IPv4 accepts no other identification than what the simulated ports send, so that the CRC keeps its 32 bits. */
class StrictIcrc extends Icrc {
  override verify(...args: Parameters<Icrc['verify']>): boolean {
    return super.verify(...args) && this.lastIdentification === 0;
  }
}

export class World implements NetworkListener {
  now = 0;
  readonly network: Network;
  readonly marks = new Marks();
  readonly #scenario: Scenario;
  readonly #events = new EventQueue();
  readonly #hosts: Host[] = [];
  readonly #drivers: ConnectionDriver[] = [];
  readonly #endpoints: Endpoint[] = [];
  readonly #byQpn: Map<number, Endpoint>[] = [];
  readonly #completions = createCompletions(64);
  readonly #datagram = newDatagram();
  readonly #rewriter: ResumeRewriter | null;
  readonly #retired: Arena[] = [];
  readonly #notification = new NotificationChecker(this.marks);
  #steps = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const random = new Random(scenario.seed + 0.5);
    this.network = new Network(scenario, this.#events, random.fork(), this);
    this.#rewriter = scenario.resumeInside ? new ResumeRewriter() : null;
    for (let i = 0; i < scenario.nics; i++) this.#hosts.push(this.#createHost(i, random.fork()));
    for (const [index, connection] of scenario.connections.entries()) {
      const seed = random.fork();
      this.#drivers.push(
        new ConnectionDriver(this, scenario, connection, index, (driver) =>
          this.#createSides(driver, connection, index, seed),
        ),
      );
    }
  }

  // --- making -------------------------------------------------------------------------------------------------------

  #createHost(index: number, random: Random): Host {
    const addresses = [toAddress(`10.0.0.${index + 1}`), toAddress(`fd00::${index + 1}`)];
    // Both orders, against each other.
    const acknowledgesLast = index % 2 === 1;
    const nic = new Nic({ addresses, random: random.u32, icrc: new StrictIcrc(), acknowledgesLast });
    this.network.register(index, addresses);
    const cq = nic.createCq(CQ_ENTRIES);
    const words = new Arena(`words of NIC ${index}`, nic, this.#scenario.words * 8, ALL_RIGHTS, PD, random);
    const sharedCapacity = sharedReceiveBytes(this.#scenario, index);
    const bytes = sharedReceiveCount(this.#scenario, index) * Arena.need(sharedCapacity, 16);
    this.#byQpn.push(new Map());
    const capacity = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
    const idleQp = nic.createQp(
      { type: QpType.RC, pd: PD, sendCq: cq, recvCq: cq, srq: null, signalAll: false, capacity },
      0,
    );
    return {
      index,
      nic,
      cq,
      words,
      sharedWords: Array.from(
        { length: this.#scenario.words },
        (_, word) => new SharedWord(`word ${word} of NIC ${index}`, readWord(words, word)),
      ),
      sharedReceives: new Map<number, ReceiveRecord>(),
      sharedArena: new Arena(`shared receives of NIC ${index}`, nic, bytes + 64, 1, PD, random),
      sharedCapacity,
      idleQp,
      receivesPosted: 0,
      nextTurnAt: 0,
    };
  }

  readonly #srqs = new Map<number, ReturnType<Nic['createSrq']>>();

  #createSides(
    driver: ConnectionDriver,
    connection: Connection,
    index: number,
    random: Random,
  ): [Endpoint, Endpoint] {
    const sides = ([0, 1] as const).map((side) => {
      const host = this.#hosts[connection.nics[side]] as Host;
      const { nic } = host;
      if (connection.srq && !this.#srqs.has(host.index)) {
        const srq = nic.createSrq(PD, 1024, 4);
        srq.limit = random.int(0, 2);
        this.#srqs.set(host.index, srq);
      }
      const cq = connection.tinyCq > 0 && side === 0 ? nic.createCq(connection.tinyCq) : host.cq;
      const qp = nic.createQp(
        {
          type: QpType.RC,
          pd: PD,
          sendCq: cq,
          recvCq: cq,
          srq: connection.srq ? (this.#srqs.get(host.index) ?? null) : null,
          signalAll: connection.signalAll,
          capacity: {
            maxSendWr: connection.maxSendWr,
            maxRecvWr: connection.srq ? 0 : connection.maxRecvWr,
            maxSendSge: connection.maxSge,
            maxRecvSge: connection.maxSge,
            maxInlineData: INLINE_BYTES,
          },
        },
        0,
      );
      const name = `connection ${index} side ${side}`;
      const endpoint = new Endpoint(name, host, qp, side, driver, random.fork());
      this.#endpoints.push(endpoint);
      (this.#byQpn[host.index] as Map<number, Endpoint>).set(qp.qpn, endpoint);
      return endpoint;
    });
    const [a, b] = sides as [Endpoint, Endpoint];
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  // --- running ------------------------------------------------------------------------------------------------------

  run(): WorldResult {
    for (const driver of this.#drivers) driver.nextEpoch();
    this.#settle();
    while (this.#step()) {
      this.#steps++;
      if (this.#steps > MAX_EVENTS || this.now > MAX_MICROS) {
        throw new SimFailure(
          'quiescence',
          `no end after ${this.#steps} steps, at ${this.now} µs: ${this.#stuck()}`,
        );
      }
    }
    this.#finish();
    return { packets: this.network.packets, marks: this.marks, micros: this.now };
  }

  at(micros: number, run: () => void): void {
    this.#events.add(Math.max(micros, this.now), run);
  }

  #step(): boolean {
    let next = this.#events.next;
    for (const { nic } of this.#hosts) next = Math.min(next, nic.nextDeadline());
    if (next === Number.POSITIVE_INFINITY) return false;
    this.now = Math.max(this.now, next);
    while (this.#events.next <= this.now) this.#events.take()();
    for (const { nic } of this.#hosts) if (nic.nextDeadline() <= this.now) nic.handleTimeout(this.now);
    this.#settle();
    return true;
  }

  /** Lets packets out and completions in until nothing changes any more. */
  #settle(): void {
    for (let round = 0; ; round++) {
      if (round > 1000) throw new SimFailure('quiescence', 'the programs do not come to rest');
      let changed = false;
      for (const host of this.#hosts) {
        if (host.nic.wantsTransmit && this.#transmit(host)) changed = true;
      }
      if (this.poll()) changed = true;
      for (const driver of this.#drivers) {
        if (!driver.dirty || driver.done) continue;
        driver.pump();
        changed = true;
      }
      if (!changed) break;
    }
    for (const endpoint of this.#endpoints) {
      checkBounds(endpoint);
      this.marks.hit(`state ${endpoint.qp.state}`);
    }
  }

  /** Lets a NIC send, if it is its host's turn; returns whether it did. */
  #transmit(host: Host): boolean {
    const { turnMicros, turnPackets } = this.#scenario.hosts[host.index] as HostProfile;
    if (turnMicros > 0 && host.nextTurnAt > this.now) return false;
    // A local operation that is not signaled leaves nothing but a free place in the queue.
    this.nicChanged();
    if (turnMicros === 0) {
      this.network.transmitFrom(host.index, host.nic, this.now);
      return true;
    }
    host.nextTurnAt = this.now + turnMicros;
    this.at(host.nextTurnAt, () => undefined);
    this.network.transmitTurn(host.index, host.nic, this.now, turnPackets);
    return true;
  }

  /** Takes completions and events; returns whether there were any. */
  poll(): boolean {
    let any = false;
    for (const host of this.#hosts) {
      this.#notification.take(host);
      for (;;) {
        const count = host.cq.poll(this.#completions, this.#completions.length);
        if (count === 0) break;
        any = true;
        for (let i = 0; i < count; i++) this.#complete(host, i);
      }
      for (let event = host.nic.takeEvent(); event !== undefined; event = host.nic.takeEvent()) {
        any = true;
        this.marks.hit(`event ${event.type}`);
        if ('qp' in event) this.#onEvent(host, event.type, event.qp);
      }
    }
    return any;
  }

  #complete(host: Host, index: number): void {
    const wc = this.#completions[index];
    if (wc === undefined) return;
    const endpoint = this.#byQpn[host.index]?.get(wc.qpn);
    if (endpoint === undefined) throw new SimFailure('completions', `a completion of unknown QP ${wc.qpn}`);
    this.marks.hit(`status ${wc.status}`);
    this.#notification.onCompletion(host, endpoint, wc);
    const isReceive = wc.wrId >= 1_000_000;
    if (isReceive) endpoint.driver.onReceive(endpoint, wc);
    else endpoint.driver.onSend(endpoint, wc);
  }

  #onEvent(host: Host, type: string, qp: Qp): void {
    const endpoint = this.#byQpn[host.index]?.get(qp.qpn);
    if (endpoint === undefined) return;
    endpoint.events.push(type);
    endpoint.driver.dirty = true;
    if (type === 'SQ_DRAINED') endpoint.driver.onDrained(endpoint);
  }

  /** QPNs of both sides of a connection, to follow its packets by. */
  qpnsOf(connection: number): readonly number[] {
    return this.#drivers[connection]?.sides.map(({ qp }) => qp.qpn) ?? [];
  }

  // --- packets ------------------------------------------------------------------------------------------------------

  onTransmit(packet: Packet): Packet {
    const requester = this.#byQpn[packet.to]?.get(bthDestQpn(packet.bytes, 0));
    if (requester !== undefined) checkNak(requester, packet.bytes);
    const seen = this.#rewriter?.rewrite(packet) ?? packet;
    if (seen !== packet) this.marks.hit(`resumed with ${opcodeName(bthOpcode(seen.bytes, 0))}`);
    this.marks.packet(seen);
    return seen;
  }

  deliver(packet: Packet): void {
    const { nic } = this.#hosts[packet.to] as Host;
    const before = packet.corrupted ? refusals(nic) : 0;
    nic.receive(fillDatagram(this.#datagram, packet), this.now);
    for (const driver of this.#drivers) driver.dirty = true;
    if (!packet.corrupted) return;
    expect(
      refusals(nic) > before,
      'corruption',
      () => `NIC ${packet.to} took a corrupted packet for a good one`,
    );
  }

  /** The port says that there are more bytes than it has. */
  deliverTruncated(packet: Packet): void {
    const { nic } = this.#hosts[packet.to] as Host;
    fillDatagram(this.#datagram, packet).length += 4;
    nic.receive(this.#datagram, this.now);
  }

  /** Something was done to a NIC from outside; `#settle` is under way or will be. */
  nicChanged(): void {
    for (const driver of this.#drivers) driver.dirty = true;
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  /** Memory that was deregistered: it is looked at once more at the end. */
  retire(arenas: readonly Arena[]): void {
    this.#retired.push(...arenas);
  }

  #stuck(): string {
    return this.#drivers
      .filter((driver) => !driver.done)
      .map((driver) => `connection ${driver.index} in epoch ${driver.epochIndex}: ${driver.describe()}`)
      .join('; ');
  }

  #finish(): void {
    const stuck = this.#stuck();
    expect(stuck === '', 'quiescence', () => `nothing happens any more, and yet ${stuck}`);
    for (const endpoint of this.#endpoints) checkQuiet(endpoint);
    expect(this.network.inFlight === 0, 'quiescence', () => 'packets are still in flight');
    for (const arena of this.#retired) arena.verify('at the end');
    for (const host of this.#hosts) {
      for (const [index, word] of host.sharedWords.entries()) word.verify(readWord(host.words, index));
      host.words.accept(0, host.words.bytes.length);
      host.words.verify('at the end');
      for (const receive of host.sharedReceives.values()) receive.arena.forget(receive.pieces);
      host.sharedArena.verify('at the end');
      this.marks.counters(host.nic.counters);
      this.#checkCounters(host);
    }
    this.marks.network(this.network);
  }

  /** Each packet was counted: processed, or dropped for one reason. */
  #checkCounters({ nic, index }: Host): void {
    const { counters } = nic;
    const dropped = counters.drops.reduce((sum, count) => sum + count, 0);
    expect(
      dropped <= counters.rxPackets && counters.drops[DropReason.NONE] === 0,
      'counters',
      () => `NIC ${index} dropped ${dropped} of ${counters.rxPackets} packets`,
    );
  }
}

/** Packets that were refused before they could have had an effect. */
function refusals(nic: Nic): number {
  let sum = 0;
  for (let reason = DropReason.TOO_SHORT; reason <= DropReason.BAD_STATE; reason++) {
    sum += nic.counters.drops[reason] as number;
  }
  return sum;
}

function readWord(words: Arena, index: number): bigint {
  const { buffer, byteOffset } = words.bytes;
  return new DataView(buffer, byteOffset + index * 8, 8).getBigUint64(0, true);
}

function toAddress(text: string): UdpAddress {
  const address = parseGid(text);
  if (address === undefined) throw new Error(`bad address ${text}`);
  address.port = 4791;
  return address;
}
