/**
 * What a requester remembers about packets that it sent again, so that it acts on each loss once, takes no answer to an
 * earlier transmission for one to a later, and measures no round trip by such an answer.
 */
import { psnDiff } from '../psn.js';
import { RoundTrips } from './round-trips.js';

export class Retransmissions {
  readonly roundTrips = new RoundTrips();
  /** READ responses from this PSN on were asked for again at that time, and what was seen behind the gap since. */
  #repeatedPsn = -1;
  #repeatedAt = Number.NEGATIVE_INFINITY;
  #seenBehindGap = 0;
  /** The peer has carried out everything before this PSN, as a NAK or progress says. */
  #reachedPsn = 0;
  /** Where and when sending went back last; -1 = never. */
  #backPsn = -1;
  #backAt = Number.NEGATIVE_INFINITY;
  /** Until this PSN, answers may be to transmissions before the last one, as nobody knows whether those were lost. */
  #ambiguousEnd = 0;
  #isAmbiguous = false;
  /** Nothing behind this packet leaves before it is answered; -1 = there is none such. */
  #askingPsn = -1;

  start(sqPsn: number): void {
    this.#reachedPsn = sqPsn;
    this.#askingPsn = -1;
  }

  /** Begins to measure a round trip; `isNew`: the packet was never sent before. */
  time(psn: number, isNew: boolean, now: number): void {
    this.roundTrips.begin(psn, isNew || !this.#isAmbiguous, now);
  }

  onProgress(unackedPsn: number): void {
    if (psnDiff(unackedPsn, this.#reachedPsn) > 0) this.#reachedPsn = unackedPsn;
    this.#repeatedPsn = -1;
    if (this.#isAmbiguous && psnDiff(unackedPsn, this.#ambiguousEnd) >= 0) this.#isAmbiguous = false;
    if (this.#askingPsn >= 0 && psnDiff(unackedPsn, this.#askingPsn) > 0) this.#askingPsn = -1;
  }

  /** Nothing behind `psn` leaves before it is answered: sent again in vain, that would only be dropped again. */
  askWith(psn: number): void {
    this.#askingPsn = psn;
  }

  asksWith(psn: number): boolean {
    return psn === this.#askingPsn;
  }

  /** Whether `psn` is behind the packet that must be answered first. */
  mustWait(psn: number): boolean {
    return this.#askingPsn >= 0 && psnDiff(psn, this.#askingPsn) > 0;
  }

  /** `psn` was missed; sending goes on at `sendPsn`. */
  onGoBack(psn: number, sendPsn: number, now: number): void {
    this.#backPsn = psn;
    this.#backAt = now;
    this.roundTrips.dropFrom(sendPsn);
  }

  /** Answers to everything before `endPsn` may be on their way, to what was sent before. */
  setAmbiguous(endPsn: number): void {
    this.#isAmbiguous = true;
    this.#ambiguousEnd = endPsn;
  }

  /** All that is sent again now was dropped by the peer. */
  setClear(): void {
    this.#isAmbiguous = false;
  }

  /** The peer has carried out everything before `psn`; returns whether that is news. */
  reach(psn: number): boolean {
    if (psnDiff(psn, this.#reachedPsn) <= 0) return false;
    this.#reachedPsn = psn;
    return true;
  }

  /** Whether `psn` was sent again, or is about to be, and that was too late to be what the peer speaks of now. */
  wasSentAgain(psn: number, shortestMicros: number, now: number): boolean {
    if (this.#backPsn < 0 || psnDiff(psn, this.#backPsn) < 0) return false;
    return now - Math.max(this.#backAt, this.roundTrips.leftAtOf(psn)) < shortestMicros;
  }

  /**
   * Whether to ask again for answers from `psn` on, as `seenPsn` came instead: once for each gap, and once more whenever
   * answers begin again from the front, because the first of them was lost again.
   */
  isNewGap(psn: number, seenPsn: number, shortestMicros: number, now: number): boolean {
    const isKnown = this.#repeatedPsn === psn;
    const beginsAgain = psnDiff(seenPsn, this.#seenBehindGap) < 0;
    this.#seenBehindGap = seenPsn;
    if (isKnown && !(beginsAgain && now - this.#repeatedAt >= shortestMicros)) return false;
    this.#repeatedPsn = psn;
    this.#repeatedAt = now;
    return true;
  }

  /** Everything is sent again: the next gap is a new one, wherever it is. */
  forgetGap(): void {
    this.#repeatedPsn = -1;
  }

  clear(): void {
    this.#repeatedPsn = -1;
    this.#backPsn = -1;
    this.#isAmbiguous = false;
    this.#askingPsn = -1;
    this.roundTrips.clear();
  }
}
