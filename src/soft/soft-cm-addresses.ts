/** The addresses of a meeting on a soft device: its own, which is one, and that of a peer whom it can reach. */
import { ROCE_PORT } from '../roce/nic.js';
import { formatIp, isIpv4, parseGid, type UdpAddress, withoutZone } from '../verbs/address.js';
import { RdmaError, usageError } from '../verbs/errors.js';

/** What a message names, in words. */
interface SoftEnd {
  readonly device: string;
  readonly own: UdpAddress;
}

/** @throws RdmaError ERR_RDMA_ADDRESS for an address of somebody else. */
export function ownAddress({ device, own }: SoftEnd, host: string | undefined): UdpAddress {
  const given = host === undefined ? own : parseGid(host);
  if (given !== undefined && formatIp(given) === formatIp(own)) return own;
  const message = `${host} is no address of ${device}; give the one that it has: ${formatIp(own)}`;
  throw new RdmaError('ERR_RDMA_ADDRESS', message);
}

/** @throws RdmaError ERR_RDMA_ADDRESS for a peer of the other IP family. */
export function peerAddress({ device, own }: SoftEnd, host: string, udpPort: number = ROCE_PORT): UdpAddress {
  const from = formatIp(own);
  if (withoutZone(host) !== host) {
    const message = `${device} sends from ${from} and knows no interfaces: give an address without %, not ${host}`;
    throw new RdmaError('ERR_RDMA_ADDRESS', message);
  }
  const address = parseGid(host);
  if (address === undefined) throw usageError(`${host} is not an IP address`);
  if (isIpv4(address) !== isIpv4(own)) {
    const message = `${device} cannot reach ${host}: its address ${from} is of the other IP family; open a device with an address of that one`;
    throw new RdmaError('ERR_RDMA_ADDRESS', message);
  }
  address.port = udpPort;
  return address;
}
