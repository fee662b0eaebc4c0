/**
 * What a server has to answer for, as records: who connected and on which terms, who was refused and why, what was granted and
 * taken back, how it ended. No PSN, key or payload is in any of them.
 */
import type { PeerIdentity } from '../../session/peer-identity.js';
import type { RefusalKind } from '../../verbs/refusal-kind.js';
import type { Throttled } from '../rates/identity-rates.js';
import type { MemoryRights } from '../terms/options.js';

/** Who a record is about. */
export interface AuditSubject {
  /** Number of the connection; `null` for a client that never had one, and for an identity with all its connections. */
  readonly connection: number | null;
  readonly address: string;
  /** `null` when the client showed no certificate, or none that was verified. */
  readonly peer: PeerIdentity | null;
}

export type AuditEvent =
  | {
      readonly event: 'connected';
      readonly slot: number;
      readonly bufferBytes: number;
      readonly rights: MemoryRights;
      readonly encrypted: boolean;
    }
  | { readonly event: 'refused'; readonly kind: RefusalKind; readonly reason: string }
  | {
      readonly event: 'granted';
      readonly grant: number;
      readonly bytes: number;
      readonly rights: MemoryRights;
    }
  | { readonly event: 'revoked'; readonly grant: number; readonly reason: string }
  /** The identity had to wait, because its `rates` were used up: how often and how long, since the record before. */
  | ({ readonly event: 'throttled' } & Throttled)
  /** The connection failed and came up again. */
  | { readonly event: 'recovered' }
  | { readonly event: 'ended'; readonly code: string | null; readonly reason: string | null };

export type AuditRecord = { readonly time: string } & AuditSubject & AuditEvent;

export type AuditListener = (record: AuditRecord) => void;
