/**
 * Reads a file into slots, the next bytes while those before them are hashed and sent.
 *
 * Invariant: each slot that it takes is handed out with its bytes, or given back.
 */
import type { FileHandle } from 'node:fs/promises';
import { behind } from './file-bytes.js';
import { PlaceError } from './place-error.js';

/** Of one read, unless a slot is longer: a slow disk, or a thread that is woken late, costs less so. */
const READ_BYTES = 2 * 1024 * 1024;

export interface Slots {
  /** Of each. */
  readonly bytes: number;
  /** Waits for one at least. */
  take(most: number): Promise<readonly number[]>;
  putBack(slot: number): void;
  memory(slot: number): Uint8Array;
}

export interface FilledSlot {
  readonly slot: number;
  readonly bytes: Uint8Array;
}

export class ReadAhead {
  readonly #source: FileHandle;
  readonly #slots: Slots;
  readonly #size: number;
  /** Of what is read next. */
  #at: number;
  #reading: Promise<FilledSlot[]> | undefined;
  #ready: FilledSlot[] = [];

  constructor(source: FileHandle, slots: Slots, from: number, size: number) {
    this.#source = source;
    this.#slots = slots;
    this.#at = from;
    this.#size = size;
  }

  /** The next bytes; `undefined` at the end. @throws PlaceError when the file is shorter than it was. */
  async next(): Promise<FilledSlot | undefined> {
    const ready = this.#ready.shift();
    if (ready !== undefined) return ready;
    if (this.#reading === undefined) this.#begin();
    const read = this.#reading;
    this.#reading = undefined;
    this.#ready = (await read) ?? [];
    this.#begin();
    return this.#ready.shift();
  }

  /** Gives back what nobody wants any more. */
  async end(): Promise<void> {
    const read = await this.#reading?.catch(() => []);
    for (const { slot } of [...this.#ready, ...(read ?? [])]) this.#slots.putBack(slot);
    this.#ready = [];
    this.#reading = undefined;
  }

  #begin(): void {
    if (this.#at >= this.#size) return;
    const reading = this.#read();
    // Whoever asks for the next bytes hears of it.
    reading.catch(() => {});
    this.#reading = reading;
  }

  async #read(): Promise<FilledSlot[]> {
    const { bytes: slotBytes } = this.#slots;
    const left = Math.min(READ_BYTES, this.#size - this.#at);
    const slots = await this.#slots.take(Math.ceil(left / slotBytes));
    const begin = this.#at;
    const filled = slots.map((slot, i) => {
      const length = Math.min(slotBytes, this.#size - begin - i * slotBytes);
      return { slot, bytes: this.#slots.memory(slot).subarray(0, length) };
    });
    try {
      this.#at += await readAll(
        this.#source,
        filled.map(({ bytes }) => bytes),
        begin,
      );
      return filled;
    } catch (error) {
      for (const slot of slots) this.#slots.putBack(slot);
      throw error;
    }
  }
}

async function readAll(source: FileHandle, into: Uint8Array[], from: number): Promise<number> {
  let [left, at] = [into, from];
  while (left.length > 0) {
    const { bytesRead } = await source.readv(left, at);
    if (bytesRead === 0) throw new PlaceError('became shorter while it was read');
    at += bytesRead;
    left = behind(left, bytesRead);
  }
  return at - from;
}
