/** A broken promise of the engine, found by a checker. The message says which, where and when. */
export class SimFailure extends Error {
  readonly checker: string;

  constructor(checker: string, message: string) {
    super(`${checker}: ${message}`);
    this.checker = checker;
  }
}

export function expect(condition: boolean, checker: string, message: () => string): asserts condition {
  if (!condition) throw new SimFailure(checker, message());
}
