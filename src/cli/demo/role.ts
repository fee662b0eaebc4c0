/**
 * A process of the demo, seen from inside: takes orders one after the other and tells events. It ends with its parent,
 * and only its parent ends it: Ctrl-C reaches every process of a terminal, but who cleans up is the parent.
 */
import { RdmaError } from '../../verbs/errors.js';
import { ExitCode } from '../failure.js';
import type { FailedEvent } from './protocol.js';

export interface Role<Order, Event> {
  /** `false` ends the process. */
  obey(order: Order, tell: (event: Event) => void): Promise<boolean>;
}

export function playRole<Order, Event>(role: Role<Order, Event | FailedEvent>): (event: Event) => void {
  const tell = (event: Event | FailedEvent): void => {
    const epochMillis = performance.timeOrigin + performance.now();
    if (process.connected) process.send?.({ event, epochMillis });
  };
  let last = Promise.resolve(true);
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit(ExitCode.FAILED));
  process.on('message', (order) => {
    last = last
      .then(() => role.obey(order as Order, tell))
      .then(endUnless, (error: unknown) => {
        tell({ event: 'failed', error: errorText(error) });
        endUnless(false);
        return false;
      });
  });
  return tell;
}

function endUnless(goOn: boolean): boolean {
  // What was told still leaves before the channel closes, and nothing else keeps a process that is done.
  if (!goOn && process.connected) process.send?.(null, undefined, undefined, () => process.exit());
  return goOn;
}

function errorText(error: unknown): FailedEvent['error'] {
  if (error instanceof RdmaError) return { code: error.code, message: error.message };
  return {
    code: 'ERR_UNEXPECTED',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}
