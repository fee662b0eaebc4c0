/**
 * Which addresses and numbers a peer can have. Packets of a connection go to one other queue pair: a group, everybody and
 * nobody are none, and numbers that the protocol keeps for itself are no program's. Whoever sets a connection up may
 * have taken them from somebody else, who must not choose where packets go at will.
 */
import { isIpv4, parseGid, type UdpAddress } from './address.js';
import type { AddressVector } from './address-handle.js';
import { usageError } from './errors.js';
import type { QpAttributes } from './qp-attributes.js';
import { QpType, qpTypeName } from './qp-state.js';

/** Of the management queue pairs 0 and 1, and of multicast. */
const RESERVED_QPNS = [0, 1, 0xffffff];
const BROADCAST = -1;

export function isMulticast(address: UdpAddress): boolean {
  return isIpv4(address) ? address.w3 >>> 28 === 0xe : address.w0 >>> 24 === 0xff;
}

/** Whether a host can have this address: no group, not everybody and not nobody. */
export const isHostAddress = (address: UdpAddress): boolean => notHost(address) === undefined;

/** What an address is instead of that of a host; `undefined` if it is one. */
function notHost(address: UdpAddress): string | undefined {
  if (isMulticast(address)) return 'a multicast address';
  if (isIpv4(address) && address.w3 === BROADCAST) return 'the broadcast address';
  const isNone = address.w3 === 0 && (isIpv4(address) || (address.w2 | address.w1 | address.w0) === 0);
  return isNone ? 'the unspecified address' : undefined;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an address or number that no queue pair of `type` can have. */
export function checkPeer(type: QpType, { av, destQpn }: QpAttributes): void {
  if (type === QpType.UD) return;
  const name = qpTypeName(type);
  const address = av === undefined ? undefined : parseGid(av.dgid);
  const wrong = address === undefined ? undefined : notHost(address);
  if (wrong !== undefined) {
    throw usageError(`dgid '${av?.dgid}' is ${wrong}, which no ${name} queue pair has: give the peer's own`);
  }
  if (destQpn !== undefined && RESERVED_QPNS.includes(destQpn)) {
    throw usageError(`destQpn ${destQpn} is reserved, and no ${name} queue pair has it: give the peer's own`);
  }
}

/**
 * Datagrams may go to a multicast group, where a device can send there.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an address that no datagram can go to.
 */
export function checkDestination({ dgid }: AddressVector, hasMulticast: boolean): void {
  const address = parseGid(dgid);
  if (address === undefined) return;
  const wrong = notHost(address);
  if (wrong === undefined) return;
  if (!isMulticast(address)) {
    throw usageError(
      `dgid '${dgid}' is ${wrong}, where no datagram can go: give the address of a queue pair's device`,
    );
  }
  if (hasMulticast) return;
  throw usageError(`dgid '${dgid}' is a multicast address, and this device does not send to groups`);
}
