/**
 * The streams of connections for other parts of this package, which put something else than a `ConnectionStream` on them. Connections say
 * how to find them, as a table of all of them would be large. Programs have no way to it.
 */
import type { StreamAccess } from './stream-access.js';

let find: (connection: object) => StreamAccess | undefined = () => undefined;

/** Called once, by connections. `undefined`: it is none. */
export function findStreamsBy(how: (connection: object) => StreamAccess | undefined): void {
  find = how;
}

/** @throws Error for what is no connection. */
export function streamsOf(connection: object): Pick<StreamAccess, 'isEnding' | 'seat' | 'seatBy'> {
  const access = find(connection);
  if (access === undefined) throw new Error('only connect and listen make connections');
  return access;
}
