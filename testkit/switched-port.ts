/**
 * A port around a port that can lose what arrives, all of it as if the cable were out, what is long, or some of it by
 * chance, and that can be told so while it works.
 */
import type { Datagram } from '../src/roce/datagram.js';
import type { TransmitBatch } from '../src/roce/transmit-batch.js';
import { PortAround } from '../src/soft/port-around.js';
import type { UdpPort } from '../src/soft/udp-port.js';
import { Random } from './random.js';

export class SwitchedPort extends PortAround {
  isDark = false;
  /** Probability of each datagram that arrives. */
  loss = 0;
  /** Longer datagrams that arrive are lost, as on a path whose MTU is smaller than both ends believe. */
  longestBytes = Number.POSITIVE_INFINITY;
  readonly #random: Random;

  constructor(inner: UdpPort, seed: number) {
    super(inner);
    this.#random = new Random(seed);
  }

  override send(batch: TransmitBatch): void {
    if (!this.isDark) super.send(batch);
  }

  protected override onDatagram(datagram: Datagram): void {
    if (this.isDark || datagram.length > this.longestBytes) return;
    if (this.loss > 0 && this.#random.chance(this.loss)) return;
    super.onDatagram(datagram);
  }
}
