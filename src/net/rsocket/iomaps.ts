/**
 * iomap: memory that each end lets the other write at any time, without a message for each write. Pure.
 *
 * Invariants: entries of the peer lie inside the table that it was told of; what is written lies inside one of them;
 * no more entries are told than the peer's table holds.
 */
import { RsocketFault } from './rsocket-fault.js';
import type { IomapEntry } from './wire/iomap-entry.js';
import { isAddressRange } from './wire/wide-number.js';

/** An entry on its way into the peer's table. */
export interface IomapNews {
  readonly index: number;
  readonly entry: IomapEntry;
}

export class Iomaps {
  /** Of the peer's memory, as it has told. */
  readonly #remote: (IomapEntry | undefined)[];
  /** Of own memory, as the peer is told. */
  readonly #told: (IomapEntry | undefined)[];
  readonly #news: IomapNews[] = [];

  constructor(ownEntries: number, peerEntries: number) {
    this.#remote = new Array(ownEntries).fill(undefined);
    this.#told = new Array(peerEntries).fill(undefined);
  }

  get ownEntries(): number {
    return this.#remote.length;
  }

  /** The peer has told of memory, or that it is no longer to be written. */
  learn(index: number, entry: IomapEntry): RsocketFault | undefined {
    if (index >= this.#remote.length) return RsocketFault.IOMAP_INDEX;
    if (entry.bytes === 0) {
      this.#remote[index] = undefined;
      return undefined;
    }
    const isSound = isAddressRange(entry.offset, entry.bytes) && isAddressRange(entry.addr, entry.bytes);
    if (!isSound) return RsocketFault.BAD_IOMAP_ENTRY;
    this.#remote[index] = entry;
    return undefined;
  }

  /** The peer's memory that holds all of these bytes. */
  find(offset: number, bytes: number): IomapEntry | undefined {
    return this.#remote.find(
      (entry) =>
        entry !== undefined && offset >= entry.offset && offset + bytes <= entry.offset + entry.bytes,
    );
  }

  /** What the peer offers, in the order of its table. */
  get offered(): readonly IomapEntry[] {
    return this.#remote.filter((entry) => entry !== undefined);
  }

  /** Returns the index of the entry, or -1 where the peer's table is full. */
  offer(entry: IomapEntry): number {
    const index = this.#told.indexOf(undefined);
    if (index === -1) return -1;
    this.#told[index] = entry;
    this.#news.push({ index, entry });
    return index;
  }

  withdraw(index: number): void {
    if (this.#told[index] === undefined) return;
    this.#told[index] = undefined;
    this.#news.push({ index, entry: NO_MEMORY });
  }

  get hasNews(): boolean {
    return this.#news.length > 0;
  }

  takeNews(): IomapNews | undefined {
    return this.#news.shift();
  }
}

const NO_MEMORY: IomapEntry = { offset: 0, addr: 0, rkey: 0, bytes: 0 };
