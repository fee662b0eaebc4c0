/**
 * How many packets a requester may have in flight, how fast they may leave, and how soon to look after lost ones.
 *
 * Loss says little about the network of a soft device: radio, full socket buffers and faulty cables all lose packets,
 * and going back costs a whole window each time. Queues say more. So the window follows a model of the path, which
 * timed packets feed: the shortest round trip seen lately is the path without queues, and whatever a round
 * trip takes longer was spent in queues, on `window * (1 - shortest / last)` packets of ours.
 *
 * - Once a round trip is known the window doubles in each until it makes a queue, then moves so that the queue that every packet of a round
 *   trip met holds a few packets.
 * - Loss while there is a queue drains the queue and lowers the queue aimed at; loss without one only ends growth for a
 *   round trip.
 * - A congestion notification (CNP) cuts the window as DCQCN does its rate: by half of `alpha`, a moving average of how
 *   many round trips brought a CNP, once a round trip.
 * - Windows above `BURST_PACKETS` are paced: no more than that many packets leave at once, so that a path whose
 *   queue is short gets by; two or three times as many on a path that has shown room for them. Smaller ones are not, and a single
 *   message never waits for a timer.
 * - The queue aimed at begins low enough for socket buffers of stock size, and rises slowly while nothing is lost: hosts
 *   work in bursts, and need several under way to be busy.
 * - Every second the window halves for one round trip, to see the path without queues again.
 *
 * Invariants: MIN_WINDOW <= window <= MAX_WINDOW; nothing is allocated; times are µs of the caller's clock.
 */
import { invariant } from '../../verbs/invariant.js';

const INITIAL_WINDOW = 16;
export const MIN_WINDOW = 3;
/** A round trip of 10 Gbit/s over 1 ms holds 300 packets of 4 KiB, or 1200 of 1 KiB. */
export const MAX_WINDOW = 1024;
/** One segmented send holds as many of 4 KiB. */
const BURST_PACKETS = 15;
/** On a path with room for long bursts, and where two of the longer ones fit into the window. */
const ROOMY_BURST_PACKETS = 2 * BURST_PACKETS;
const WIDE_BURST_PACKETS = 3 * BURST_PACKETS;
/** Packets of its own that a sender wants in queues at most. */
const MAX_QUEUE = 60;
/** And at first. Socket buffers of stock size hold 25 packets of 4 KiB. */
const FIRST_QUEUE = 20;
/** From here on bursts are longer. */
const ROOMY_QUEUE = 30;
const MIN_QUEUE = 1;
/** Fewer than this may come of the bursts that the sender itself makes, and did not make the network lose a packet. */
const CULPABLE_QUEUE = 8;
/** While the window doubles, packets leave this much faster than a window in a round trip. */
const STARTING_PACE = 2;
/** Growth every other round trip while there is no queue, as a share of the window. */
const GROWTH = 1 / 10;
/** DCQCN's g: the weight of the newest round trip in `alpha`. */
const ALPHA_GAIN = 1 / 16;
/** How long a shortest round trip counts: between once and twice this. */
const SHORTEST_MICROS = 1_000_000;
/** A probe never comes sooner than this: peers are event loops, and busy for a while now and then. */
const MIN_PROBE_MICROS = 25;
/** A path without loss for so long is clean. */
const CLEAN_MICROS = 2_000_000;

/**
 * What fields begin with that will not stay whole numbers, before they get their first value: V8 makes another kind of object of one whose
 * field was a small integer until then, and throws away all code that it has compiled for those before.
 */
const FRACTION = Number.NaN;

export class Congestion {
  #window = FRACTION;
  #wholeWindow = INITIAL_WINDOW;
  #isStarting = true;
  /** Shortest round trips of this period and the one before; Infinity = none. */
  #shortest = Number.POSITIVE_INFINITY;
  #shortestBefore = Number.POSITIVE_INFINITY;
  #periodEnd = FRACTION;
  #last = FRACTION;
  /** The shortest of this round so far, and that of the round before: what it takes longer than the path is a queue that lasts. */
  #low = Number.POSITIVE_INFINITY;
  #lowBefore = FRACTION;
  #hasGrown = false;
  #smoothed = FRACTION;
  #variation = FRACTION;
  #queueLimit = FRACTION;
  #alpha = FRACTION;
  #hasNotice = false;
  /** A gap was reported since the last round began: what is sent again arrives in bursts and pauses, which hides queues. */
  #hasLoss = false;
  /** The window held sending up since the last sample: only then does growing make sense. */
  #wasLimit = false;
  /** The window is halved for this round trip, and what it was. */
  #drainedFrom = FRACTION;
  /** Nothing is known about what is in flight: few packets until there is progress. */
  #isProbing = false;
  #nextSendAt = FRACTION;
  /** µs between packets at the speed of the path. */
  #interval = FRACTION;
  #roundEnd = FRACTION;
  /** Packets of progress since that time; -1 = not counting. */
  #counted = 0;
  #countedFrom = FRACTION;
  /** When loss was last seen. */
  #lostAt = Number.NEGATIVE_INFINITY;

  constructor() {
    this.reset();
  }

  /** Whole packets. */
  get window(): number {
    return this.#isProbing ? MIN_WINDOW : this.#wholeWindow;
  }

  /** µs of a round trip without queues; 0 while unknown. */
  get shortestMicros(): number {
    const shortest = Math.min(this.#shortest, this.#shortestBefore);
    return shortest === Number.POSITIVE_INFINITY ? 0 : shortest;
  }

  /** How long to wait for progress before looking after the oldest packet, µs; Infinity while nothing is known. */
  get probeMicros(): number {
    if (this.#smoothed === 0) return Number.POSITIVE_INFINITY;
    return Math.max(MIN_PROBE_MICROS, this.#smoothed * 1.25 + this.#variation * 4);
  }

  reset(): void {
    this.#window = INITIAL_WINDOW;
    this.#wholeWindow = INITIAL_WINDOW;
    this.#isStarting = true;
    this.#shortest = Number.POSITIVE_INFINITY;
    this.#shortestBefore = Number.POSITIVE_INFINITY;
    this.#periodEnd = 0;
    this.#last = 0;
    this.#low = Number.POSITIVE_INFINITY;
    this.#lowBefore = 0;
    this.#hasGrown = false;
    this.#smoothed = 0;
    this.#variation = 0;
    this.#queueLimit = FIRST_QUEUE;
    this.#alpha = 1;
    this.#hasNotice = false;
    this.#hasLoss = false;
    this.#wasLimit = false;
    this.#drainedFrom = 0;
    this.#isProbing = false;
    this.#nextSendAt = 0;
    this.#interval = 0;
    this.#roundEnd = 0;
    this.#counted = 0;
    this.#countedFrom = -1;
    this.#lostAt = Number.NEGATIVE_INFINITY;
  }

  /** No loss was seen for a while, if ever. */
  isClean(now: number): boolean {
    return now - this.#lostAt > CLEAN_MICROS;
  }

  // --- pacing -------------------------------------------------------------------------------------------------------

  /** When the next packet may leave; not later than `now` if it may leave at once. */
  get nextSendAt(): number {
    if (this.#window <= BURST_PACKETS) return 0;
    return this.#nextSendAt - (this.#burst() - 1) * this.#interval;
  }

  #burst(): number {
    if (!this.isRoomy) return BURST_PACKETS;
    return this.#window < 2 * WIDE_BURST_PACKETS ? ROOMY_BURST_PACKETS : WIDE_BURST_PACKETS;
  }

  /** How many packets may leave at once. */
  packetsNow(now: number): number {
    if (this.#window <= BURST_PACKETS || this.#interval === 0) return MAX_WINDOW;
    const burst = this.#burst();
    // What was not used of the time before counts for one burst at most.
    if (this.#nextSendAt <= now) return burst;
    return Math.max(0, burst - Math.ceil((this.#nextSendAt - now) / this.#interval));
  }

  /** The path has shown room for long bursts. */
  get isRoomy(): boolean {
    return this.#queueLimit >= ROOMY_QUEUE;
  }

  onSent(packets: number, now: number): void {
    if (this.#nextSendAt < now) this.#nextSendAt = now;
    this.#nextSendAt += packets * this.#interval;
  }

  /** Sending stopped because the window is full. */
  onLimit(): void {
    this.#wasLimit = true;
  }

  // --- progress -----------------------------------------------------------------------------------------------------

  onProgress(packets: number, now: number): void {
    this.#isProbing = false;
    // Until a round trip is known nothing would say when to stop: where losses come first, that takes a while.
    if (this.#isStarting && this.#wasLimit && this.shortestMicros > 0)
      this.#setWindow(this.#window + packets);
    if (this.#countedFrom < 0) {
      this.#countedFrom = now;
      this.#counted = 0;
    } else {
      this.#counted += packets;
    }
  }

  /** Sending begins again further back: what comes until then says nothing about the speed of the path. */
  onGoBack(): void {
    this.#countedFrom = -1;
  }

  /**
   * A timed packet was answered after `micros`. If that is not clear, because it may have been an earlier transmission that
   * was answered, it may seem too short.
   */
  onRoundTrip(micros: number, isClear: boolean, now: number): void {
    if (micros <= 0 || (!isClear && micros < this.shortestMicros)) return;
    this.#smooth(micros);
    if (isClear && micros < this.#shortest) this.#setShortest(micros, now);
    if (this.shortestMicros === 0) return;
    this.#last = micros;
    if (micros < this.#low) this.#low = micros;
    // Who does not fill the window makes no queue: a round trip that takes long was held up in a busy process.
    if (this.#isStarting && this.#wasLimit && this.#queue() > this.#queueLimit / 2) this.#drainQueue(now);
    if (now >= this.#roundEnd) this.#beginRound(now);
  }

  #beginRound(now: number): void {
    this.#roundEnd = now + this.#last;
    this.#alpha += ((this.#hasNotice ? 1 : 0) - this.#alpha) * ALPHA_GAIN;
    if (this.#drainedFrom > 0) {
      this.#setWindow(this.#drainedFrom);
      this.#drainedFrom = 0;
    } else if (!this.#isStarting) {
      this.#follow(this.#wasLimit && !this.#hasNotice && !this.#hasLoss);
    }
    this.#lowBefore = this.#low;
    this.#low = Number.POSITIVE_INFINITY;
    this.#hasNotice = false;
    this.#hasLoss = false;
    this.#wasLimit = false;
    this.#countedFrom = now;
    this.#counted = 0;
    if (now >= this.#periodEnd) this.#beginPeriod(now);
  }

  #smooth(sample: number): void {
    if (this.#smoothed === 0) {
      this.#smoothed = sample;
      this.#variation = sample / 2;
      return;
    }
    this.#variation += (Math.abs(sample - this.#smoothed) - this.#variation) / 4;
    this.#smoothed += (sample - this.#smoothed) / 8;
  }

  #beginPeriod(now: number): void {
    const isFirst = this.#periodEnd === 0;
    this.#periodEnd = now + SHORTEST_MICROS;
    if (isFirst || this.#shortest === Number.POSITIVE_INFINITY) return;
    this.#shortestBefore = this.#shortest;
    this.#shortest = Number.POSITIVE_INFINITY;
    this.#drainedFrom = this.#window;
    this.#setWindow(this.#window / 2);
  }

  /** Packets of ours that wait in queues. */
  #queue(): number {
    return this.#queueAt(this.#last);
  }

  #queueAt(micros: number): number {
    return micros > 0 ? this.#window * (1 - this.shortestMicros / micros) : 0;
  }

  /** Once a round trip, by the queue that all its packets met: bursts, such as after going back, are queues that pass. */
  #follow(mayGrow: boolean): void {
    const queue = this.#queueAt(this.#low);
    // It takes a round trip to see what growing has done.
    const hasJustGrown = this.#hasGrown;
    this.#hasGrown = false;
    if (queue > this.#queueLimit) {
      this.#setWindow(this.#window - (queue - this.#queueLimit) / 2);
    } else if (mayGrow && queue < this.#queueLimit / 2) {
      if (!hasJustGrown) this.#setWindow(this.#window * (1 + GROWTH));
      this.#hasGrown = !hasJustGrown;
    } else if (mayGrow) {
      this.#setWindow(this.#window + 1);
    }
    if (this.#queueLimit < MAX_QUEUE) this.#queueLimit += 1 / 16;
  }

  // --- trouble ------------------------------------------------------------------------------------------------------

  /** A gap was reported. */
  onLoss(now: number): void {
    this.#hasLoss = true;
    this.#lostAt = now;
    const queue = this.#queueAt(Math.min(this.#low, this.#lowBefore));
    // Whoever is to blame: where packets are lost, those that wait behind the lost one are sent in vain.
    this.#queueLimit = Math.max(MIN_QUEUE, Math.min(this.#queueLimit, queue) / 2);
    if (queue >= CULPABLE_QUEUE) this.#drainQueue(now);
  }

  /** The peer or the network says that there is a queue. */
  onNotice(): void {
    this.#isStarting = false;
    if (this.#hasNotice) return;
    this.#hasNotice = true;
    this.#setWindow(this.#window * (1 - this.#alpha / 2));
  }

  /**
   * There is progress `micros` after a probe. If that is about a round trip, the probe has brought it, so that something
   * had been lost; otherwise the answer to what left before was late. Where loss was seen, probes come so soon that this
   * says nothing.
   */
  onProbeAnswer(micros: number, now: number): void {
    if (this.isClean(now) && micros >= this.shortestMicros && micros <= 2 * this.#smoothed)
      this.#lostAt = now;
  }

  /** No progress for longer than there should have been none, and no word from the peer either. */
  onSilence(): void {
    this.#isProbing = true;
  }

  onTimeout(): void {
    this.#isProbing = true;
    this.#isStarting = false;
    this.#setWindow(this.#window / 2);
  }

  /** While there is a queue, progress comes at the speed of the path: with that, the window needs no queue. */
  #drainQueue(now: number): void {
    const micros = this.#countedFrom < 0 ? 0 : now - this.#countedFrom;
    let window = this.#window - this.#queue();
    // A window that was doubling a moment ago says little.
    if (this.#isStarting && micros > this.shortestMicros / 4) {
      window = Math.min(window, (this.#counted / micros) * this.shortestMicros + this.#queueLimit / 2);
    }
    this.#isStarting = false;
    this.#setWindow(window);
    this.#last = this.shortestMicros;
  }

  #setWindow(window: number): void {
    this.#window = Math.min(MAX_WINDOW, Math.max(MIN_WINDOW, window));
    this.#wholeWindow = this.#window | 0;
    INVARIANT: invariant(
      this.#wholeWindow >= MIN_WINDOW && this.#wholeWindow <= MAX_WINDOW,
      'the window is between its bounds',
    );
    this.#setInterval();
  }

  /** What left at the speed of a path that seemed longer waits no longer than it would have at that of this one. */
  #setShortest(micros: number, now: number): void {
    const before = this.#interval;
    this.#shortest = micros;
    this.#setInterval();
    const wait = this.#nextSendAt - now;
    if (wait > 0 && this.#interval < before) this.#nextSendAt = now + (wait * this.#interval) / before;
  }

  #setInterval(): void {
    this.#interval = this.shortestMicros / (this.#isStarting ? this.#window * STARTING_PACE : this.#window);
  }
}
