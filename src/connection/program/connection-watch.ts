/**
 * What becomes of connections, for the parts of this package that have to tell of it: audit, log, dashboard. Programs have no way to it.
 *
 * Invariants: watchers hear each change once, before the listeners of the program do; no listener that the program adds, removes or that
 * throws comes between.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { tell as tellOne } from '../../verbs/listeners.js';
import type { Grant } from './grant.js';

export interface ConnectionWatch {
  onReconnecting?(cause: RdmaError): void;
  onReconnected?(): void;
  onGranted?(grant: Grant): void;
  onRevoked?(grant: Grant, reason: string): void;
  /** It has ended and everything is freed; without an error after an orderly end. */
  onClosed?(error: RdmaError | undefined): void;
}

/** A connection: which one it is, is all that counts here. */
type Watched = object;

const watches = new WeakMap<Watched, readonly ConnectionWatch[]>();

/** From now on, for the rest of its life. */
export function watchConnection(connection: Watched, watch: ConnectionWatch): void {
  const known = watches.get(connection);
  // Neither `push` nor a spread, which make room for sixteen more: thousands of connections have one or two.
  watches.set(connection, known === undefined ? [watch] : known.concat(watch));
}

/** Of a connection, to all who watch it. */
export function tellWatches(connection: Watched, tell: (watch: ConnectionWatch) => void): void {
  for (const watch of watches.get(connection) ?? []) tellOne(tell, watch);
}
