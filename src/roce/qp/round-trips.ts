/**
 * Measures round trips: remembers when some packets left until they are answered, oldest first. The caller times packets
 * only that are answered at once, and forgets those that will be sent again.
 */
import { psnDiff } from '../psn.js';
import { lengthened } from './sge-table.js';

/** Places at first, and at most; powers of two. */
const FIRST_PLACES = 2;
const MOST_PLACES = 16;

export class RoundTrips {
  // Rings of as many places as were needed at once. Plain arrays: typed ones take hundreds of bytes each before they hold anything.
  /** Twice the PSN, and 1 where it is clear. */
  #marks: number[] = [0, 0];
  #times: number[] = [0.5, 0.5];
  #mask = FIRST_PLACES - 1;
  #head = 0;
  #count = 0;
  /** What answered the packet that `finishUpTo` found cannot have answered an earlier transmission of it. */
  wasClear = false;

  /** The packet `psn` leaves at `now`; `isClear`: no earlier transmission of it can be answered any more. Not remembered when there is no place: enough others are. */
  begin(psn: number, isClear: boolean, now: number): void {
    if (this.#count > this.#mask) {
      if (this.#count === MOST_PLACES) return;
      this.#grow();
    }
    const place = (this.#head + this.#count) & this.#mask;
    this.#marks[place] = psn * 2 + (isClear ? 1 : 0);
    this.#times[place] = now;
    this.#count++;
  }

  /** When the oldest packet left that is not answered; -1 when none is timed. */
  get oldestLeftAt(): number {
    return this.#count === 0 ? -1 : (this.#times[this.#head] as number);
  }

  /** When the newest timed packet up to `psn` left, which is not later than `psn` itself did; -1 when none is timed. */
  leftAtOf(psn: number): number {
    for (let i = this.#count - 1; i >= 0; i--) {
      const place = (this.#head + i) & this.#mask;
      if (psnDiff((this.#marks[place] as number) >> 1, psn) <= 0) return this.#times[place] as number;
    }
    return -1;
  }

  /** Everything up to `psn` is answered: when the newest timed packet of that had left, or -1 if none was timed. */
  finishUpTo(psn: number): number {
    let leftAt = -1;
    while (this.#count > 0) {
      const mark = this.#marks[this.#head] as number;
      if (psnDiff(psn, mark >> 1) < 0) break;
      leftAt = this.#times[this.#head] as number;
      this.wasClear = (mark & 1) === 1;
      this.#head = (this.#head + 1) & this.#mask;
      this.#count--;
    }
    return leftAt;
  }

  /** Forgets the packets from `psn` on. */
  dropFrom(psn: number): void {
    while (this.#count > 0) {
      const last = (this.#head + this.#count - 1) & this.#mask;
      if (psnDiff((this.#marks[last] as number) >> 1, psn) < 0) return;
      this.#count--;
    }
  }

  clear(): void {
    this.#count = 0;
  }

  /** Twice the places, in their order. */
  #grow(): void {
    const inOrder = (ring: readonly number[]): number[] => [
      ...ring.slice(this.#head),
      ...ring.slice(0, this.#head),
    ];
    this.#marks = lengthened(inOrder(this.#marks), 2 * this.#marks.length, 0);
    this.#times = lengthened(inOrder(this.#times), 2 * this.#times.length, 0.5);
    this.#mask = this.#marks.length - 1;
    this.#head = 0;
  }
}
