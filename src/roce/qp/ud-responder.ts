/**
 * The responder of a UD queue pair: single datagrams from anybody who knows the Q_Key. Nothing is answered.
 *
 * A receive begins with the 40 bytes of the sender's GRH. Over IPv4 these are 20 unused bytes and the IP header, as far
 * as the port knows it; over IPv6 the IP header fills them.
 *
 * A datagram that finds no receive, or one that is too small, is dropped in silence. A receive that was too small
 * stays at the head of its queue (Linux rxe: error class D). One of a shared receive queue, though, completes with
 * REM_INV_REQ_ERR (rxe: class E), since it was taken out for this queue pair alone.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { isIpv4 } from '../../verbs/address.js';
import { WcFlags, WcOpcode, WcStatus } from '../../verbs/work-completion.js';
import type { Datagram } from '../datagram.js';
import { DropReason } from '../drop-reason.js';
import { dethQkey, dethSourceQpn } from '../wire/deth.js';
import { immDt } from '../wire/imm-dt.js';
import { IPV4_LENGTH, UDP_LENGTH, writeIpUdp } from '../wire/ip.js';
import { DETH_AT, OpcodeFlag, opcodeImmOffset } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import type { QpHost } from './qp-host.js';
import { CurrentReceive } from './receive-queue.js';
import type { ResponderHalf } from './service-halves.js';

export const GRH_LENGTH = 40;

export class UdResponder implements ResponderHalf {
  readonly hasResponses = false;
  readonly hasOnlyAcknowledgement = false;
  readonly nextDeadline = Number.POSITIVE_INFINITY;
  readonly #qp: QpHost;
  readonly #receive: CurrentReceive;
  /** The GRH, and room for the UDP header that is written with it. */
  readonly #grh = new Uint8Array(GRH_LENGTH + UDP_LENGTH);

  constructor(qp: QpHost, maxRecvSge: number) {
    this.#qp = qp;
    this.#receive = new CurrentReceive(maxRecvSge);
  }

  start(): void {
    this.reset();
  }

  resize(): void {}

  handleTimeout(): void {}

  reset(): void {
    this.#receive.release();
  }

  flush(): void {
    if (this.#receive.active) this.#fail(WcStatus.WR_FLUSH_ERR);
  }

  onRequest(packet: PacketView, datagram: Datagram): DropReason {
    const qp = this.#qp;
    const receive = this.#receive;
    if (dethQkey(packet.bytes, packet.at + DETH_AT) !== qp.qkey) return DropReason.BAD_QKEY;
    if (packet.payloadLength > qp.mtu) return DropReason.BAD_LENGTH;
    if (!receive.active && !qp.takeReceive(receive)) return DropReason.NO_RECEIVE;
    if (GRH_LENGTH + packet.payloadLength > receive.capacity) {
      if (qp.srq !== null) this.#fail(WcStatus.REM_INV_REQ_ERR);
      return DropReason.RECEIVE_TOO_SMALL;
    }
    if (!receive.sges.allows(0, qp.pd, AccessFlags.LOCAL_WRITE)) {
      this.#fail(WcStatus.LOC_PROT_ERR);
      qp.enterError();
      return DropReason.RECEIVE_PROTECTION;
    }
    this.#store(packet, datagram);
    return DropReason.NONE;
  }

  transmit(): number {
    return 0;
  }

  dropAnswers(): void {}

  #store(packet: PacketView, datagram: Datagram): void {
    const { sges, wrId } = this.#receive;
    this.#writeGrh(datagram);
    sges.scatter(0, 0, this.#grh, 0, GRH_LENGTH);
    sges.scatter(0, GRH_LENGTH, packet.bytes, packet.payloadAt, packet.payloadLength);
    this.#receive.release();
    const hasImm = (packet.flags & OpcodeFlag.IMM) !== 0;
    const imm = hasImm ? immDt(packet.bytes, packet.at + (opcodeImmOffset[packet.opcode] as number)) : 0;
    this.#qp.completeReceive(
      wrId,
      WcStatus.SUCCESS,
      WcOpcode.RECV,
      GRH_LENGTH + packet.payloadLength,
      hasImm ? WcFlags.GRH | WcFlags.WITH_IMM : WcFlags.GRH,
      imm,
      dethSourceQpn(packet.bytes, packet.at + DETH_AT),
      packet.solicited !== 0,
    );
  }

  #writeGrh(datagram: Datagram): void {
    const { source, destination, length } = datagram;
    const at = isIpv4(destination) ? GRH_LENGTH - IPV4_LENGTH : 0;
    this.#grh.fill(0, 0, at);
    writeIpUdp(this.#grh, at, source, destination, length, datagram);
  }

  #fail(status: WcStatus): void {
    const { wrId } = this.#receive;
    this.#receive.release();
    this.#qp.completeReceive(wrId, status, WcOpcode.RECV, 0, 0, 0, 0, false);
  }
}
