/**
 * What a server lets a client do, decided from who the client is. The decision is asked for when TLS has verified the
 * client and before it gets a slot or any object of the device.
 */
import { type PeerIdentity, shownName } from '../../session/peer-identity.js';
import { RdmaError } from '../../verbs/errors.js';
import { checkTerms } from '../options/option-rules.js';
import type { Authorize, ClientTerms } from '../terms/client-terms.js';
import { checkLimits, type DataPathLimits } from '../terms/options.js';

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
  // Thousands of connections without terms of their own share one object.
  if (Object.keys(terms).length === 0) return limits;
  const { maxConnections: _, rates: __, streams, ...own } = terms;
  return checkLimits({ ...limits, ...own, streams: { ...limits.streams, ...streams } });
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
