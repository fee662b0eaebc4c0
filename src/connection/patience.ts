/** How long a program waits for a call: until its signal aborts or its time is over. Nothing of it stays at the signal. */
import { RdmaError } from '../verbs/errors.js';
import type { CallOptions } from './call-options.js';

/** @throws RdmaError ERR_RDMA_ABORTED when the signal has aborted already. */
export function checkPatience({ signal }: CallOptions, what: string): void {
  if (signal?.aborted === true) throw aborted(signal, what);
}

/** Calls `onEnd` once when the wait is over; what it returns ends the watching. */
export function watchPatience(
  { signal, timeoutMillis }: CallOptions,
  what: string,
  onEnd: (why: RdmaError) => void,
): () => void {
  const onAbort = (): void => end(aborted(signal, what));
  const stop = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  };
  const end = (why: RdmaError): void => {
    stop();
    onEnd(why);
  };
  const timer =
    timeoutMillis === undefined ? undefined : setTimeout(() => end(late(timeoutMillis, what)), timeoutMillis);
  signal?.addEventListener('abort', onAbort);
  return stop;
}

const aborted = (signal: AbortSignal | undefined, what: string): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', `${what} was aborted`, { cause: signal?.reason });

const late = (timeoutMillis: number, what: string): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', `${what} did not end within ${timeoutMillis} ms`);
