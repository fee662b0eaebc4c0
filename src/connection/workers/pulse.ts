/**
 * Whether the event loop of a worker turns. The worker notes in memory that both threads share when it turned last, so that nobody asks it
 * and it need not answer. Times are the machine's, as the clocks of threads begin with their threads.
 */

/** A worker notes its turn so often. */
export const PULSE_MILLIS = 500;

const machineMillis = (): number => Number(process.hrtime.bigint() / 1_000_000n) | 0;

export class Pulse {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** The event loop turns. */
  beat(): void {
    Atomics.store(this.#words, 0, machineMillis());
  }

  /** Since it has turned. */
  get silentMillis(): number {
    return Math.max(0, (machineMillis() - Atomics.load(this.#words, 0)) | 0);
  }
}
