/** The places that a server has for clients. Touched on one event loop only, which stands for the mutex of a C server. */

export interface SlotUse {
  readonly total: number;
  readonly used: number;
}

export class Slots {
  readonly total: number;
  readonly #taken: boolean[];
  #used = 0;

  constructor(total: number) {
    this.total = total;
    this.#taken = new Array<boolean>(total).fill(false);
  }

  get used(): number {
    return this.#used;
  }

  /** The number of a free slot, now taken; `undefined` when all are. */
  take(): number | undefined {
    const slot = this.#taken.indexOf(false);
    if (slot < 0) return undefined;
    this.#taken[slot] = true;
    this.#used++;
    return slot;
  }

  free(slot: number): void {
    if (this.#taken[slot] !== true) return;
    this.#taken[slot] = false;
    this.#used--;
  }
}
