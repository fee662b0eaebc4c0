/**
 * One campaign: tries inputs on one target until the count is reached or time is up. Inputs that reach new code are
 * kept and become the parents of others. Every input is put where another thread can read it before it runs, so that
 * it is known even when it never comes back.
 */

import { Random } from '../../testkit/random.js';
import type { Coverage } from './coverage.js';
import { type Crash, describeCrash, minimize } from './crash.js';
import { Mutator } from './mutator.js';
import { runWhole, type Target } from './target.js';

/** Inputs between two looks at the coverage. */
const BATCH = 32;
const FRESH_ONE_IN = 8;
/** Keep going after a crash, to find others behind it, but not for ever. */
const MAX_CRASHES = 10;

export interface CampaignOptions {
  readonly count: number;
  /** Of `performance.now()`. */
  readonly untilMillis: number;
  readonly seed: number;
  readonly coverage: Coverage;
  readonly onInput: (input: Uint8Array) => void;
  readonly onProgress: (count: number, corpus: number) => void;
  readonly onCrash: (crash: Crash) => void;
}

export interface CampaignResult {
  /** Hostile things tried, in the target's own unit. */
  readonly count: number;
  readonly inputs: number;
  readonly corpus: number;
  readonly crashes: number;
}

export class Campaign {
  readonly #target: Target;
  readonly #options: CampaignOptions;
  readonly #corpus: Uint8Array[] = [];
  readonly #signatures = new Set<string>();
  #count = 0;
  #inputs = 0;

  constructor(target: Target, options: CampaignOptions) {
    this.#target = target;
    this.#options = options;
  }

  async run(): Promise<CampaignResult> {
    const { stepBytes, maxSteps } = this.#target;
    const random = new Random(this.#options.seed);
    const mutator = new Mutator(random, stepBytes, maxSteps);
    this.#corpus.push(...this.#target.seeds());
    await this.#runBatch([...this.#corpus]);
    while (this.#wantsMore()) {
      const batch: Uint8Array[] = [];
      for (let i = 0; i < BATCH; i++) {
        const isFresh = this.#corpus.length === 0 || random.oneIn(FRESH_ONE_IN);
        batch.push(isFresh ? mutator.fresh() : mutator.mutate(this.#corpus));
      }
      await this.#runBatch(batch);
      this.#options.onProgress(this.#count, this.#corpus.length);
    }
    await this.#guard(new Uint8Array(0), async () => this.#target.finish?.(this.#corpus));
    const { size: crashes } = this.#signatures;
    return { count: this.#count, inputs: this.#inputs, corpus: this.#corpus.length, crashes };
  }

  #wantsMore(): boolean {
    const { count, untilMillis } = this.#options;
    return this.#count < count && performance.now() < untilMillis && this.#signatures.size < MAX_CRASHES;
  }

  async #runBatch(batch: readonly Uint8Array[]): Promise<void> {
    const { coverage } = this.#options;
    const tried: Uint8Array[] = [];
    for (const input of batch) {
      tried.push(input);
      this.#count += await this.#runOne(input);
      if (!this.#wantsMore()) break;
    }
    const ran = coverage.take();
    if (!coverage.hasNew(ran)) return;
    // Which inputs does the new code belong to? Each runs once more alone.
    for (const input of tried) {
      await this.#runOne(input);
      if (coverage.add(coverage.take())) this.#corpus.push(input);
    }
    coverage.add(ran);
  }

  async #runOne(input: Uint8Array): Promise<number> {
    this.#inputs++;
    this.#options.onInput(input);
    let count = 0;
    await this.#guard(input, async () => {
      count = await runWhole(this.#target, input);
    });
    return Math.max(1, count);
  }

  async #guard(input: Uint8Array, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const crash = describeCrash(this.#target.name, input, error);
      if (this.#signatures.has(crash.signature)) return;
      this.#signatures.add(crash.signature);
      const run = (shorter: Uint8Array): unknown => {
        this.#options.onInput(shorter);
        return runWhole(this.#target, shorter);
      };
      this.#options.onCrash(await minimize(run, this.#target.stepBytes, crash));
    }
  }
}
