/** One direction of a TCP connection in virtual time: it delays, keeps order, holds so much and no more, and stalls or breaks when told. */
import type { VirtualTime } from './virtual-time.js';

const HOP_MILLIS = 0.1;
/** What the two systems keep of one direction; more waits in the socket. */
const BUFFERED_BYTES = 32_768;

export type Callback = (error?: Error | null) => void;
type Item = { readonly bytes: Buffer } | { readonly event: () => void };

export class Pipe {
  target: { accept(bytes: Buffer): void } | null = null;
  /** Sees the bytes as they leave. */
  onBytes: (bytes: Buffer) => void = () => {};
  readonly #time: VirtualTime;
  readonly #held: Item[] = [];
  readonly #blocked: Callback[] = [];
  #bytes = 0;
  #lastAt = 0;
  #stalls = 0;
  #isBroken = false;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get isStalled(): boolean {
    return this.#stalls > 0;
  }

  send(item: Item): void {
    if (this.#isBroken) return;
    if ('bytes' in item) {
      this.#bytes += item.bytes.length;
      this.onBytes(item.bytes);
    }
    this.#lastAt = Math.max(this.#lastAt, this.#time.now + HOP_MILLIS);
    this.#time.at(this.#lastAt, () => this.#arrive(item));
  }

  /** Calls back when there is room for more. */
  whenRoom(callback: Callback): void {
    if (this.#bytes < BUFFERED_BYTES) callback();
    else this.#blocked.push(callback);
  }

  /** Nothing arrives, and nothing is lost, until `resume` was called as often. */
  stall(): void {
    this.#stalls++;
  }

  resume(): void {
    if (this.#stalls === 0 || --this.#stalls > 0) return;
    for (const item of this.#held.splice(0)) this.#give(item);
  }

  /** Nothing arrives any more. */
  breakOff(): void {
    this.#isBroken = true;
    this.#held.length = 0;
  }

  /** The target took bytes in. */
  taken(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < BUFFERED_BYTES) for (const go of this.#blocked.splice(0)) go();
  }

  #arrive(item: Item): void {
    if (this.#isBroken) return;
    if (this.#stalls > 0 || this.#held.length > 0) this.#held.push(item);
    else this.#give(item);
  }

  #give(item: Item): void {
    if ('event' in item) item.event();
    else this.target?.accept(item.bytes);
  }
}
