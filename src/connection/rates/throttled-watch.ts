/** Looks once a second which identities had to wait, in whatever thread, from the first one with bounds on. */
import type { Clock } from '../clock.js';
import type { IdentityRates, ThrottledIdentity } from './identity-rates.js';

const LOOK_MILLIS = 1000;

export class ThrottledWatch {
  readonly #rates: IdentityRates;
  readonly #clock: Clock;
  readonly #tell: (held: ThrottledIdentity) => void;
  #stop: (() => void) | null = null;

  constructor(rates: IdentityRates, clock: Clock, tell: (held: ThrottledIdentity) => void) {
    this.#rates = rates;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Idempotent. */
  begin(): void {
    this.#stop ??= this.#clock.setTimer(LOOK_MILLIS, () => {
      this.#stop = null;
      this.#look();
      this.begin();
    });
  }

  /** Tells what is left to be told. */
  end(): void {
    this.#stop?.();
    this.#stop = null;
    this.#look();
  }

  #look(): void {
    for (const held of this.#rates.takeThrottled()) this.#tell(held);
  }
}
