/**
 * Who listens for what: services of connections and of datagrams, on one address of this host or on all.
 *
 * Invariant: a service has at most one listener of each kind for an address, and one for all addresses.
 */
import { formatIp, sameGid, type UdpAddress } from '../../verbs/address.js';
import { RdmaError } from '../../verbs/errors.js';
import type { CmHandle, CmListenerOptions } from './cm-outputs.js';
import { servicePort } from './wire/service-id.js';

export interface CmListener {
  readonly id: CmHandle;
  readonly options: CmListenerOptions;
  /** Requests that were told and not answered. */
  waiting: number;
  isClosed: boolean;
}

export class Listeners {
  readonly #byService = new Map<bigint, CmListener[]>();
  readonly #byId = new Map<CmHandle, CmListener>();

  get size(): number {
    return this.#byId.size;
  }

  /** @throws RdmaError ERR_RDMA_IN_USE where the address has a listener for this service. */
  add(id: CmHandle, options: CmListenerOptions): void {
    const { serviceId, address, forDatagrams } = options;
    const others = this.#byService.get(serviceId) ?? [];
    if (
      others.some(
        ({ options: other }) => other.forDatagrams === forDatagrams && sameAddress(other.address, address),
      )
    ) {
      const where = address === null ? 'all addresses' : formatIp(address);
      const port = servicePort(serviceId);
      const what = port < 0 ? `service ID 0x${serviceId.toString(16)}` : `port ${port}`;
      throw new RdmaError(
        'ERR_RDMA_IN_USE',
        `${what} has a listener on ${where}; close it or take another port`,
      );
    }
    const listener: CmListener = { id, options, waiting: 0, isClosed: false };
    this.#byService.set(serviceId, [...others, listener]);
    this.#byId.set(id, listener);
  }

  remove(id: CmHandle): boolean {
    const listener = this.#byId.get(id);
    if (listener === undefined) return false;
    listener.isClosed = true;
    this.#byId.delete(id);
    const { serviceId } = listener.options;
    const others = (this.#byService.get(serviceId) ?? []).filter((other) => other !== listener);
    if (others.length > 0) this.#byService.set(serviceId, others);
    else this.#byService.delete(serviceId);
    return true;
  }

  /** Everybody who listens for this service, of either kind. */
  ofService(serviceId: bigint): readonly CmListener[] {
    return this.#byService.get(serviceId) ?? NOBODY;
  }

  /** The one on this address, else the one on all. */
  find(serviceId: bigint, address: UdpAddress, forDatagrams: boolean): CmListener | undefined {
    const candidates = this.ofService(serviceId).filter(
      ({ options }) => options.forDatagrams === forDatagrams,
    );
    return (
      candidates.find(({ options }) => options.address !== null && sameGid(options.address, address)) ??
      candidates.find(({ options }) => options.address === null)
    );
  }
}

const NOBODY: readonly CmListener[] = [];

const sameAddress = (a: UdpAddress | null, b: UdpAddress | null): boolean =>
  a === null || b === null ? a === b : sameGid(a, b);
