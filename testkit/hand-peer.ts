/**
 * One real side whose peer is played by the test: `give` hands it a crafted packet and says what became of it, `take`
 * returns what it has sent since. Nothing is delivered that the test does not deliver.
 *
 * PSNs here count from 0: the first request of either side has PSN 0, whatever it is on the wire.
 */

import { Datagram } from '../src/roce/datagram.js';
import { DROP_REASON_COUNT, dropReasonName } from '../src/roce/drop-reason.js';
import type { Flow } from '../src/roce/flow.js';
import { psnAdd, psnDiff } from '../src/roce/psn.js';
import { aethMsn, aethSyndrome } from '../src/roce/wire/aeth.js';
import { AETH_AT, OpcodeFlag, opcodeName, RETH_AT } from '../src/roce/wire/opcodes.js';
import { rethLength, rethVa } from '../src/roce/wire/reth.js';
import { copyAddress, type UdpAddress } from '../src/verbs/address.js';
import type { WorkCompletion } from '../src/verbs/work-completion.js';
import { craftPacket, type PacketSpec } from './craft-packet.js';
import { type InFlight, NicPair, type PairOptions, type Side } from './nic-pair.js';

export type GivenPacket = Omit<PacketSpec, 'destQpn'> & {
  readonly destQpn?: number;
  readonly source?: UdpAddress;
  readonly destination?: UdpAddress;
  /** A switch on the way has marked it. */
  readonly isMarked?: boolean;
};

const PSNS = [0xfffffe, 0x123456] as const;

export class HandPeer {
  readonly pair: NicPair;
  /** The real one. */
  readonly side: Side;
  readonly #psns: readonly [number, number];
  #taken = 0;

  constructor(options: PairOptions = {}) {
    this.#psns = options.psns ?? PSNS;
    this.pair = new NicPair({ ...options, psns: this.#psns, tap: () => false });
    this.side = this.pair.sides[1];
  }

  get nic(): Side['nic'] {
    return this.side.nic;
  }

  get qp(): Side['qp'] {
    return this.side.qp;
  }

  /**
   * Hands the side one packet. `psn` counts from the first PSN of whoever sends the requests: the test for requests, the
   * side for answers. Returns the reason for which it had no effect, or `''`.
   */
  give(given: GivenPacket): string {
    const isAnswer = given.opcode >= 0x0d && given.opcode <= 0x12;
    const psn = psnAdd(this.#psns[isAnswer ? 1 : 0], given.psn);
    const source = given.source ?? (this.pair.sides[0].nic.addresses[0] as UdpAddress);
    const destination = given.destination ?? (this.nic.addresses[0] as UdpAddress);
    const spec = { destQpn: this.qp.qpn, ...given, psn };
    return this.giveBytes(craftPacket(spec, source, destination), source, destination, given.isMarked);
  }

  giveBytes(bytes: Uint8Array, source: UdpAddress, destination: UdpAddress, isMarked = false): string {
    const before = this.nic.counters.drops.slice();
    const datagram = new Datagram();
    datagram.bytes = bytes;
    datagram.length = bytes.length;
    datagram.congestionExperienced = isMarked;
    copyAddress(source, datagram.source);
    copyAddress(destination, datagram.destination);
    this.nic.receive(datagram, this.pair.now);
    for (let reason = 1; reason < DROP_REASON_COUNT; reason++) {
      if (this.nic.counters.drops[reason] !== before[reason]) return dropReasonName(reason);
    }
    return '';
  }

  /** What the side has sent since the last call. */
  takePackets(): InFlight[] {
    this.pair.transmit();
    const fresh = this.pair.sent.slice(this.#taken);
    this.#taken = this.pair.sent.length;
    return fresh.filter((item) => item.to === 0);
  }

  /** The same in words, such as `ACK 3 msn 2`, `RNR_NAK 0 msn 0`, `SEND_ONLY 1 ack`, `READ_REQUEST 2 va+0 512 ack`. */
  take(baseVa = 0): string[] {
    return this.takePackets().map((item) => this.#describe(item, baseVa));
  }

  /** Lets the side send one packet, and returns it in words; `''` if it had none. */
  takeOne(baseVa = 0): string {
    this.pair.transmitOne(1);
    const fresh = this.pair.sent.slice(this.#taken);
    this.#taken = this.pair.sent.length;
    return fresh.map((item) => this.#describe(item, baseVa)).join(', ');
  }

  /** Lets time pass, with everything that is due. */
  wait(micros: number): void {
    const end = this.pair.now + micros;
    for (;;) {
      this.pair.transmit();
      const next = this.nic.nextDeadline();
      if (next > end) break;
      this.pair.now = Math.max(this.pair.now, next);
      this.nic.handleTimeout(this.pair.now);
    }
    this.pair.now = end;
  }

  events(): string[] {
    const types: string[] = [];
    for (let event = this.nic.takeEvent(); event !== undefined; event = this.nic.takeEvent())
      types.push(event.type);
    return types;
  }

  sendStatuses(): string[] {
    return this.side.statuses('send');
  }

  recvStatuses(): string[] {
    return this.side.statuses('recv');
  }

  received(): WorkCompletion[] {
    return this.side.completions('recv');
  }

  get flow(): Flow {
    return this.qp.flow;
  }

  #describe(item: InFlight, baseVa: number): string {
    const { packet } = item;
    const isAnswer = (packet.flags & OpcodeFlag.RESPONSE) !== 0;
    const psn = psnDiff(packet.psn, this.#psns[isAnswer ? 0 : 1]);
    const name = opcodeName(packet.opcode).slice(3);
    if ((packet.flags & OpcodeFlag.ACK) !== 0) {
      const syndrome = aethSyndrome(packet.bytes, packet.at + AETH_AT);
      return `${syndromeName(syndrome)} ${psn} msn ${aethMsn(packet.bytes, packet.at + AETH_AT)}`;
    }
    const words = [name, `${psn}`];
    if ((packet.flags & OpcodeFlag.RETH) !== 0) {
      const header = packet.at + RETH_AT;
      words.push(`va+${rethVa(packet.bytes, header) - baseVa}`, `${rethLength(packet.bytes, header)}`);
    }
    if (isAnswer) words.push(`${packet.payloadLength}`);
    if (packet.ackReq !== 0) words.push('ack');
    if (packet.solicited !== 0) words.push('solicited');
    return words.join(' ');
  }
}

function syndromeName(syndrome: number): string {
  if (syndrome <= 0x1f) return 'ACK';
  if (syndrome <= 0x3f) return 'RNR_NAK';
  return ['NAK_SEQ', 'NAK_INVALID', 'NAK_ACCESS', 'NAK_OPERATION'][syndrome - 0x60] ?? `SYNDROME_${syndrome}`;
}
