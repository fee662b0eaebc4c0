/**
 * Which writes of a namespace a flush makes durable. Pure. A controller that was lost may have been that of a target that crashed, with
 * all that it had confirmed since the last flush: no flush of a later controller covers that.
 *
 * Invariant: a flush succeeds only when all that was written before it was confirmed by the controller that answered the flush, or was
 * covered by an earlier flush. What is in doubt is told by the flushes that were under way when it was first told, and by no later one.
 */

const MAX_DOUBTS = 16;

export class WriteLedger {
  /** Writes that are done and not durable by themselves, and how many of them flushes cover, or were told of. */
  #written = 0;
  #covered = 0;
  /** One for each loss: a flush that began before the first was told may still be under way. */
  readonly #doubts: Doubt[] = [];

  get isDirty(): boolean {
    return this.#written > this.#covered;
  }

  get isDoubtful(): boolean {
    return this.#doubts.some(({ upTo }) => upTo > this.#covered);
  }

  /** A write is done; `epoch`: of the first controller that confirmed a part of it, `present`: of the one that is there now. */
  written(epoch: number, present: number): void {
    this.#written++;
    if (epoch < present) this.#doubt(present);
  }

  /** `next`: of the one that comes now. */
  controllerLost(next: number): void {
    if (this.isDirty) this.#doubt(next);
  }

  beginFlush(): FlushMark {
    return { written: this.#written, covered: this.#covered };
  }

  /** The flush was answered. Returns whether all that was written before is durable. */
  endFlush({ written, covered }: FlushMark, epoch: number): boolean {
    const isDoubtful = this.#doubts.some(
      (doubt) => covered < Math.min(doubt.upTo, written) && epoch >= doubt.epoch,
    );
    this.#covered = Math.max(this.#covered, written);
    return !isDoubtful;
  }

  #doubt(epoch: number): void {
    if (this.#doubts.at(-1)?.upTo === this.#written) return;
    this.#doubts.push({ upTo: this.#written, epoch });
    if (this.#doubts.length <= MAX_DOUBTS) return;
    // Two become one that doubts more than both.
    const [oldest, { upTo }] = this.#doubts as [Doubt, Doubt];
    this.#doubts.splice(0, 2, { upTo, epoch: oldest.epoch });
  }
}

/** Those of the first `upTo` writes that no flush covers were confirmed by controllers before `epoch`. */
interface Doubt {
  readonly upTo: number;
  readonly epoch: number;
}

/** How things were when a flush began. */
export interface FlushMark {
  readonly written: number;
  readonly covered: number;
}
