/**
 * What a server lets a client do, decided from who the client is. The decision is asked for when TLS has verified the
 * client and before it gets a slot or any object of the device.
 */
import { type PeerIdentity, shownName } from '../session/peer-identity.js';
import { RdmaError } from '../verbs/errors.js';
import { checkTerms } from './option-rules.js';
import { checkLimits, type DataPathLimits, type MemoryRights } from './options.js';

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

/** @throws RdmaError ERR_RDMA_REFUSED; ERR_RDMA_INVALID_ARGUMENT for terms that are none. */
export async function authorizeClient(
  authorize: Authorize | undefined,
  peer: PeerIdentity | null,
  address: string,
): Promise<ClientTerms> {
  if (authorize === undefined) return {};
  let terms: ClientTerms | boolean;
  try {
    terms = await authorize(peer, address);
  } catch (cause) {
    throw new RdmaError('ERR_RDMA_REFUSED', `the decision about the client failed: ${String(cause)}`, {
      cause,
    });
  }
  if (terms === false) {
    throw new RdmaError(
      'ERR_RDMA_REFUSED',
      `${peer === null ? 'a client without a certificate' : shownName(peer.subject)} is not authorized`,
    );
  }
  if (terms === true) return {};
  checkTerms(terms);
  return terms;
}

/**
 * The server's limits with a client's terms in their place.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for terms that cannot be.
 */
export function limitsFor(limits: DataPathLimits, terms: ClientTerms): DataPathLimits {
  const { maxConnections: _, ...own } = terms;
  return checkLimits({ ...limits, ...own });
}

/** How many connections each identity has; clients without a certificate are not told apart. */
export class IdentityCounts {
  readonly #counts = new Map<string, number>();

  /** Counts one more, unless the identity has `max` already. */
  enter(peer: PeerIdentity | null, max: number): boolean {
    const key = peer?.fingerprint256 ?? '';
    const count = this.#counts.get(key) ?? 0;
    if (count >= max) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  leave(peer: PeerIdentity | null): void {
    const key = peer?.fingerprint256 ?? '';
    const count = (this.#counts.get(key) ?? 0) - 1;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}
