/** What a server grants one client, and the function of a program that decides it. */
import type { PeerIdentity } from '../../session/peer-identity.js';
import type { ClientRates } from '../rates/client-rates.js';
import type { LifelineKind, MemoryRights, StreamOptions } from './options.js';

/** Terms for one client; what is left out is as the server's options say. */
export interface ClientTerms {
  /** Connections that this identity may have at a time. */
  readonly maxConnections?: number;
  /** What the client may do with the buffer that it gets. */
  readonly rights?: MemoryRights;
  /** Bytes of that buffer; 0 = none. */
  readonly bufferBytes?: number;
  readonly receiveSlots?: number;
  readonly slotBytes?: number;
  readonly maxMessageBytes?: number;
  readonly streams?: StreamOptions;
  /** How much this identity may send and be sent, in place of the server's `rates`: `{}` for no bounds. */
  readonly rates?: ClientRates;
  /** Whether its TLS session may end once the path is proven. */
  readonly lifeline?: LifelineKind;
  /** Insists on sealed messages and memory. */
  readonly encryption?: 'aes-256-gcm';
}

/**
 * Decides about a client: `false` refuses it, `true` takes it on the server's own terms. `peer` is `null` where the server
 * asks for no certificates. A function that throws refuses the client; the error is reported and not told to the client.
 */
export type Authorize = (
  peer: PeerIdentity | null,
  address: string,
) => ClientTerms | boolean | Promise<ClientTerms | boolean>;
