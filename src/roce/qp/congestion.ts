/**
 * How many packets a requester may have in flight. The window opens while acknowledgements come and closes when
 * packets are lost, so that a sender never counts on endless socket buffers along the path; it closes at most once
 * for each window of packets, and never below a floor that keeps the connection alive.
 */
import { psnDiff } from '../psn.js';

/** Packets. Loopback buffers of stock size hold about 25 packets of 4 KiB. */
const INITIAL_WINDOW = 16;
const MIN_WINDOW = 4;
export const MAX_WINDOW = 256;
const LOSS_FACTOR = 0.7;

export class Congestion {
  #window = INITIAL_WINDOW;
  #slowStartLimit = MAX_WINDOW;
  /** No further reaction to loss until this PSN is acknowledged. */
  #recoveryPsn = -1;

  /** Whole packets. */
  get window(): number {
    return this.#window | 0;
  }

  reset(): void {
    this.#window = INITIAL_WINDOW;
    this.#slowStartLimit = MAX_WINDOW;
    this.#recoveryPsn = -1;
  }

  onProgress(packets: number, oldestUnackedPsn: number): void {
    if (this.#recoveryPsn >= 0 && psnDiff(oldestUnackedPsn, this.#recoveryPsn) >= 0) this.#recoveryPsn = -1;
    if (this.#window < this.#slowStartLimit) this.#window += packets;
    else this.#window += packets / this.#window;
    if (this.#window > MAX_WINDOW) this.#window = MAX_WINDOW;
  }

  /** A gap was reported; `nextPsn` is the first PSN never sent so far. */
  onLoss(nextPsn: number): void {
    if (this.#recoveryPsn >= 0) return;
    this.#recoveryPsn = nextPsn;
    this.#window = Math.max(MIN_WINDOW, this.#window * LOSS_FACTOR);
    this.#slowStartLimit = this.#window;
  }

  onTimeout(): void {
    this.#slowStartLimit = Math.max(MIN_WINDOW, this.#window / 2);
    this.#window = MIN_WINDOW;
    this.#recoveryPsn = -1;
  }
}
