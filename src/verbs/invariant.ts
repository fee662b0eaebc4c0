/**
 * What must hold whatever a program or a peer does: a violation is a fault of this package. Tests, simulation and fuzzing
 * run with every check; the published build has none of them, because packing drops all statements that are labelled so:
 *
 *     INVARIANT: invariant(this.#count <= this.#capacity, 'a queue holds no more than its capacity');
 *
 * The label is what packing looks for, so every call has it (a test sees to that). A condition has no side effects and
 * allocates nothing; the text is a constant.
 */

/** A fault of this package, never of its user: the state is not to be trusted any more. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** @throws InvariantViolation unless `holds`; `what` says what should hold. */
export function invariant(holds: boolean, what: string): asserts holds {
  if (!holds) throw new InvariantViolation(`invariant violated: ${what}`);
}
