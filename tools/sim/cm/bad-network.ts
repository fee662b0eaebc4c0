/** What happens to messages under way. Nothing bad any more once it is healed but delays. */
import type { Random } from '../../../testkit/random.js';
import type { Scenario } from './scenario.js';

const STRAGGLER_MILLIS = 6000;

export class BadNetwork {
  isHealed = false;
  readonly #scenario: Scenario;
  readonly #random: Random;

  constructor(scenario: Scenario, random: Random) {
    this.#scenario = scenario;
    this.#random = random;
  }

  /** How often a message arrives. */
  copiesOf(type: string, now: number): number {
    if (this.loses(type, now)) return 0;
    return this.#random.chance(this.#scenario.network.duplicate) ? 2 : 1;
  }

  loses(type: string, now: number): boolean {
    if (this.isHealed) return false;
    if (this.#random.chance(this.#scenario.network.loss)) return true;
    return this.#scenario.outages.some(
      (outage) =>
        (outage.type === 'all' || outage.type === type) && now >= outage.at && now < outage.at + outage.lasts,
    );
  }

  delay(): number {
    const { delayMillis, jitterMillis, straggle } = this.#scenario.network;
    const late = this.#random.chance(straggle) ? this.#random.unit() * STRAGGLER_MILLIS : 0;
    return delayMillis + this.#random.unit() * jitterMillis + late;
  }
}
