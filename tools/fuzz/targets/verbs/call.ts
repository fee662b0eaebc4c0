/** Calls of the verbs layer, right or wrong: what they may answer. */
import { RdmaError } from '../../../../src/verbs/errors.js';
import { must } from '../../target.js';

/** Codes that tell a program that its call was wrong, or came too late or too often. */
const CODES = new Set<string>([
  'ERR_RDMA_INVALID_ARGUMENT',
  'ERR_RDMA_INVALID_STATE',
  'ERR_RDMA_CLOSED',
  'ERR_RDMA_IN_USE',
  'ERR_RDMA_QUEUE_FULL',
  'ERR_RDMA_LIMIT',
]);

export function isRefusal(error: unknown): error is RdmaError {
  return error instanceof RdmaError && CODES.has(error.code);
}

/**
 * What the call returns, or `undefined` when it was refused as a wrong call is.
 *
 * @throws whatever else it threw.
 */
export async function attempt<T>(call: () => T | Promise<T>): Promise<{ value: T } | RdmaError> {
  try {
    return { value: await call() };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    must(
      error.message.length > 10 && !/undefined|\[object/.test(error.message),
      `a refusal explains: ${error.message}`,
    );
    return error;
  }
}

export const isDone = <T>(result: { value: T } | RdmaError): result is { value: T } => 'value' in result;
