/**
 * What becomes of a server's clients, for the parts of this package that have to tell of it: metrics, dashboard. Programs have no way to it.
 *
 * Invariants: watchers hear each change once, before the listeners of the program do; no listener that the program adds, removes or that
 * throws comes between. A watcher is no listener of the program: what becomes a warning where nobody listens still does.
 */
import type { TlsRefusal } from '../../session/tls-refusal.js';
import type { RdmaError } from '../../verbs/errors.js';
import { tell as tellOne } from '../../verbs/listeners.js';
import type { Connection } from './connection.js';

export interface ServerWatch {
  onConnection?(connection: Connection): void;
  /** It has ended and everything of it is freed; without an error after an orderly end. */
  onDisconnection?(connection: Connection, error: RdmaError | undefined): void;
  onRefused?(refusal: TlsRefusal): void;
  /** A handler threw something that was not the connection's own failure. */
  onHandlerError?(): void;
}

/** A server: which one it is, is all that counts here. */
type Watched = object;

const watches = new WeakMap<Watched, Set<ServerWatch>>();

/** Returns what ends it. */
export function watchServer(server: Watched, watch: ServerWatch): () => void {
  const known = watches.get(server) ?? new Set();
  watches.set(server, known.add(watch));
  return () => void known.delete(watch);
}

/** Of a server, to all who watch it. */
export function tellServerWatches(server: Watched, tell: (watch: ServerWatch) => void): void {
  for (const watch of watches.get(server) ?? []) tellOne(tell, watch);
}
