/** What a client asks for and a server listens for: a port of rdma_cm in one of its port spaces, or a service ID. */
import { type CmAddress, type CmService, PortSpace, PrivateDataBytes } from '../verbs/connection-manager.js';
import type { CmPortSpace, CmServiceOptions } from './options.js';

export const PORT_SPACES = { tcp: PortSpace.TCP, ib: PortSpace.IB } as const satisfies Record<
  CmPortSpace,
  PortSpace
>;
export type CmPlaceOfService = Pick<CmAddress, 'port'> & CmService;

/** A service ID has no port. */
export const placeOfService = (options: CmServiceOptions & { readonly port?: number }): CmPlaceOfService => ({
  port: options.port ?? 0,
  ...serviceOf(options),
});

/** As devices want it. */
export const serviceOf = ({ portSpace = 'tcp', serviceId }: CmServiceOptions): CmService =>
  serviceId === undefined ? { portSpace: PORT_SPACES[portSpace] } : { serviceId };

/** A service of rdma_cm needs room for the addresses of both ends. */
export const requestBytes = ({ serviceId }: CmService): number =>
  serviceId === undefined ? PrivateDataBytes.REQUEST : PrivateDataBytes.SERVICE_REQUEST;

/** For people. */
export const describeService = ({ port, portSpace, serviceId }: CmPlaceOfService): string => {
  if (serviceId !== undefined) return `service ID 0x${serviceId.toString(16)}`;
  return portSpace === PortSpace.IB ? `port ${port} of rdma_cm (RDMA_PS_IB)` : `port ${port} of rdma_cm`;
};
