/**
 * Congestion notification packets (CNP): what a receiver answers to packets that a switch has marked, so that their
 * sender slows down. Sent by RC and UC queue pairs, no more than one in `INTERVAL_MICROS` each, as RNICs do.
 */
import type { TransmitBatch } from '../transmit-batch.js';
import { BTH_LENGTH, writeBth } from '../wire/bth.js';
import { Opcode } from '../wire/opcodes.js';
import { CNP_PAYLOAD_LENGTH } from '../wire/packet.js';
import type { QpHost } from './qp-host.js';

const INTERVAL_MICROS = 50;
const BECN = 0x40;

export class CongestionNotice {
  /** A marked packet came, and the peer has not been told. */
  isDue = false;
  #sentAt = Number.NEGATIVE_INFINITY;

  onMark(now: number): void {
    if (now - this.#sentAt >= INTERVAL_MICROS) this.isDue = true;
  }

  send(qp: QpHost, batch: TransmitBatch, now: number): void {
    this.isDue = false;
    this.#sentAt = now;
    qp.counters.count('cnpsSent');
    const { headers } = batch;
    const at = batch.begin();
    writeBth(headers, at, Opcode.CNP, 0, 0, qp.destQpn, 0, 0);
    headers[at + 4] = BECN;
    headers.fill(0, at + BTH_LENGTH, at + BTH_LENGTH + CNP_PAYLOAD_LENGTH);
    batch.commit(qp.flow, BTH_LENGTH + CNP_PAYLOAD_LENGTH, 0);
  }
}
