/**
 * Why an end closes a brief connection without all that it had to say, as the `value` of CLOSE: 0 in order, otherwise the kind of its
 * error, by the numbers of docs/protocol.md.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { REFUSAL_KINDS, type RefusalKind, refusalKindOf } from '../../verbs/refusal-kind.js';

export const CLOSED_IN_ORDER = 0;

export const closeCodeOf = (error: RdmaError | undefined): number =>
  error === undefined ? CLOSED_IN_ORDER : 1 + REFUSAL_KINDS.indexOf(refusalKindOf(error));

/** Of a code other than 0; one that is none of ours is `other`. */
export const closeKindOf = (code: number): RefusalKind => REFUSAL_KINDS[code - 1] ?? 'other';
