/** What a server tells of a peer that it did not let in. */
import type { RefusalKind } from '../verbs/refusal-kind.js';

/** A peer that never became a channel. `address` is empty and `port` 0 where the system no longer knew them. */
export interface TlsRefusal {
  readonly address: string;
  readonly port: number;
  readonly kind: RefusalKind;
  readonly reason: string;
  /** What failed, where something did: an error of TLS, of the session or of `authorize`. */
  readonly cause?: unknown;
}
