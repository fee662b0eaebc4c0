/**
 * An IP network in virtual time for soft devices: UDP ports that are joined by paths which delay, lose and reorder
 * datagrams, go dark in one direction or both, and come back.
 *
 * Invariants: a path that does not reorder keeps the order; a datagram is never changed on its way; a port that was
 * unplugged neither sends nor receives ever again, as that of a machine that is gone.
 */
import type { Datagram } from '../src/roce/datagram.js';
import type { Flow } from '../src/roce/flow.js';
import { packetLength, writePacket } from '../src/roce/packet-writer.js';
import type { TransmitBatch } from '../src/roce/transmit-batch.js';
import { bthPsn } from '../src/roce/wire/bth.js';
import type { Icrc } from '../src/roce/wire/icrc.js';
import type { PortListener, UdpPort } from '../src/soft/udp-port.js';
import { copyAddress, formatIp, UdpAddress } from '../src/verbs/address.js';
import { toAddress } from './nic-pair.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

/** One direction between two hosts. */
export interface PathConditions {
  delayMillis: number;
  jitterMillis: number;
  /** Probabilities of a datagram. */
  loss: number;
  duplicate: number;
  reorder: number;
  /** How many faults keep it dark at the moment: nothing passes while there are any. */
  dark: number;
}

/** What arrives within it arrives together. */
const QUANTUM_MILLIS = 0.005;
const HOP_MILLIS = 0.05;

export const quietPath = (): PathConditions => ({
  delayMillis: HOP_MILLIS,
  jitterMillis: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  dark: 0,
});

interface Packet {
  readonly bytes: Uint8Array;
  readonly source: UdpAddress;
}

export class VirtualNetwork {
  readonly time: VirtualTime;
  packets = 0;
  lost = 0;
  /** Packets whose PSN is 0: where it does not begin there, it has wrapped. */
  psnZeros = 0;
  readonly #random: Random;
  readonly #icrc: Icrc;
  readonly #ports = new Map<string, VirtualPort>();
  readonly #paths = new Map<string, PathConditions>();
  /** When the last datagram of a path arrives. */
  readonly #lastAt = new Map<string, number>();

  constructor(time: VirtualTime, random: Random, icrc: Icrc) {
    this.time = time;
    this.#random = random;
    this.#icrc = icrc;
  }

  /** What passes from one address to another; may be changed at any time. */
  path(from: string, to: string): PathConditions {
    const key = `${from}>${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = quietPath();
      this.#paths.set(key, path);
    }
    return path;
  }

  /** A port at this address, in the place of the one that was there before. */
  open(ip: string): VirtualPort {
    const port = new VirtualPort(this, ip, this.#icrc);
    this.#ports.set(ip, port);
    return port;
  }

  carry(from: string, to: string, packet: Packet): void {
    this.packets++;
    if (bthPsn(packet.bytes, 0) === 0) this.psnZeros++;
    const random = this.#random;
    const path = this.path(from, to);
    if (path.dark > 0 || (path.loss > 0 && random.chance(path.loss))) {
      this.lost++;
      return;
    }
    this.#deliver(from, to, path, packet);
    if (path.duplicate > 0 && random.chance(path.duplicate)) this.#deliver(from, to, path, packet);
  }

  #deliver(from: string, to: string, path: PathConditions, packet: Packet): void {
    const random = this.#random;
    const key = `${from}>${to}`;
    const jitter = path.jitterMillis > 0 ? random.unit() * path.jitterMillis : 0;
    let at = this.time.now + path.delayMillis + jitter;
    const last = this.#lastAt.get(key) ?? 0;
    if (path.reorder > 0 && random.chance(path.reorder)) at += random.unit() * 4 * path.delayMillis;
    else if (at < last) at = last;
    if (at > last) this.#lastAt.set(key, at);
    const slot = Math.ceil(at / QUANTUM_MILLIS) * QUANTUM_MILLIS;
    this.#ports.get(to)?.arriveAt(slot, packet);
  }
}

export class VirtualPort implements UdpPort {
  readonly kind = 'virtual';
  readonly joinsRuns = false;
  readonly canPoll = false;
  readonly mayHaveMore = false;
  readonly lookedMicros = Number.NEGATIVE_INFINITY;
  readonly exactIcrc = true;
  readonly link = null;
  readonly address: UdpAddress;
  listener: PortListener | null = null;
  readonly #network: VirtualNetwork;
  readonly #ip: string;
  readonly #icrc: Icrc;
  readonly #arriving = new Map<number, Packet[]>();
  readonly #peers = new WeakMap<Flow, string>();
  #arrived: Packet[] = [];
  #news: Packet[] = [];
  #isGone = false;

  constructor(network: VirtualNetwork, ip: string, icrc: Icrc) {
    this.#network = network;
    this.#ip = ip;
    this.#icrc = icrc;
    this.address = toAddress(ip);
  }

  get writable(): boolean {
    return true;
  }

  /** The machine is gone. */
  unplug(): void {
    this.#isGone = true;
  }

  send(batch: TransmitBatch): void {
    if (this.#isGone) return;
    for (let i = 0; i < batch.count; i++) {
      const bytes = new Uint8Array(packetLength(batch, i));
      writePacket(batch, i, bytes, 0, this.#icrc);
      const flow = batch.flow[i] as Flow;
      const source = new UdpAddress();
      copyAddress(this.address, source);
      this.#network.carry(this.#ip, this.#hostOf(flow), { bytes, source });
    }
  }

  arriveAt(at: number, packet: Packet): void {
    const others = this.#arriving.get(at);
    if (others !== undefined) {
      others.push(packet);
      return;
    }
    this.#arriving.set(at, [packet]);
    this.#network.time.at(at, () => {
      const packets = this.#arriving.get(at) ?? [];
      this.#arriving.delete(at);
      if (this.#isGone || this.listener === null) return;
      this.#news.push(...packets);
      this.listener.onReadable();
    });
  }

  receive(): number {
    this.#arrived = this.#news;
    this.#news = [];
    return this.#arrived.length;
  }

  read(index: number, into: Datagram): void {
    const { bytes, source } = this.#arrived[index] as Packet;
    into.bytes = bytes;
    into.at = 0;
    into.length = bytes.length;
    into.icrcVerified = true;
    copyAddress(source, into.source);
    copyAddress(this.address, into.destination);
  }

  wakeOnArrival(): void {}

  ref(): void {}

  unref(): void {}

  annotate(): void {}

  counters(): Readonly<Record<string, number>> {
    return {};
  }

  async close(): Promise<void> {
    this.#isGone = true;
    this.listener = null;
  }

  #hostOf(flow: Flow): string {
    let host = this.#peers.get(flow);
    if (host === undefined) {
      host = formatIp(flow.destination);
      this.#peers.set(flow, host);
    }
    return host;
  }
}
