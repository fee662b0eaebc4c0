/**
 * What becomes of connections, for the parts of this package that have to tell of it: audit, log, dashboard. Programs have no way to it.
 *
 * Invariants: watchers hear each change once, before the listeners of the program do; no listener that the program adds, removes or that
 * throws comes between.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { Grant } from './grant.js';

export interface ConnectionWatch {
  onReconnecting?(cause: RdmaError): void;
  onReconnected?(): void;
  onGranted?(grant: Grant): void;
  onRevoked?(grant: Grant, reason: string): void;
}

/** A connection: which one it is, is all that counts here. */
type Watched = object;

const watches = new WeakMap<Watched, ConnectionWatch[]>();

/** From now on, for the rest of its life. */
export function watchConnection(connection: Watched, watch: ConnectionWatch): void {
  const known = watches.get(connection);
  if (known === undefined) watches.set(connection, [watch]);
  else known.push(watch);
}

/** Of a connection, to all who watch it. */
export function tellWatches(connection: Watched, tell: (watch: ConnectionWatch) => void): void {
  for (const watch of watches.get(connection) ?? []) tell(watch);
}
