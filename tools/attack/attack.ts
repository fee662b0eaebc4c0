/** What an attack is, and what it gets to work with. */
import type { Random } from '../../testkit/random.js';

/** What came of it. `hits` and `expected` count successes of the attacker, or what the attack's title says instead. */
export interface Outcome {
  readonly tries: number;
  readonly hits: number;
  /** What theory says, for as many tries. */
  readonly expected: number;
  readonly pass: boolean;
  /** For people: what was measured, and what the same would cost on the full space. */
  readonly note: string;
}

export interface AttackContext {
  /** The whole attack follows from it, but for the timing of two processes. */
  readonly seed: number;
  readonly random: Random;
  /** Runs of the full size where there are any. */
  readonly full: boolean;
  readonly progress: (text: string) => void;
}

export interface Attack {
  /** `A1` … `A19`. */
  readonly name: string;
  /** What the attacker does. */
  readonly title: string;
  run(context: AttackContext): Promise<Outcome>;
}
