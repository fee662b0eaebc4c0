/**
 * The streams of connections for other parts of this package, which put something else than a `ConnectionStream` on them. Programs have no
 * way to it.
 */
import { partsOf } from './look-into.js';
import type { StreamAccess } from './stream-access.js';

/** @throws Error for what is no connection. */
export const streamsOf = (connection: object): Pick<StreamAccess, 'isEnding' | 'seat' | 'seatBy'> =>
  partsOf(connection).side.streams;
