/**
 * How a driver waits. After activity it keeps the event loop turning for a moment, because the next packet is near and
 * waking a sleeping process costs more than a round trip; every turn serves timers and other sockets as usual. Where other
 * processes want the processor it sleeps at once: turning would keep it from them, and the peer may be among them. After
 * that a timer waits for the next deadline, if there is one. Where nothing has come so for a few times, as with keep-alives of
 * thousands of connections, it does not turn before packets come close together again.
 *
 * Between two looks that find nothing it may let other work of the processor go first (giving-way.ts).
 *
 * Invariant: an idle driver has no timer and no turn.
 */
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { GivingWay } from './giving-way.js';

/** Timers have a resolution of 1 ms; waits shorter than this are spent in turns of the event loop instead. */
const SHORT_WAIT_MICROS = 200;
/** How long the event loop keeps turning after the last packet or post. */
const SPIN_MICROS = 200;
/** Of that, how long one turn may take when nothing comes. Turns cost more than looking for packets. */
const SPIN_TURN_MICROS = 25;
/** After so many times in a row in which nothing came it waits without turning, until packets come close together again. */
const MANY_IN_VAIN = 4;
/** A look for packets that takes so long was interrupted: others want this processor, perhaps the peer itself. */
const INTERRUPTED_MICROS = 300;
/**
 * How long the driver sleeps between packets after that, instead of turning: twice as long each time that it is interrupted again before it has
 * turned for as long as it slept. Whoever wanted the processor once is mostly done soon; and two processes that wake each
 * other stay on one processor, where those that turn are moved apart.
 */
const FIRST_REST_MICROS = 2000;
const LAST_REST_MICROS = 20_000;
/** With one processor, turning would take it from the peer that is waited for. */
const MAY_SPIN = availableParallelism() > 1;
/** After so many turns in a row in which something came, the port need not tell. */
const MANY_BUSY_TURNS = 16;
const NEVER = Number.POSITIVE_INFINITY;

/** µs of the monotonic clock. */
export const nowMicros = (): number => performance.now() * 1000;

/** What waits, and is woken. */
export interface Waiting {
  /** Takes in what has arrived; returns whether anything had. */
  look(): boolean;
  /** Lets other work of this processor go first. */
  giveWay(): void;
  /** When it is due, µs; Infinity = never. May be too early, never too late. */
  nextDeadline(): number;
  /** The same, never too early. Costs more: for what goes to sleep. */
  nextWake(): number;
  /** The deadline has passed. */
  onDeadline(now: number): void;
  /** Whether it is looked after in every turn of the event loop from now on. */
  setTurning(isTurning: boolean): void;
  /** Whether that goes on for long, so that nothing needs to tell of an arrival. */
  setBusy(isBusy: boolean): void;
}

export class Turning {
  /** Turns of the event loop that were asked for. */
  wakeUps = 0;
  readonly #waiting: Waiting;
  readonly #maySpin: boolean;
  readonly #canLook: boolean;
  readonly #now: () => number;
  readonly #givingWay = new GivingWay();
  readonly #wake = (): void => this.#onTimer();
  readonly #timeUp = (): void => this.#onTimeUp();
  readonly #spin = (): void => this.#onSpin();
  #spinning: NodeJS.Immediate | null = null;
  #spinUntil = Number.NEGATIVE_INFINITY;
  #restUntil = Number.NEGATIVE_INFINITY;
  #restMicros = FIRST_REST_MICROS;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #timerAt = NEVER;
  /** Turns in a row in which something came. */
  #busyTurns = 0;
  /** Times in a row that turning ended without anything. */
  #inVain = 0;
  #activeAt = Number.NEGATIVE_INFINITY;
  #isTurning = false;
  #stopped = false;

  /** `canLook`: looking may find something. `now`: µs; other than the clock's in tests only. */
  constructor(waiting: Waiting, canLook: boolean, now = nowMicros) {
    this.#waiting = waiting;
    this.#canLook = canLook;
    this.#now = now;
    this.#maySpin = MAY_SPIN && canLook;
  }

  /** Many packets came or left at once. */
  noteMany(now: number): void {
    this.#givingWay.noteMany(now);
  }

  /** There was activity: waits for what comes of it. */
  wait(): void {
    if (this.#maySpin) this.#keepSpinning();
    this.rest();
  }

  /** There was none: waits for the next deadline alone, unless it turns already. */
  rest(): void {
    // Turns look at deadlines themselves.
    if (this.#spinning === null) this.#armTimer();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#spinning !== null) clearImmediate(this.#spinning);
    this.#spinning = null;
    this.#setTurning(false);
    this.#cancelTimer();
  }

  #keepSpinning(): void {
    const now = this.#now();
    // Turning has found this, or would have.
    if (now - this.#activeAt < SPIN_MICROS) this.#inVain = 0;
    this.#activeAt = now;
    if (now < this.#restUntil || this.#inVain >= MANY_IN_VAIN) return;
    this.#spinUntil = now + SPIN_MICROS;
    this.#spinning ??= setImmediate(this.#spin);
    this.#setTurning(true);
  }

  #setTurning(isTurning: boolean): void {
    if (isTurning === this.#isTurning) return;
    this.#isTurning = isTurning;
    this.#waiting.setTurning(isTurning);
  }

  #onSpin(): void {
    this.#spinning = null;
    if (this.#stopped) return;
    this.wakeUps++;
    const waiting = this.#waiting;
    let now = this.#now();
    const endsAt = now + SPIN_TURN_MICROS;
    let hasReceived = false;
    for (;;) {
      hasReceived = waiting.look();
      if (hasReceived) this.#givingWay.found(now);
      if (hasReceived || now >= endsAt) break;
      const before = now;
      if (this.#givingWay.isDue(now, this.#activeAt)) {
        const from = this.#now();
        waiting.giveWay();
        now = this.#now();
        this.#givingWay.took(now - from);
      } else {
        now = this.#now();
      }
      if (now - before > INTERRUPTED_MICROS) this.#rest(now);
      if (waiting.nextDeadline() <= now) {
        waiting.onDeadline(now);
        break;
      }
      // What came of a turn of another program is looked for at once.
      if (now >= endsAt && !this.#givingWay.hasLetRun) break;
    }
    this.#busyTurns = hasReceived ? this.#busyTurns + 1 : 0;
    if (this.#busyTurns === MANY_BUSY_TURNS) waiting.setBusy(true);
    if (now < this.#spinUntil && now >= this.#restUntil) {
      this.#spinning ??= setImmediate(this.#spin);
    } else {
      this.#inVain++;
      waiting.setBusy(false);
      this.#setTurning(this.#spinning !== null);
      this.#armTimer();
    }
  }

  #rest(now: number): void {
    const isAgain = now - this.#restUntil < this.#restMicros;
    this.#restMicros = isAgain ? Math.min(2 * this.#restMicros, LAST_REST_MICROS) : FIRST_REST_MICROS;
    this.#restUntil = now + this.#restMicros;
  }

  #onTimer(): void {
    this.#timer = null;
    this.#immediate = null;
    this.#timerAt = NEVER;
    if (this.#stopped) return;
    this.wakeUps++;
    const now = this.#now();
    if (this.#waiting.nextWake() <= now) this.#waiting.onDeadline(now);
    // What was waited for has come meanwhile.
    else this.#armTimer();
  }

  /** In a turn of the event loop timers come before sockets, which may have what is waited for. */
  #onTimeUp(): void {
    this.#timer = null;
    if (this.#canLook) this.#onTimer();
    else this.#immediate = setImmediate(this.#wake);
  }

  #armTimer(): void {
    const deadline = this.#waiting.nextWake();
    if (deadline >= this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = deadline;
    const waitMicros = deadline - this.#now();
    if (waitMicros < SHORT_WAIT_MICROS) this.#immediate = setImmediate(this.#wake);
    else this.#timer = setTimeout(this.#timeUp, Math.ceil(waitMicros / 1000));
  }

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
    this.#timerAt = NEVER;
  }
}
