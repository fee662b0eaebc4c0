/**
 * A port with a man in the middle: he changes payloads of what comes in, and gives every packet the ICRC that it then
 * needs. Headers stay as they are, so that the queue pair takes his packets for those of its peer.
 */
import { type Datagram, keepDatagram } from '../../../src/roce/datagram.js';
import { type Icrc, writeIcrc } from '../../../src/roce/wire/icrc.js';
import { OpcodeFlag } from '../../../src/roce/wire/opcodes.js';
import { PacketView, parsePacket } from '../../../src/roce/wire/packet.js';
import { PortAround } from '../../../src/soft/port-around.js';
import type { UdpPort } from '../../../src/soft/udp-port.js';

const ICRC_BYTES = 4;

export interface TamperPlan {
  /** One bit changed; payloads of two packets exchanged; the payload of an earlier packet once more. */
  readonly kind: 'flip' | 'swap' | 'repeat';
  /** Of which packets, with at least so much payload. */
  readonly of: 'send' | 'write';
  readonly leastBytes: number;
  /** The how-manieth of them, from 0; of `swap` and `repeat` the one before counts too. */
  readonly at: number;
  /** `flip`: which bit of the payload, modulo its length, from `skipBytes` on. */
  readonly bit: number;
  readonly skipBytes: number;
}

export class TamperingPort extends PortAround {
  readonly #icrc: Icrc;
  readonly #packet = new PacketView();
  #plan: TamperPlan | null = null;
  readonly #numbers = new Map<number, number>();
  #held: Datagram | null = null;
  #tampered = 0;

  constructor(inner: UdpPort, icrc: Icrc) {
    super(inner);
    this.#icrc = icrc;
  }

  /** Packets that were changed since. */
  get tampered(): number {
    return this.#tampered;
  }

  /** Counting begins anew. */
  arm(plan: TamperPlan | null): void {
    this.#plan = plan;
    this.#numbers.clear();
    this.#held = null;
    this.#tampered = 0;
  }

  protected override onDatagram(datagram: Datagram): void {
    const plan = this.#plan;
    const packet = this.#packet;
    const { bytes, at, length } = datagram;
    if (plan === null || parsePacket(packet, bytes, at, length) !== 0 || !concerns(packet, plan)) {
      this.pass(datagram);
      return;
    }
    // Repetitions do not count: the plan is about messages.
    const number = this.#numberOf(packet.psn);
    this.#onVictim(keepDatagram(datagram), number, plan);
  }

  #numberOf(psn: number): number {
    const known = this.#numbers.get(psn);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(psn, number);
    return number;
  }

  #onVictim(datagram: Datagram, number: number, plan: TamperPlan): void {
    if (plan.kind === 'flip') {
      if (number === plan.at) this.#flip(datagram, plan);
      this.pass(datagram);
      return;
    }
    const held = this.#held;
    if (number < plan.at - 1 || number > plan.at || (number === plan.at && held === null)) {
      this.pass(datagram);
    } else if (number === plan.at - 1) {
      this.#held = plan.kind === 'swap' ? datagram : keepDatagram(datagram);
      if (plan.kind === 'repeat') this.pass(datagram);
    } else if (held !== null) {
      this.#combine(held, datagram, plan.kind === 'swap');
    }
  }

  #flip(datagram: Datagram, { bit, skipBytes }: TamperPlan): void {
    const { from, to } = this.#payload(datagram);
    const place = (from + skipBytes) * 8 + (bit % ((to - from - skipBytes) * 8));
    datagram.bytes[place >> 3] = (datagram.bytes[place >> 3] as number) ^ (1 << (place & 7));
    this.#sign(datagram);
  }

  #combine(first: Datagram, second: Datagram, isSwap: boolean): void {
    const a = this.#payload(first);
    const ofFirst = first.bytes.slice(a.from, a.to);
    const b = this.#payload(second);
    if (isSwap) {
      first.bytes.set(second.bytes.subarray(b.from, b.from + ofFirst.length), a.from);
      this.#sign(first);
      this.pass(first);
    }
    second.bytes.set(ofFirst.subarray(0, b.to - b.from), b.from);
    this.#sign(second);
    this.pass(second);
  }

  #payload({ bytes, at, length }: Datagram): { from: number; to: number } {
    const packet = this.#packet;
    parsePacket(packet, bytes, at, length);
    return { from: packet.payloadAt, to: packet.payloadAt + packet.payloadLength };
  }

  #sign({ source, destination, bytes, at, length }: Datagram): void {
    this.#tampered++;
    const end = length - ICRC_BYTES;
    writeIcrc(bytes, at + end, this.#icrc.compute(source, destination, bytes, at, end));
  }
}

const concerns = ({ flags, payloadLength }: PacketView, { of, leastBytes }: TamperPlan): boolean =>
  payloadLength >= leastBytes &&
  (flags & (of === 'send' ? OpcodeFlag.SEND : OpcodeFlag.WRITE)) !== 0 &&
  (flags & OpcodeFlag.REQUEST) !== 0;
