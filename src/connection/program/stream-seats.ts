/**
 * The streams of connections for other parts of this package, which put something else than a `ConnectionStream` on them: who makes
 * a connection notes it here. Programs have no way to it.
 */
import type { StreamAccess } from './stream-access.js';

const streams = new WeakMap<object, StreamAccess>();

export function noteStreams(connection: object, access: StreamAccess): void {
  streams.set(connection, access);
}

/** @throws Error for what is no connection. */
export function streamsOf(connection: object): Pick<StreamAccess, 'isEnding' | 'seat' | 'seatBy'> {
  const access = streams.get(connection);
  if (access === undefined) throw new Error('only connect and listen make connections');
  return access;
}
