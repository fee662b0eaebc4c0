/** How long a program waits for a call: until its signal aborts or its time is over. Nothing of it stays at the signal. */
import { RdmaError } from '../../verbs/errors.js';
import type { CallOptions } from './call-options.js';

/** Errors that say that a program gave up. */
const made = new WeakSet<RdmaError>();

/** Whether the program's own patience has ended a call with `error`. */
export const isImpatience = (error: RdmaError): boolean =>
  made.has(error) || (error.cause instanceof RdmaError && made.has(error.cause));

/** Whether a call with these options may end before what it began. */
export const mayGiveUp = ({ signal, timeoutMillis }: CallOptions): boolean =>
  signal !== undefined || timeoutMillis !== undefined;

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

/**
 * Waits for `running` as long as the program does. Then `giveUp` says with which error the wait ends, or with `undefined`
 * that it came too late and `running` is answered all the same.
 */
export function patiently<T>(
  running: Promise<T>,
  options: CallOptions,
  what: string,
  giveUp: (why: RdmaError) => Promise<RdmaError | undefined>,
): Promise<T> {
  if (!mayGiveUp(options)) return running;
  return new Promise((resolve, reject) => {
    const stop = watchPatience(options, what, (why) => {
      giveUp(why).then((error) => {
        if (error !== undefined) reject(error);
      }, reject);
    });
    running.then(
      (value) => {
        stop();
        resolve(value);
      },
      (error: unknown) => {
        stop();
        reject(error);
      },
    );
  });
}

const aborted = (signal: AbortSignal | undefined, what: string): RdmaError =>
  note(new RdmaError('ERR_RDMA_ABORTED', `${what} was aborted`, { cause: signal?.reason }));

const late = (timeoutMillis: number, what: string): RdmaError =>
  note(new RdmaError('ERR_RDMA_TIMEOUT', `${what} did not end within ${timeoutMillis} ms`));

function note(error: RdmaError): RdmaError {
  made.add(error);
  return error;
}
