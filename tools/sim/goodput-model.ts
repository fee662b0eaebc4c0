/**
 * One connection over one link with random loss and a bounded queue, kept busy with large WRITEs or READs for a while:
 * how much of the link carries useful bytes. Runs the production engine in virtual time, like the rest of the simulator.
 */
import type { RemoteGrant } from '../../src/roce/memory/region.js';
import { Nic } from '../../src/roce/nic.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { formatGid, parseGid, type UdpAddress } from '../../src/verbs/address.js';
import type { Psn, Qpn } from '../../src/verbs/brands.js';
import type { PathMtu } from '../../src/verbs/mtu.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { createCompletions, WcStatus } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { EventQueue } from '../../testkit/event-queue.js';
import { Random } from '../../testkit/random.js';
import { fillDatagram, Network, type NetworkListener, newDatagram, type Packet } from './network.js';
import { ALL_RIGHTS, type Scenario } from './scenario.js';

export interface GoodputCase {
  readonly bitsPerSecond: number;
  readonly rttMicros: number;
  readonly loss: number;
  readonly queuePackets: number;
  readonly ecnPackets: number;
  readonly mtu: PathMtu;
  readonly read: boolean;
  readonly maxRdAtomic: number;
  readonly connections: number;
  readonly seed: number;
}

export interface GoodputResult {
  /** Useful payload, as a share of what the link carries at most. */
  readonly share: number;
  readonly packets: number;
  readonly tailDropped: number;
  readonly timeouts: number;
  readonly probes: number;
  /** Everything that the requester's NIC counted. */
  readonly counters: Readonly<Record<string, number>>;
}

const MESSAGE_BYTES = 1 << 20;
const DEPTH = 8;
/** BTH, ICRC and the network's own overhead. */
const HEADER_BYTES = 12 + 4 + 62;

/** Packets that one round trip holds. */
export const bdpPackets = (c: GoodputCase): number =>
  (c.rttMicros * c.bitsPerSecond) / 8e6 / (c.mtu + HEADER_BYTES);

export class GoodputRun implements NetworkListener {
  now = 0;
  readonly #case: GoodputCase;
  readonly #events = new EventQueue();
  readonly #network: Network;
  readonly #nics: Nic[] = [];
  readonly #datagram = newDatagram();
  readonly #completions = createCompletions(64);
  readonly #requesters: Qp[] = [];
  readonly #post = new Map<number, () => void>();
  #doneBytes = 0;

  constructor(c: GoodputCase) {
    this.#case = c;
    this.#network = new Network(scenarioOf(c), this.#events, new Random(c.seed), this);
    for (const index of [0, 1]) {
      const address = parseGid(`fd00::${index + 1}`) as UdpAddress;
      address.port = 4791;
      // Corruption is not simulated here, and checking for it takes most of the time.
      this.#nics.push(new Nic({ addresses: [address], random: new Random(index).u32, checkIcrc: false }));
      this.#network.register(index, [address]);
    }
    for (let i = 0; i < c.connections; i++) this.#connect(i);
  }

  /** Runs for `micros`; what was done in the first part of it, while windows open, does not count. */
  run(warmupMicros: number, micros: number): GoodputResult {
    for (const post of this.#post.values()) for (let i = 0; i < DEPTH; i++) post();
    this.#settle();
    this.#runUntil(warmupMicros);
    const before = this.#progress();
    const packetsBefore = this.#network.packets;
    this.#runUntil(warmupMicros + micros);
    const bytes = this.#progress() - before;
    const { mtu, bitsPerSecond } = this.#case;
    const capacity = ((bitsPerSecond / 8e6) * micros * mtu) / (mtu + HEADER_BYTES);
    const [requester] = this.#nics as [Nic, Nic];
    return {
      share: bytes / capacity,
      packets: this.#network.packets - packetsBefore,
      tailDropped: this.#network.tailDropped,
      timeouts: requester.counters.timeouts,
      probes: requester.counters.probes,
      counters: requester.counters.snapshot(),
    };
  }

  /** The queue pairs that are kept busy. */
  get qps(): readonly Qp[] {
    return this.#requesters;
  }

  onTransmit(packet: Packet): Packet {
    return packet;
  }

  deliver(packet: Packet): void {
    this.#nics[packet.to]?.receive(fillDatagram(this.#datagram, packet), this.now);
  }

  /** Bytes that are acknowledged, those of messages in progress included. */
  #progress(): number {
    let bytes = this.#doneBytes;
    for (const qp of this.#requesters) {
      const { queue, unackedPsn } = qp.requester as typeof qp.requester & { unackedPsn: number };
      const wqe = queue.at(queue.head);
      if (wqe.started) bytes += ((unackedPsn - wqe.firstPsn) & 0xffffff) * this.#case.mtu;
    }
    return bytes;
  }

  #runUntil(end: number): void {
    for (;;) {
      let next = this.#events.next;
      for (const nic of this.#nics) next = Math.min(next, nic.nextDeadline());
      if (next > end) break;
      this.now = Math.max(this.now, next);
      while (this.#events.next <= this.now) this.#events.take()();
      for (const nic of this.#nics) if (nic.nextDeadline() <= this.now) nic.handleTimeout(this.now);
      this.#settle();
    }
    this.now = end;
  }

  #settle(): void {
    for (;;) {
      let changed = false;
      for (const [index, nic] of this.#nics.entries()) {
        if (!nic.wantsTransmit) continue;
        this.#network.transmitFrom(index, nic, this.now);
        changed = true;
      }
      for (const qp of this.#requesters) {
        const count = qp.sendCq.poll(this.#completions, this.#completions.length);
        for (let i = 0; i < count; i++) {
          const status = this.#completions[i]?.status;
          if (status !== WcStatus.SUCCESS) throw new Error(`a request ended in ${status}`);
          this.#doneBytes += MESSAGE_BYTES;
          this.#post.get(qp.qpn)?.();
          changed = true;
        }
      }
      if (!changed) return;
    }
  }

  #connect(index: number): void {
    const [a, b] = this.#nics as [Nic, Nic];
    const qps = [a, b].map((nic) => {
      const cq = nic.createCq(64);
      const capacity = { maxSendWr: DEPTH, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
      const init = { type: QpType.RC, pd: 1, sendCq: cq, recvCq: cq, srq: null, signalAll: true, capacity };
      return nic.createQp(init, 0);
    }) as [Qp, Qp];
    for (const [side, qp] of qps.entries()) {
      const [peer, nic] = side === 0 ? [qps[1], b] : [qps[0], a];
      this.#bringUp(qp, peer, nic.addresses[0] as UdpAddress, 0xfff000 + index);
    }
    const local = a.regions.register(new Uint8Array(MESSAGE_BYTES), ALL_RIGHTS, 1);
    const remote = b.regions.register(new Uint8Array(MESSAGE_BYTES), ALL_RIGHTS, 1);
    const [qp] = qps;
    this.#requesters.push(qp);
    this.#post.set(qp.qpn, () => {
      qp.postSend({
        wrId: 1,
        opcode: this.#case.read ? WrOpcode.RDMA_READ : WrOpcode.RDMA_WRITE,
        flags: SendFlags.SIGNALED,
        remoteAddr: remote.region.va,
        rkey: (remote.grant as RemoteGrant).rkey,
        sges: [{ mr: local.region }],
      });
    });
  }

  #bringUp(qp: Qp, peer: Qp, address: UdpAddress, psn: number): void {
    const { mtu, maxRdAtomic } = this.#case;
    qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: ALL_RIGHTS });
    qp.modify({
      state: QpState.RTR,
      av: { dgid: formatGid(address), udpPort: address.port },
      destQpn: peer.qpn as Qpn,
      pathMtu: mtu,
      rqPsn: psn as Psn,
      maxDestRdAtomic: maxRdAtomic,
      minRnrTimer: 12,
    });
    qp.modify({
      state: QpState.RTS,
      sqPsn: psn as Psn,
      timeout: 14,
      retryCount: 7,
      rnrRetry: 7,
      maxRdAtomic,
    });
  }
}

/** The link that is looked at leads to the responder for WRITEs and to the requester for READs; both lose packets. */
function scenarioOf(c: GoodputCase): Scenario {
  const link = {
    delayMicros: c.rttMicros / 2,
    jitterMicros: 0,
    loss: c.loss,
    duplicate: 0,
    reorder: 0,
    reorderMicros: 0,
    corrupt: 0,
  };
  const port = {
    bytesPerMicro: c.bitsPerSecond / 8e6,
    queuePackets: c.queuePackets,
    ecnPackets: c.ecnPackets,
  };
  return {
    seed: c.seed,
    nics: 2,
    links: [
      [link, link],
      [link, link],
    ],
    ports: [port, port],
    hosts: [],
    outages: [],
    resumeInside: false,
    words: 0,
    connections: [],
  };
}
