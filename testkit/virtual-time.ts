/**
 * A clock that only moves when nothing is left to do at its time, and the timers and random numbers of Node.js on top of
 * it. While it is installed, all code of this thread lives in virtual time: `setTimeout`, `setInterval`, `setImmediate`,
 * `performance.now`, `Date.now`, `Math.random` and the random functions of `node:crypto` are replaced, for modules that
 * were imported before as well. So the code that programs use runs unchanged, and a seed is a whole run.
 *
 * Invariants: events of one time run in the order in which they were added; between two events all promises and ticks
 * are done; an event that throws ends the run with its error.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import { EventQueue } from './event-queue.js';
import type { Random } from './random.js';
import { replace } from './replace.js';

/** A turn of the event loop takes a moment: what is done turn by turn makes time pass. */
const TURN_MILLIS = 0.01;
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1;
/** Where clocks begin; that of the machine began long before. */
const START_MILLIS = 10_000;
const EPOCH_MILLIS = Date.UTC(2024, 0, 1);

type Run = (...args: unknown[]) => void;

const realImmediate = globalThis.setImmediate;

export class VirtualTime {
  readonly #events = new EventQueue();
  readonly #timers = new Set<VirtualTimer>();
  #now = START_MILLIS;
  #failure: { readonly error: unknown } | undefined;
  /** Events that ran. */
  steps = 0;

  /** Milliseconds, with fractions. */
  get now(): number {
    return this.#now;
  }

  /** Timers of the code under test that will still run. */
  get timers(): readonly VirtualTimer[] {
    return [...this.#timers];
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Runs something at a time of the simulation itself, which is no timer of the code under test. */
  at(atMillis: number, run: () => void): void {
    this.#events.add(Math.max(atMillis, this.#now), run);
  }

  in(millis: number, run: () => void): void {
    this.at(this.#now + millis, run);
  }

  /** Ends the run with this error. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /**
   * Runs events until `isDone`, asked after each, or until there are none. `afterStep` looks at the world between two.
   *
   * @throws what an event, `isDone` or `afterStep` throws, and what was given to `fail`.
   */
  async run(isDone: () => boolean, afterStep: () => void = () => {}): Promise<void> {
    for (;;) {
      // All promises and ticks that follow from the event, whatever they settle in turn.
      await new Promise((resolve) => realImmediate(resolve));
      if (this.#failure !== undefined) throw this.#failure.error;
      afterStep();
      if (isDone() || this.#events.size === 0) return;
      this.#now = Math.max(this.#now, this.#events.next);
      this.steps++;
      this.#events.take()();
    }
  }

  /** Replaces clocks, timers and randomness of this thread; returns what puts them back. */
  install(random: Random): () => void {
    const replaced = [
      replace(globalThis, this.#timerFunctions()),
      replace(timers, this.#timerFunctions()),
      replace(globalThis.performance, { now: () => this.#now }),
      replace(Date, { now: () => EPOCH_MILLIS + Math.floor(this.#now) }),
      replace(Math, { random: () => random.unit() }),
      replace(crypto, randomFunctions(random)),
    ];
    syncBuiltinESMExports();
    return () => {
      for (const restore of replaced) restore();
      syncBuiltinESMExports();
    };
  }

  #timerFunctions(): Record<string, unknown> {
    const clear = (timer: VirtualTimer | null | undefined): void => {
      if (timer instanceof VirtualTimer) this.#timers.delete(timer);
    };
    const timeout = (run: Run, millis?: number, ...args: unknown[]): VirtualTimer =>
      this.#arm(run, args, wholeMillis(millis), null);
    const interval = (run: Run, millis?: number, ...args: unknown[]): VirtualTimer =>
      this.#arm(run, args, wholeMillis(millis), wholeMillis(millis));
    const immediate = (run: Run, ...args: unknown[]): VirtualTimer => this.#arm(run, args, TURN_MILLIS, null);
    return {
      setTimeout: timeout,
      setInterval: interval,
      setImmediate: immediate,
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear,
    };
  }

  #arm(run: Run, args: readonly unknown[], millis: number, period: number | null): VirtualTimer {
    const timer = new VirtualTimer(run);
    this.#timers.add(timer);
    const fire = (): void => {
      if (!this.#timers.has(timer)) return;
      if (period === null) this.#timers.delete(timer);
      else this.in(period, fire);
      run(...args);
    };
    this.in(millis, fire);
    return timer;
  }
}

/** What `setTimeout` returns; whether the process waits for it makes no difference here. */
export class VirtualTimer {
  /** What it runs, for those who find it left over. */
  readonly run: Run;

  constructor(run: Run) {
    this.run = run;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }
}

function wholeMillis(millis: number | undefined): number {
  const whole = Math.trunc(millis ?? 1);
  return whole >= 1 && whole <= LONGEST_TIMER_MILLIS ? whole : 1;
}

function randomFunctions(random: Random): Record<string, unknown> {
  const fill = <View extends ArrayBufferView>(view: View): View => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.u32();
    return view;
  };
  return {
    randomBytes: (length: number) => fill(Buffer.alloc(length)),
    randomFillSync: fill,
    randomInt: (from: number, to?: number) =>
      to === undefined ? random.int(0, from - 1) : random.int(from, to - 1),
  };
}
