/**
 * What the listeners of a soft device listen for: ports of rdma_cm, chosen by the program or by the device, and service IDs.
 *
 * Invariant: a service has one listener at a time. The device has one address, so a listener on all addresses is one on this.
 */
import { serviceIdOf, servicePort } from '../roce/cm/wire/service-id.js';
import type { RandomU32 } from '../roce/random.js';
import type { PortSpace } from '../verbs/connection-manager.js';
import { RdmaError, takenError } from '../verbs/errors.js';

/** Ports that the device chooses. */
const FIRST_EPHEMERAL_PORT = 49_152;
const EPHEMERAL_PORTS = 0x10000 - FIRST_EPHEMERAL_PORT;

export class SoftCmServices {
  readonly #device: string;
  readonly #random: RandomU32;
  readonly #taken = new Set<bigint>();

  constructor(device: string, random: RandomU32) {
    this.#device = device;
    this.#random = random;
  }

  /** Of a client, which shares it with others. */
  randomPort(): number {
    return FIRST_EPHEMERAL_PORT + (this.#random() % EPHEMERAL_PORTS);
  }

  /** `port` 0: any that is free. @throws RdmaError ERR_RDMA_ADDRESS when there is none, or it is taken. */
  ofPort(space: PortSpace, port: number): bigint {
    return port === 0 ? this.#anyFree(space) : this.free(serviceIdOf(space, port));
  }

  /** The same. @throws RdmaError ERR_RDMA_ADDRESS when it is taken. */
  free(serviceId: bigint): bigint {
    if (this.#taken.has(serviceId)) throw serviceTaken(serviceId, this.#device);
    return serviceId;
  }

  take(serviceId: bigint): void {
    this.#taken.add(serviceId);
  }

  release(serviceId: bigint): void {
    this.#taken.delete(serviceId);
  }

  #anyFree(space: PortSpace): bigint {
    for (let tries = 0; tries < EPHEMERAL_PORTS; tries++) {
      const serviceId = serviceIdOf(space, this.randomPort());
      if (!this.#taken.has(serviceId)) return serviceId;
    }
    throw new RdmaError('ERR_RDMA_ADDRESS', `${this.#device} has no free port of rdma_cm; close listeners`);
  }
}

function serviceTaken(serviceId: bigint, device: string): RdmaError {
  const port = servicePort(serviceId);
  const message =
    port < 0
      ? `service ID 0x${serviceId.toString(16)} is taken by another listener of ${device}: close it or take another one`
      : `port ${port} of rdma_cm is taken by another listener of ${device}: close it or take another port`;
  return takenError(message);
}
