/**
 * When a host whose controller is gone tries to get another one, and when it gives up. Pure: the time, in milliseconds, and randomness
 * are arguments; the owner does what `takeAction` says.
 *
 * Invariants: one attempt is under way at a time, none before the pause is over, and none after the end; the end comes once, at the
 * latest when the time that the loss has is spent.
 */

/** How a host tries. */
export interface ReconnectPolicy {
  /** From the loss on. 0: not at all. */
  readonly withinMillis: number;
  /** After each loss. */
  readonly attempts: number;
  /** Before the first attempt; doubles with each, up to `maxDelayMillis`. */
  readonly delayMillis: number;
  readonly maxDelayMillis: number;
}

export type ReconnectState = 'up' | 'pausing' | 'opening' | 'over';

export type ReconnectAction =
  /** Try to get a controller; then say `opened` or `failed`. */
  | { readonly type: 'open'; readonly attempt: number }
  /** It is over, also for an attempt that is under way. */
  | { readonly type: 'end'; readonly reason: string };

export class ReconnectMachine {
  readonly #policy: ReconnectPolicy;
  readonly #random: () => number;
  #state: ReconnectState = 'up';
  #isForbidden = false;
  /** Pauses since a controller stayed for long enough. */
  #pauses = 0;
  #attempts = 0;
  #upSince: number;
  #pauseEnd = 0;
  #giveUpAt = 0;
  #lastReason = '';
  #action: ReconnectAction | undefined;

  /** `random`: from 0 to 1, for pauses. */
  constructor(policy: ReconnectPolicy, now: number, random: () => number) {
    this.#policy = policy;
    this.#random = random;
    this.#upSince = now;
  }

  get state(): ReconnectState {
    return this.#state;
  }

  /** Attempts since the loss. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The controller is gone. */
  lost(now: number, reason: string): void {
    if (this.#state !== 'up') return;
    const { withinMillis, attempts, maxDelayMillis } = this.#policy;
    this.#lastReason = reason;
    if (this.#isForbidden || withinMillis === 0 || attempts === 0) {
      this.#end(reason);
      return;
    }
    // One that is lost again and again is not asked for as fast as the first time.
    if (now - this.#upSince >= maxDelayMillis) this.#pauses = 0;
    this.#attempts = 0;
    this.#giveUpAt = now + withinMillis;
    this.#pause(now);
  }

  /** The attempt has brought a controller. Returns whether it is wanted still. */
  opened(now: number): boolean {
    if (this.#state !== 'opening') return false;
    this.#state = 'up';
    this.#upSince = now;
    return true;
  }

  /** The attempt has not; `isFinal`: no other one would. */
  failed(now: number, reason: string, isFinal: boolean): void {
    if (this.#state !== 'opening') return;
    this.#lastReason = reason;
    if (isFinal) this.#end(reason);
    else if (this.#attempts >= this.#policy.attempts) this.#giveUp(`${this.#attempts} attempts failed`);
    else this.#pause(now);
  }

  /** No more attempts from now on: a controller that is there stays, but none comes after it. */
  forbid(reason: string): void {
    this.#isForbidden = true;
    if (this.#state === 'pausing' || this.#state === 'opening') this.#end(reason);
  }

  /** The program wants none any more. */
  stop(reason: string): void {
    if (this.#state !== 'over') this.#end(reason);
  }

  /** When `handleTimeout` has something to do; infinity: never. */
  nextDeadline(): number {
    if (this.#state === 'pausing') return Math.min(this.#pauseEnd, this.#giveUpAt);
    return this.#state === 'opening' ? this.#giveUpAt : Number.POSITIVE_INFINITY;
  }

  handleTimeout(now: number): void {
    if (now < this.nextDeadline()) return;
    if (now >= this.#giveUpAt) {
      this.#giveUp(`no attempt succeeded within ${this.#policy.withinMillis} ms`);
      return;
    }
    this.#state = 'opening';
    this.#attempts++;
    this.#action = { type: 'open', attempt: this.#attempts };
  }

  /** What to do now, each once. */
  takeAction(): ReconnectAction | undefined {
    const action = this.#action;
    this.#action = undefined;
    return action;
  }

  #pause(now: number): void {
    const { delayMillis, maxDelayMillis } = this.#policy;
    const pause = Math.min(maxDelayMillis, delayMillis * 2 ** Math.min(this.#pauses, 31));
    this.#pauses++;
    this.#state = 'pausing';
    // Many hosts lose one target at the same moment, and shall not all come back at the same one.
    this.#pauseEnd = now + pause * (1 + this.#random() / 4);
  }

  #giveUp(why: string): void {
    this.#end(`${why}; the last reason: ${this.#lastReason}`);
  }

  #end(reason: string): void {
    this.#state = 'over';
    this.#action = { type: 'end', reason };
  }
}
