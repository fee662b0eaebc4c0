/**
 * A port around a port that loses, repeats, reorders, damages and delays what arrives, by chance but repeatably: the
 * same seed and the same traffic give the same faults. For both directions, give both devices a faulty port.
 */
import { type Datagram, keepDatagram } from '../roce/datagram.js';
import { PortAround } from './port-around.js';
import type { UdpPort } from './udp-port.js';

/** Probabilities from 0 to 1, of each datagram for itself. */
export interface Faults {
  readonly loss: number;
  readonly duplicate: number;
  /** Held back for a moment, so that later ones overtake. */
  readonly reorder: number;
  /** One bit is flipped. */
  readonly corrupt: number;
  /** Added to every datagram. */
  readonly delayMillis: number;
  readonly seed: number;
}

const REORDER_MILLIS = 2;
/** Datagrams that may be held back; more are lost, as in any queue. */
const MAX_HELD = 4096;

export class FaultyPort extends PortAround {
  readonly #faults: Faults;
  readonly #timers = new Set<NodeJS.Timeout>();
  #state: number;
  #lost = 0;
  #duplicated = 0;
  #reordered = 0;
  #corrupted = 0;

  constructor(inner: UdpPort, faults: Faults) {
    super(inner);
    this.#faults = faults;
    // The generator must not start at 0, and neighbouring seeds should not look alike.
    this.#state = Math.imul(faults.seed, 0x9e3779b1) | 0 || 1;
  }

  protected override onDatagram(datagram: Datagram): void {
    const { loss, duplicate, reorder, corrupt, delayMillis } = this.#faults;
    // Every datagram draws the same number of times, so that one fault does not shift all later ones.
    const isLost = this.#chance(loss);
    const isDuplicated = this.#chance(duplicate);
    const isReordered = this.#chance(reorder);
    const isCorrupted = this.#chance(corrupt);
    const bit = this.#next();
    if (isLost) {
      this.#lost++;
      return;
    }
    const wait = delayMillis + (isReordered ? REORDER_MILLIS : 0);
    if (isReordered) this.#reordered++;
    if (isCorrupted) this.#corrupted++;
    const arrived = isCorrupted || wait > 0 ? keepDatagram(datagram) : datagram;
    if (isCorrupted && arrived.length > 0) damage(arrived, bit);
    this.#deliver(arrived, wait);
    if (isDuplicated) {
      this.#duplicated++;
      this.#deliver(arrived, wait);
    }
  }

  override counters(): Readonly<Record<string, number>> {
    return {
      ...super.counters(),
      faultsLost: this.#lost,
      faultsDuplicated: this.#duplicated,
      faultsReordered: this.#reordered,
      faultsCorrupted: this.#corrupted,
    };
  }

  override async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.listener = null;
    await super.close();
  }

  #deliver(datagram: Datagram, waitMillis: number): void {
    if (waitMillis === 0) {
      this.pass(datagram);
      return;
    }
    if (this.#timers.size >= MAX_HELD) {
      this.#lost++;
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.pass(datagram);
      this.listener?.onReadable();
    }, waitMillis);
    this.#timers.add(timer);
  }

  #chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  /** Xorshift: an unsigned 32-bit number. */
  #next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }
}

function damage(datagram: Datagram, bit: number): void {
  // What the port verified before says nothing now.
  datagram.icrcVerified = false;
  const at = (bit >>> 3) % datagram.length;
  datagram.bytes[at] = (datagram.bytes[at] as number) ^ (1 << (bit & 7));
}
