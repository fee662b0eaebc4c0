/** What a server tells its program. */
import type { TlsRefusal } from '../../session/tls-refusal.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { Connection } from '../program/connection.js';
import type { WorkerLoss } from '../program/serving-host.js';

export interface ServerEvents {
  connection: [Connection];
  /** A connection has ended and everything of it is freed; `undefined` after an orderly end. */
  disconnection: [Connection, RdmaError | undefined];
  /** A peer that never became a connection, and why. */
  refused: [TlsRefusal];
  /** A handler threw something that was not the connection's own failure. Without a listener it becomes a warning. */
  handlerError: [Connection, unknown];
  /** A worker has died, and its connections have ended; another takes its place. Without a listener it becomes a warning. */
  workerLost: [WorkerLoss];
}
