/** The addresses of a host are asked one after the other, each for its share of the time that is left. */
import { internalError, RdmaError } from '../verbs/errors.js';
import type { Patience } from './patience.js';

/**
 * What the first says that has something to give. `ask` returns an error where another address may do better.
 *
 * @throws RdmaError what the last one said where none had, and what `ask` throws.
 */
export async function firstOf<T>(
  hosts: readonly string[],
  patience: Patience,
  ask: (host: string, timeoutMillis: number) => Promise<T | RdmaError>,
): Promise<T> {
  for (const [index, host] of hosts.entries()) {
    const left = hosts.length - index;
    const outcome = await ask(host, Math.ceil(patience.leftMillis / left));
    if (!(outcome instanceof RdmaError)) return outcome;
    if (left === 1) throw outcome;
  }
  throw internalError('a host without addresses was asked');
}
