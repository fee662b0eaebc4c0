/** Why a client does not get in, for the server's log and, in fewer words where it must be, for the client. */
import { RdmaError } from '../../verbs/errors.js';
import type { RefusalKind } from '../../verbs/refusal-kind.js';

/** Why a client does not get in; the message is for our log, kind and answer for the client. */
export class Refused extends RdmaError {
  declare readonly refusal: RefusalKind;
  readonly answer: string;

  constructor(refusal: RefusalKind, message: string, options: { told?: string; cause?: unknown } = {}) {
    super('ERR_RDMA_REFUSED', message, { refusal, cause: options.cause });
    this.answer = options.told ?? message;
  }
}

/** Why a client does not get in where this package has failed it. */
export const internalRefusal = (error: unknown): Refused =>
  new Refused('internal', `the client could not be admitted: ${String(error)}`, {
    told: 'internal error of the server',
    cause: error,
  });
