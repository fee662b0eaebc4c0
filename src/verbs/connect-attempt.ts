/** What became of one of several servers that were tried. */
import type { RdmaError } from './errors.js';

export interface ConnectAttempt {
  /** `host:port`. */
  readonly server: string;
  /** Why it did not take the connection. */
  readonly error: RdmaError;
}
