/**
 * Measures round trips: remembers when some packets left until they are answered, oldest first. The caller times packets
 * only that are answered at once, and forgets those that will be sent again.
 */
import { psnDiff } from '../psn.js';

const PLACES = 16;

export class RoundTrips {
  // Rings that are made place by place. Plain arrays: typed ones take hundreds of bytes each before they hold anything.
  readonly #psns: number[] = [];
  readonly #times: number[] = [];
  readonly #areClear: number[] = [];
  #head = 0;
  #count = 0;
  /** What answered the packet that `finishUpTo` found cannot have answered an earlier transmission of it. */
  wasClear = false;

  /** The packet `psn` leaves at `now`; `isClear`: no earlier transmission of it can be answered any more. Not remembered when there is no place: enough others are. */
  begin(psn: number, isClear: boolean, now: number): void {
    if (this.#count === PLACES) return;
    const place = (this.#head + this.#count) % PLACES;
    this.#psns[place] = psn;
    this.#times[place] = now;
    this.#areClear[place] = isClear ? 1 : 0;
    this.#count++;
  }

  /** When the oldest packet left that is not answered; -1 when none is timed. */
  get oldestLeftAt(): number {
    return this.#count === 0 ? -1 : (this.#times[this.#head] as number);
  }

  /** When the newest timed packet up to `psn` left, which is not later than `psn` itself did; -1 when none is timed. */
  leftAtOf(psn: number): number {
    for (let i = this.#count - 1; i >= 0; i--) {
      const place = (this.#head + i) % PLACES;
      if (psnDiff(this.#psns[place] as number, psn) <= 0) return this.#times[place] as number;
    }
    return -1;
  }

  /** Everything up to `psn` is answered: when the newest timed packet of that had left, or -1 if none was timed. */
  finishUpTo(psn: number): number {
    let leftAt = -1;
    while (this.#count > 0 && psnDiff(psn, this.#psns[this.#head] as number) >= 0) {
      leftAt = this.#times[this.#head] as number;
      this.wasClear = this.#areClear[this.#head] === 1;
      this.#head = (this.#head + 1) % PLACES;
      this.#count--;
    }
    return leftAt;
  }

  /** Forgets the packets from `psn` on. */
  dropFrom(psn: number): void {
    while (this.#count > 0) {
      const last = (this.#head + this.#count - 1) % PLACES;
      if (psnDiff(this.#psns[last] as number, psn) < 0) return;
      this.#count--;
    }
  }

  clear(): void {
    this.#count = 0;
  }
}
