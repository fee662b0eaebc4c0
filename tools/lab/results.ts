/**
 * Collects what a scenario finds, case by case. A case that throws has failed, one that throws `SkipCase` was
 * skipped, and neither ends the scenario, unless the first cases all fail for one reason: then that reason is what
 * there is to say, and the other cases would say it again.
 */

export type Outcome = 'passed' | 'failed' | 'skipped';

export interface CaseResult {
  readonly name: string;
  readonly outcome: Outcome;
  /** Why it failed or was skipped; otherwise what is worth telling. */
  readonly detail: string;
  readonly millis: number;
  /** What a table of results is made from. */
  readonly facts: Readonly<Record<string, string | number>>;
}

export interface Summary {
  readonly scenario: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Thrown by a case that cannot run here; the message is the reason. */
export class SkipCase extends Error {}

/** Every case so far has failed, and for this one reason. */
export class OneReason extends Error {}

/** So many cases that fail for one reason are no chance. */
const CASES_FOR_ONE_REASON = 3;

export class ResultCollector {
  readonly results: CaseResult[] = [];
  readonly #scenario: string;
  readonly #only: string;
  readonly #onResult: (result: CaseResult) => void;
  readonly #nowMillis: () => number;
  readonly #onBegin: (name: string) => void;
  readonly #repeat: number;

  constructor(
    scenario: string,
    only: string,
    onResult: (result: CaseResult) => void,
    nowMillis: () => number = () => performance.now(),
    onBegin: (name: string) => void = () => {},
    repeat = 1,
  ) {
    this.#repeat = repeat;
    this.#onBegin = onBegin;
    this.#scenario = scenario;
    this.#only = only;
    this.#onResult = onResult;
    this.#nowMillis = nowMillis;
  }

  wants(name: string): boolean {
    return name.includes(this.#only);
  }

  /**
   * Runs one case, unless `--only` leaves it out, and as often as `--repeat` says; `work` returns the detail to tell, if any.
   * Returns the last outcome.
   *
   * @throws OneReason to end the scenario
   */
  async run(
    name: string,
    facts: Readonly<Record<string, string | number>>,
    // biome-ignore lint/suspicious/noConfusingVoidType: most cases have nothing to tell and return nothing.
    work: () => Promise<string | void>,
  ): Promise<Outcome | undefined> {
    if (!this.wants(name)) return undefined;
    let outcome: Outcome | undefined;
    for (let i = 1; i <= this.#repeat; i++) {
      outcome = await this.#runOnce(
        this.#repeat === 1 ? name : `${name} (${i} of ${this.#repeat})`,
        facts,
        work,
      );
    }
    return outcome;
  }

  async #runOnce(
    name: string,
    facts: Readonly<Record<string, string | number>>,
    // biome-ignore lint/suspicious/noConfusingVoidType: most cases have nothing to tell and return nothing.
    work: () => Promise<string | void>,
  ): Promise<Outcome> {
    this.#onBegin(name);
    const start = this.#nowMillis();
    let outcome: Outcome = 'passed';
    let detail = '';
    try {
      detail = (await work()) ?? '';
    } catch (error) {
      outcome = error instanceof SkipCase ? 'skipped' : 'failed';
      detail = error instanceof Error ? error.message : String(error);
    }
    const result = { name, outcome, detail, millis: Math.round(this.#nowMillis() - start), facts };
    this.results.push(result);
    this.#onResult(result);
    if (this.results.length === CASES_FOR_ONE_REASON && this.results.every(isFailure(detail))) {
      throw new OneReason(detail);
    }
    return outcome;
  }

  summary(): Summary {
    const count = (outcome: Outcome): number =>
      this.results.filter((result) => result.outcome === outcome).length;
    return {
      scenario: this.#scenario,
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
    };
  }
}

const isFailure =
  (reason: string) =>
  ({ outcome, detail }: CaseResult): boolean =>
    outcome === 'failed' && detail === reason;

/** A run without any case has proved nothing; one that skipped all of them has said why. */
export const exitCodeOf = ({ passed, failed, skipped }: Summary): number =>
  failed > 0 || passed + skipped === 0 ? 1 : 0;
