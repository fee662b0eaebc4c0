/** Looks once a second which identities had to wait, in whatever thread, from the first one with bounds on. */
import type { Clock, ClockTimer } from '../common/clock.js';
import type { TimerOwner } from '../common/timer-wheel.js';
import type { IdentityRates, ThrottledIdentity } from './identity-rates.js';

const LOOK_MILLIS = 1000;

export class ThrottledWatch implements TimerOwner {
  readonly #rates: IdentityRates;
  readonly #tell: (held: ThrottledIdentity) => void;
  readonly #timer: ClockTimer;

  constructor(rates: IdentityRates, clock: Clock, tell: (held: ThrottledIdentity) => void) {
    this.#rates = rates;
    this.#tell = tell;
    this.#timer = clock.timer(this);
  }

  /** Idempotent. */
  begin(): void {
    if (!this.#timer.isSet) this.#timer.set(LOOK_MILLIS);
  }

  /** Tells what is left to be told. */
  end(): void {
    this.#timer.stop();
    this.#look();
  }

  onTimer(): void {
    this.#look();
    this.begin();
  }

  #look(): void {
    for (const held of this.#rates.takeThrottled()) this.#tell(held);
  }
}
