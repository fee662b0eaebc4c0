/**
 * Which rejections of a connection's functions the program learns of in another way, so that a forgotten `await` does not
 * end its process: those that a failure of the connection makes. `reconnecting` and `closed` tell of it.
 *
 * A mistake of the caller, a refusal by the peer and the program's own impatience are told by the rejection alone.
 */
import { RdmaError } from '../../verbs/errors.js';
import { isImpatience } from './patience.js';

/** `isEnding`: the connection has ended or is about to. */
export function isToldElsewhere(error: unknown, isEnding: boolean): boolean {
  if (!(error instanceof RdmaError)) return isEnding;
  const { code } = error;
  if (code === 'ERR_RDMA_INVALID_ARGUMENT' || isImpatience(error)) return false;
  return isEnding || code === 'ERR_RDMA_OUTCOME_UNKNOWN' || code === 'ERR_RDMA_CONNECTION_LOST';
}
