/**
 * Two NICs joined by a link in virtual time, with the production engine and real bytes on the link. Time jumps to the
 * next delivery or deadline, so tests never wait. `tap` sees every packet and may drop or change it.
 */
import { Datagram } from '../src/roce/datagram.js';
import type { Flow } from '../src/roce/flow.js';
import type { Region, RemoteGrant } from '../src/roce/memory/region.js';
import { Nic } from '../src/roce/nic.js';
import { packetLength, writePacket } from '../src/roce/packet-writer.js';
import type { BindRequest } from '../src/roce/qp/bind-request.js';
import type { Qp } from '../src/roce/qp/qp.js';
import type { Srq } from '../src/roce/qp/srq.js';
import { TransmitBatch } from '../src/roce/transmit-batch.js';
import { Icrc } from '../src/roce/wire/icrc.js';
import { PacketView, parsePacket } from '../src/roce/wire/packet.js';
import { AccessFlags } from '../src/verbs/access-flags.js';
import { copyAddress, parseGid, type UdpAddress } from '../src/verbs/address.js';
import type { QKey, Qpn, RKey } from '../src/verbs/brands.js';
import type { PathMtu } from '../src/verbs/mtu.js';
import type { QpAttributes } from '../src/verbs/qp-attributes.js';
import { QpState, QpType } from '../src/verbs/qp-state.js';
import { createCompletions, statusName, type WorkCompletion } from '../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../src/verbs/work-request.js';
import { Random } from './random.js';

const { FENCE, SIGNALED, SOLICITED, UNHURRIED } = SendFlags;

export const toAddress = (text: string, port = 4791): UdpAddress => {
  const address = parseGid(text);
  if (address === undefined) throw new Error(`bad address ${text}`);
  address.port = port;
  return address;
};

export interface InFlight {
  /** Index of the side that it goes to. */
  readonly to: 0 | 1;
  readonly bytes: Uint8Array;
  readonly flow: Flow;
  readonly packet: PacketView;
  at: number;
}

/** Return false to drop the packet. */
export type Tap = (packet: InFlight, number: number) => boolean;

export class Side {
  readonly nic: Nic;
  readonly pd = 1;
  readonly sendCq;
  readonly recvCq;
  readonly srq: Srq | null;
  readonly qp: Qp;
  readonly #options: PairOptions;

  constructor(address: UdpAddress, seed: number, options: PairOptions) {
    this.#options = options;
    this.nic = new Nic({
      addresses: [address],
      random: new Random(seed).u32,
      activeMtu: options.mtu ?? 1024,
      acknowledgesLast: options.acknowledgesLast ?? false,
    });
    this.sendCq = this.nic.createCq(options.cqCapacity ?? 256);
    this.recvCq = this.nic.createCq(options.cqCapacity ?? 256);
    this.srq = options.srq ? this.nic.createSrq(this.pd, 64, 16) : null;
    this.qp = this.createQp();
  }

  /** One more queue pair like the first one, in RESET. */
  createQp(): Qp {
    return this.nic.createQp(
      {
        type: this.#options.type ?? QpType.RC,
        pd: this.pd,
        sendCq: this.sendCq,
        recvCq: this.recvCq,
        srq: this.srq,
        signalAll: this.#options.signalAll ?? true,
        capacity: { maxSendWr: 64, maxRecvWr: 64, maxSendSge: 16, maxRecvSge: 16, maxInlineData: 64 },
      },
      0,
    );
  }

  region(
    length: number,
    access: number = AccessFlags.LOCAL_WRITE,
    fill?: number,
  ): { region: Region; grant: RemoteGrant } {
    const bytes = new Uint8Array(length);
    if (fill !== undefined) for (let i = 0; i < length; i++) bytes[i] = (i * 7 + fill) & 0xff;
    const { region, grant } = this.nic.regions.register(bytes, access, this.pd);
    return { region, grant: grant as RemoteGrant };
  }

  postRecv(wrId: number, region?: Region, offset = 0, length = region?.bytes.length ?? 0): void {
    const sges = region === undefined ? [] : [{ mr: region, offset, length }];
    (this.srq ?? this.qp).postRecv({ wrId, sges });
  }

  /** Posts a request that is signaled, with numbers of the engine instead of branded ones. */
  post(post: Post, ...sges: [Region, number, number][]): void {
    const { opcode, wrId = 0, signaled = true, fence = false, solicited = false, unhurried = false } = post;
    const request = {
      wrId,
      opcode: opcode as WrOpcode,
      flags:
        (signaled ? SIGNALED : 0) |
        (fence ? FENCE : 0) |
        (solicited ? SOLICITED : 0) |
        (unhurried ? UNHURRIED : 0),
      remoteAddr: post.remoteVa ?? 0,
      rkey: (post.rkey ?? 0) as RKey,
      imm: post.imm ?? 0,
      invalidateRkey: (post.invalidateRkey ?? 0) as RKey,
      compareAdd: post.compareAdd ?? 0n,
      swap: post.swap ?? 0n,
      sges: sges.map(([mr, offset, length]) => ({ mr, offset, length })),
      ...(post.bind === undefined ? {} : { bind: post.bind }),
    };
    const { flow, destQpn = 0, qkey = 0 } = post;
    const to = flow === undefined ? {} : { ah: flow, remoteQpn: destQpn as Qpn, remoteQkey: qkey as QKey };
    this.qp.postSend({ ...request, ...to });
  }

  send(wrId: number, region: Region, offset = 0, length = region.bytes.length): void {
    this.post({ opcode: WrOpcode.SEND, wrId }, [region, offset, length]);
  }

  /** Everything in the CQ, as `wrId:STATUS` or with `full` as objects. */
  completions(which: 'send' | 'recv'): WorkCompletion[] {
    const cq = which === 'send' ? this.sendCq : this.recvCq;
    const into = createCompletions(cq.capacity);
    return into.slice(0, cq.poll(into, into.length));
  }

  statuses(which: 'send' | 'recv'): string[] {
    return this.completions(which).map((wc) => `${wc.wrId}:${statusName(wc.status)}`);
  }
}

export interface Post {
  readonly opcode: number;
  readonly wrId?: number;
  readonly signaled?: boolean;
  readonly fence?: boolean;
  readonly solicited?: boolean;
  readonly unhurried?: boolean;
  readonly remoteVa?: number | bigint;
  readonly rkey?: number;
  readonly imm?: number;
  readonly invalidateRkey?: number;
  readonly compareAdd?: bigint;
  readonly swap?: bigint;
  readonly bind?: BindRequest;
  readonly flow?: Flow;
  readonly destQpn?: number;
  readonly qkey?: number;
}

export interface PairOptions {
  readonly mtu?: PathMtu;
  readonly ipv6?: boolean;
  readonly tap?: Tap;
  readonly delayMicros?: number;
  readonly attributes?: Partial<QpAttributes>;
  readonly cqCapacity?: number;
  /** Default RC. */
  readonly type?: QpType;
  /** Receives come from a shared queue. */
  readonly srq?: boolean;
  /** Default true. */
  readonly signalAll?: boolean;
  /** Acknowledgements leave behind the requests of their turn. Default false. */
  readonly acknowledgesLast?: boolean;
  /** Where PSNs start: [side 0, side 1]. */
  readonly psns?: readonly [number, number];
}

export class NicPair {
  readonly sides: readonly [Side, Side];
  now = 0;
  tap: Tap | undefined;
  /** Which packets a switch on the way marks for congestion. */
  marked: ((packet: InFlight) => boolean) | undefined;
  readonly sent: InFlight[] = [];
  readonly #link: InFlight[] = [];
  readonly #batch = new TransmitBatch(64);
  readonly #single = new TransmitBatch(1);
  readonly #icrc = new Icrc();
  readonly #datagram = new Datagram();
  readonly #delayMicros: number;

  constructor(options: PairOptions = {}) {
    const [a, b] = options.ipv6 ? ['fd00::1', 'fd00::2'] : ['10.0.0.1', '10.0.0.2'];
    this.tap = options.tap;
    this.#delayMicros = options.delayMicros ?? 5;
    this.sides = [new Side(toAddress(a as string), 1, options), new Side(toAddress(b as string), 2, options)];
    this.connect(options);
  }

  connect(options: PairOptions = {}): void {
    const psns = options.psns ?? [0xfffffe, 0x123456];
    for (const index of [0, 1] as const) {
      const peer = this.sides[1 - index] as Side;
      const gid = peer.nic.addresses[0] as UdpAddress;
      const words = [gid.w0, gid.w1, gid.w2, gid.w3]
        .map((w) => (w >>> 0).toString(16).padStart(8, '0'))
        .join('');
      this.bringUp(this.sides[index].qp, {
        av: { dgid: words.match(/.{4}/g)?.join(':') ?? '', udpPort: gid.port },
        destQpn: peer.qp.qpn as never,
        pathMtu: options.mtu ?? 1024,
        rqPsn: psns[1 - index] as never,
        sqPsn: psns[index] as never,
        ...options.attributes,
      });
    }
  }

  bringUp(qp: Qp, attributes: Partial<QpAttributes>): void {
    if (qp.type === QpType.UC) bringUpUc(qp, attributes);
    else if (qp.type === QpType.UD) bringUpUd(qp, attributes);
    else this.#bringUpRc(qp, attributes);
  }

  #bringUpRc(qp: Qp, attributes: Partial<QpAttributes>): void {
    const all = 15;
    const { av, destQpn, pathMtu, rqPsn, sqPsn } = attributes as Required<QpAttributes>;
    qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: attributes.accessFlags ?? all });
    qp.modify({
      state: QpState.RTR,
      av,
      destQpn,
      pathMtu,
      rqPsn,
      maxDestRdAtomic: attributes.maxDestRdAtomic ?? 4,
      minRnrTimer: attributes.minRnrTimer ?? 12,
    });
    qp.modify({
      state: QpState.RTS,
      sqPsn,
      timeout: attributes.timeout ?? 14,
      retryCount: attributes.retryCount ?? 7,
      rnrRetry: attributes.rnrRetry ?? 7,
      maxRdAtomic: attributes.maxRdAtomic ?? 4,
    });
  }

  /** Runs until nothing is on the link and no deadline remains, or until `done`. Throws when that takes too long. */
  run(done: () => boolean = () => false): void {
    for (let step = 0; step < 200_000; step++) {
      this.transmit();
      if (done() || !this.#step(Number.POSITIVE_INFINITY)) return;
    }
    throw new Error('the pair does not come to rest');
  }

  /** Lets so many µs pass, with all that happens in them. */
  runFor(micros: number): void {
    const until = this.now + micros;
    do this.transmit();
    while (this.#step(until));
    this.now = until;
  }

  /** Goes to the next delivery or deadline; returns whether there is one until then. */
  #step(until: number): boolean {
    const delivery = this.#link[0]?.at ?? Number.POSITIVE_INFINITY;
    const deadline = Math.min(...this.sides.map((side) => side.nic.nextDeadline()));
    const next = Math.min(delivery, deadline);
    if (next === Number.POSITIVE_INFINITY || next > until) return false;
    this.now = Math.max(this.now, next);
    while ((this.#link[0]?.at ?? Number.POSITIVE_INFINITY) <= this.now)
      this.deliver(this.#link.shift() as InFlight);
    for (const side of this.sides) side.nic.handleTimeout(this.now);
    return true;
  }

  deliver(item: InFlight): void {
    const datagram = this.#datagram;
    datagram.bytes = item.bytes;
    datagram.at = 0;
    datagram.length = item.bytes.length;
    datagram.congestionExperienced = this.marked?.(item) ?? false;
    copyAddress(item.flow.source, datagram.source);
    copyAddress(item.flow.destination, datagram.destination);
    this.sides[item.to].nic.receive(datagram, this.now);
  }

  /** Takes what both sides have to send and puts it on the link. */
  transmit(): void {
    for (const from of [0, 1] as const) {
      const { nic } = this.sides[from];
      while (this.#transmitBatch(from, nic, this.#batch) > 0);
    }
  }

  /** One side sends one packet, however much more it has. */
  transmitOne(from: 0 | 1): void {
    this.#transmitBatch(from, this.sides[from].nic, this.#single);
  }

  #transmitBatch(from: 0 | 1, nic: Nic, batch: TransmitBatch): number {
    const count = nic.pollTransmit(batch, this.now);
    for (let i = 0; i < batch.count; i++) this.#send(from, batch, i);
    batch.reset();
    return count;
  }

  #send(from: 0 | 1, batch: TransmitBatch, index: number): void {
    const bytes = new Uint8Array(packetLength(batch, index));
    writePacket(batch, index, bytes, 0, this.#icrc);
    const packet = new PacketView();
    parsePacket(packet, bytes, 0, bytes.length);
    const to = from === 0 ? 1 : 0;
    const item: InFlight = {
      to,
      bytes,
      flow: batch.flow[index] as Flow,
      packet,
      at: this.now + this.#delayMicros,
    };
    this.sent.push(item);
    if (this.tap !== undefined && !this.tap(item, this.sent.length)) return;
    let place = this.#link.length;
    while (place > 0 && (this.#link[place - 1] as InFlight).at > item.at) place--;
    this.#link.splice(place, 0, item);
  }
}

function bringUpUc(qp: Qp, attributes: Partial<QpAttributes>): void {
  const { av, destQpn, pathMtu, rqPsn, sqPsn } = attributes as Required<QpAttributes>;
  qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: attributes.accessFlags ?? 15 });
  qp.modify({ state: QpState.RTR, av, destQpn, pathMtu, rqPsn });
  qp.modify({ state: QpState.RTS, sqPsn });
}

function bringUpUd(qp: Qp, attributes: Partial<QpAttributes>): void {
  const { sqPsn } = attributes as Required<QpAttributes>;
  qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, qkey: attributes.qkey ?? (0x1111 as never) });
  qp.modify({ state: QpState.RTR });
  qp.modify({ state: QpState.RTS, sqPsn });
}
