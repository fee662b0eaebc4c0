/**
 * A line that grows and shrinks at both ends, in constant time however long it is: an array moves all its elements when the
 * first one goes or comes, which a program with a hundred thousand messages under way would notice.
 *
 * Invariants: what was taken out is not referenced any more; a long line that has emptied gives its memory back.
 */
const FEWEST_PLACES = 1;
/** An empty line keeps this many places for the next elements. */
const MOST_KEPT_PLACES = 1024;

/** Of all that never held anything: nothing is ever put into it. */
const NO_PLACES: never[] = [];

export class Deque<Item> {
  /** A ring; its length is 0 or a power of two. */
  #places: (Item | undefined)[] = NO_PLACES;
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The element that is `index` behind the first one; negative numbers count from the end. */
  at(index: number): Item | undefined {
    const from = index < 0 ? this.#length + index : index;
    return from < 0 || from >= this.#length ? undefined : this.#places[this.#place(from)];
  }

  push(item: Item): void {
    if (this.#length === this.#places.length) this.#grow();
    this.#places[this.#place(this.#length)] = item;
    this.#length++;
  }

  unshift(item: Item): void {
    if (this.#length === this.#places.length) this.#grow();
    this.#first = this.#place(-1);
    this.#places[this.#first] = item;
    this.#length++;
  }

  shift(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#places[this.#first];
    this.#places[this.#first] = undefined;
    this.#first = this.#place(1);
    this.#shrinkTo(this.#length - 1);
    return item;
  }

  pop(): Item | undefined {
    if (this.#length === 0) return undefined;
    const last = this.#place(this.#length - 1);
    const item = this.#places[last];
    this.#places[last] = undefined;
    this.#shrinkTo(this.#length - 1);
    return item;
  }

  /** The index of the first element that `matches`, or -1. Takes as long as the line is. */
  findIndex(matches: (item: Item) => boolean): number {
    for (let i = 0; i < this.#length; i++) if (matches(this.#places[this.#place(i)] as Item)) return i;
    return -1;
  }

  /** Takes the element at `index` out; does nothing where there is none. Takes as long as the line is. */
  removeAt(index: number): void {
    if (index < 0 || index >= this.#length) return;
    for (let i = index; i < this.#length - 1; i++)
      this.#places[this.#place(i)] = this.#places[this.#place(i + 1)];
    this.pop();
  }

  /** Takes all out, in their order. */
  takeAll(): Item[] {
    const all = Array.from({ length: this.#length }, (_, i) => this.#places[this.#place(i)] as Item);
    this.#places = NO_PLACES;
    this.#first = 0;
    this.#length = 0;
    return all;
  }

  #place(index: number): number {
    return (this.#first + index) & (this.#places.length - 1);
  }

  #shrinkTo(length: number): void {
    this.#length = length;
    if (length > 0 || this.#places.length <= MOST_KEPT_PLACES) return;
    this.#places = NO_PLACES;
    this.#first = 0;
  }

  #grow(): void {
    const count = Math.max(FEWEST_PLACES, 2 * this.#places.length);
    const places = new Array<Item | undefined>(count).fill(undefined);
    for (let i = 0; i < this.#length; i++) places[i] = this.#places[this.#place(i)];
    this.#places = places;
    this.#first = 0;
  }
}
