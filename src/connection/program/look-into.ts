/**
 * How other parts of this package look into connections. Connections say it themselves, as a table of all of them would be large. Programs
 * have no way to it; insides.ts and stream-seats.ts have.
 */
import type { StreamAccess } from './stream-access.js';

/** What a connection is made of. */
export interface Parts {
  readonly lifeline: object;
  readonly dataPath: object;
  readonly side: { readonly streams: StreamAccess };
}

type Look = (connection: object) => Parts | undefined;

let look: Look = () => undefined;

/** Called once, by connections. `how` returns `undefined` for what is none. */
export function lookBy(how: Look): void {
  look = how;
}

/** @throws Error for what is no connection. */
export function partsOf(connection: object): Parts {
  const parts = look(connection);
  if (parts === undefined) throw new Error('only connect and listen make connections');
  return parts;
}
