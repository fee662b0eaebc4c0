/**
 * Timers of thousands of connections: those that are due within one tick share one timer of Node, and are called together,
 * so that what they send leaves together as well; of thousands so many at a time that whoever waits for an answer meanwhile does not
 * wait for all of them. A timer is made once and set again and again: what lives as long as the time
 * between two of its calls would cost the garbage collector more than all the rest of a silent connection. One that is put off
 * stays where it is, and goes on when its old time has come: so putting off costs next to nothing.
 *
 * Invariants: none is called early, nor later than a tick, or a 32nd of its time and five ticks at most, as far as the event loop lets it; each is called once or not at
 * all; one that throws takes no other with it. They do not keep the process alive. Where a tick is further away than timers of Node
 * reach, its timers are called when theirs ends. Setting and stopping one takes the same time however many there are.
 */
import { tell } from '../../verbs/listeners.js';
import { MAX_MILLIS } from '../../verbs/option-check.js';

/** As many packets as a device sends at once: fewer would leave in more pieces, more would hold up others for milliseconds. */
const TOGETHER = 64;
/**
 * How much later one that is far away may be called, as a share of its time, and in ticks: each tick in which anything is due wakes two
 * processes, and the first of what they do then costs several times as much as the next.
 */
const LATE_SHARE = 1 / 32;
const MOST_LATE_TICKS = 5;

export class TimerWheel {
  readonly #tickMillis: number;
  readonly #now: () => number;
  /** By the number of the tick. */
  readonly #ticks = new Map<number, Tick>();
  /** Those that are over. The garbage collector takes note of each old object that refers to a new one. */
  readonly #spare: Tick[] = [];

  constructor(tickMillis: number, now: () => number = () => performance.now()) {
    this.#tickMillis = tickMillis;
    this.#now = now;
  }

  /** Timers of Node that run. */
  get ticks(): number {
    return this.#ticks.size;
  }

  /** Calls `timer` when `delayMillis` are over, and not at the time that it had before. */
  set(timer: WheelTimer, delayMillis: number): void {
    const now = this.#now();
    const lateTicks = Math.floor((delayMillis * LATE_SHARE) / this.#tickMillis);
    const together = Math.max(1, Math.min(lateTicks, MOST_LATE_TICKS));
    const number = Math.ceil(Math.ceil((now + delayMillis) / this.#tickMillis) / together) * together;
    timer.due = number;
    if (timer.tick !== null && timer.tick.number <= number) return;
    this.stop(timer);
    this.#add(timer, number, now);
  }

  #add(timer: WheelTimer, number: number, now: number): void {
    const tick = this.#ticks.get(number) ?? this.#begin(number, now);
    tick.add(timer);
  }

  /** `timer` is not called. Idempotent. */
  stop(timer: WheelTimer): void {
    const { tick } = timer;
    if (tick === null) return;
    tick.remove(timer);
    if (!tick.isEmpty) return;
    // Its timers are being called.
    if (this.#ticks.get(tick.number) !== tick) return;
    clearTimeout(tick.timeout);
    this.#ticks.delete(tick.number);
    this.#spare.push(tick);
  }

  #begin(number: number, now: number): Tick {
    // Node takes a longer one for 1 ms.
    const delayMillis = Math.min(Math.ceil(number * this.#tickMillis - now), MAX_MILLIS);
    const tick = this.#spare.pop() ?? new Tick();
    tick.number = number;
    tick.timeout = setTimeout(() => this.#end(tick), delayMillis).unref();
    this.#ticks.set(number, tick);
    return tick;
  }

  #end(tick: Tick): void {
    // While its timers are called, one of them may begin another tick of its number.
    if (this.#ticks.get(tick.number) === tick) this.#ticks.delete(tick.number);
    let called = 0;
    // One that is stopped by another of this tick is no longer in it by the time its turn comes.
    for (let timer = tick.takeFirst(); timer !== null; timer = tick.takeFirst()) {
      if (timer.due > tick.number) this.#add(timer, timer.due, this.#now());
      else tell(expire, timer.owner);
      if (++called < TOGETHER || tick.isEmpty) continue;
      setImmediate(() => this.#end(tick)).unref();
      return;
    }
    this.#spare.push(tick);
  }
}

const expire = (owner: TimerOwner): void => owner.onTimer();

/** Whom a timer calls: an object, as a function for each of thousands would take more than the timer. */
export interface TimerOwner {
  onTimer(): void;
}

/** It knows its place in the list of its tick. */
export class WheelTimer {
  readonly owner: TimerOwner;
  /** Kept by the wheel: the tick in which it is to be called, and the one in which it stands, which may come before. */
  due = 0;
  tick: Tick | null = null;
  next: WheelTimer | null = null;
  previous: WheelTimer | null = null;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }
}

class Tick {
  number = 0;
  timeout: NodeJS.Timeout | undefined;
  #first: WheelTimer | null = null;
  #last: WheelTimer | null = null;

  get isEmpty(): boolean {
    return this.#first === null;
  }

  add(timer: WheelTimer): void {
    const last = this.#last;
    timer.tick = this;
    timer.previous = last;
    this.#last = timer;
    if (last === null) this.#first = timer;
    else last.next = timer;
  }

  remove(timer: WheelTimer): void {
    const { next, previous } = timer;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    timer.tick = null;
    timer.next = null;
    timer.previous = null;
  }

  takeFirst(): WheelTimer | null {
    const first = this.#first;
    if (first !== null) this.remove(first);
    return first;
  }
}
