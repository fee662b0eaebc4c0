/** Frees one thing after the other, also behind one that could not be freed; what went wrong first is told at the end. */
import { asRdmaError, type RdmaError } from '../../verbs/errors.js';

export class Cleanup {
  #error: { readonly first: unknown } | undefined;

  /** Carries a step out; returns whether it worked. */
  async step(run: () => Promise<unknown> | undefined): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      this.#error ??= { first: error };
      return false;
    }
  }

  /** The first error, as one of ours. */
  error(what: string): RdmaError | undefined {
    return this.#error === undefined ? undefined : asRdmaError(this.#error.first, what);
  }

  /** @throws what the first step that failed threw. */
  finish(): void {
    if (this.#error !== undefined) throw this.#error.first;
  }
}
