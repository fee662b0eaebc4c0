/**
 * The memory of the device under attack: one arena that all regions are cut from, with a rule for every byte of it. A
 * copy shows what has changed, so that a byte that nobody was allowed to change is found at once.
 *
 * Invariant: bytes that belong to no zone (the gaps between regions and between the pieces of buffers) may never change.
 */
import { Finding } from '../../target.js';

const ARENA_BYTES = 48 * 1024;
const GAP_BYTES = 32;

/** Who may change the bytes of a zone; `index` is of the region, or of the window. */
export const ZoneKind = { NEVER: 0, RECEIVE: 1, TARGET: 2, GRANT: 3, WINDOW: 4 } as const;
export type ZoneKind = (typeof ZoneKind)[keyof typeof ZoneKind];

export interface Zone {
  readonly kind: ZoneKind;
  readonly index: number;
  readonly from: number;
  readonly to: number;
}

export class MemoryMap {
  readonly arena = new Uint8Array(ARENA_BYTES);
  readonly #shadow = new Uint8Array(ARENA_BYTES);
  #zones: Zone[] = [];
  #end = 0;

  /** Back to an arena without regions. */
  reset(): void {
    for (let i = 0; i < ARENA_BYTES; i++) this.arena[i] = (i * 167 + (i >> 8)) & 0xff;
    this.#shadow.set(this.arena);
    this.#zones = [];
    this.#end = GAP_BYTES;
  }

  /** Cuts a region out of the arena; its offset there is `byteOffset`. */
  carve(length: number): Uint8Array {
    const bytes = this.arena.subarray(this.#end, this.#end + length);
    if (bytes.length < length) throw new Error('the arena is too small for its regions');
    this.#end += length + GAP_BYTES;
    return bytes;
  }

  /** The bytes [from, to) of a region may change by this rule. */
  addZone(kind: ZoneKind, index: number, region: Uint8Array, from: number, to: number): void {
    this.#zones.push({ kind, index, from: region.byteOffset + from, to: region.byteOffset + to });
  }

  /** @throws Finding when a byte outside of the zones that `mayChange` names has changed since the last check. */
  check(mayChange: (zone: Zone) => boolean, describe: () => string): void {
    if (Buffer.compare(this.arena, this.#shadow) === 0) return;
    for (const zone of this.#zones) {
      if (mayChange(zone)) this.#shadow.set(this.arena.subarray(zone.from, zone.to), zone.from);
    }
    if (Buffer.compare(this.arena, this.#shadow) === 0) return;
    const at = this.arena.findIndex((value, i) => value !== this.#shadow[i]);
    const zone = this.#zones.find(({ from, to }) => at >= from && at < to);
    const where = zone === undefined ? 'a gap' : `a zone of kind ${zone.kind}, index ${zone.index}`;
    throw new Finding(`memory changed that must not: offset ${at}, in ${where}, by ${describe()}`);
  }
}

export const nothingMayChange = (): boolean => false;
