/**
 * When a driver that looks for packets in vain lets other work of its processor go first:
 *
 * - after many packets at once: the kernel delivers those of the same host by a thread, which waits for the processor;
 * - when it has waited for longer than single messages take to be answered: the kernel may have put the sender on this processor, where it waits
 *   until this end sleeps. Two that wake each other are put on one processor often, and are moved apart in some 40 ms where both want to run;
 * - in every look while the two share one.
 *
 * Beside other programs nothing is given away for an answer that comes soon: they would have the processor for milliseconds.
 *
 * Invariant: pure; µs of the caller's clock.
 */

/** For how long after many packets at once. */
const MANY_MICROS = 1000;
/** An answer to a single message comes sooner, where both ends run. */
const PATIENT_MICROS = 25;
/** Who has given way for so long and finds a packet behind it has let its sender run. */
const SHORTEST_TURN_MICROS = 5;
/**
 * For how long that is taken to be so: a few round trips, and less than a driver rests from which others took the processor for longer
 * (turning.ts).
 */
const SHARED_MICROS = 1000;

export class GivingWay {
  #manyUntil = Number.NEGATIVE_INFINITY;
  #sharedUntil = Number.NEGATIVE_INFINITY;
  #hasLetRun = false;

  /** The last giving way took a turn of another program, so that one more look is worth while. */
  get hasLetRun(): boolean {
    return this.#hasLetRun;
  }

  /** Many packets came or left at once. */
  noteMany(now: number): void {
    this.#manyUntil = now + MANY_MICROS;
  }

  /** A look has found nothing, and nothing has come or left since `activeAt`: whether to give way now. */
  isDue(now: number, activeAt: number): boolean {
    this.#hasLetRun = false;
    return now - activeAt > PATIENT_MICROS || now < this.#sharedUntil || now < this.#manyUntil;
  }

  /** It has, for so long. */
  took(micros: number): void {
    this.#hasLetRun = micros > SHORTEST_TURN_MICROS;
  }

  /** A look has found something. */
  found(now: number): void {
    if (this.#hasLetRun) this.#sharedUntil = now + SHARED_MICROS;
    this.#hasLetRun = false;
  }
}
