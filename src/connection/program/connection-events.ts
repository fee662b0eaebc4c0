/** What a connection tells its program. */
import type { RdmaError } from '../../verbs/errors.js';
import type { ConnectionStream } from './connection-stream.js';
import type { Grant } from './grant.js';

export interface ConnectionEvents {
  /** The connection has failed for this reason and tries to recover. */
  reconnecting: [RdmaError];
  /** It is up again; what was under way goes on. */
  reconnected: [];
  /** The peer has opened a stream. Listen in the tick in which you get the connection: nobody else takes it. */
  stream: [ConnectionStream];
  /** The peer may use a piece of our memory. */
  granted: [Grant];
  /** It may no longer, for this reason. */
  revoked: [Grant, string];
  /** It has ended and everything is freed; `undefined` after an orderly end. */
  closed: [RdmaError | undefined];
}
