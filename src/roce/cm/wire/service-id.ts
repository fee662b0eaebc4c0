/**
 * Service IDs: what a listener listens for. Those of rdma_cm are a port space and a port, 0x00000000_SSSS_PPPP. Ports
 * are a name space of their own: no TCP or UDP socket is involved. Any other number is the service of a program that does
 * without rdma_cm.
 */
import { type PortSpace, portSpaceOf } from '../../../verbs/connection-manager.js';

export const serviceIdOf = (space: PortSpace, port: number): bigint => BigInt(space * 0x10000 + port);

/** The port of a service ID of rdma_cm; -1 for any other service ID. */
export const servicePort = (serviceId: bigint): number =>
  portSpaceOf(serviceId) === undefined ? -1 : Number(serviceId & 0xffffn);

/** Whether private data for this service begins with a CMA header: programs find each other by IP addresses. */
export const hasCmaHeader = (serviceId: bigint): boolean => portSpaceOf(serviceId) !== undefined;
