/** Says what to do when a UDP port cannot be bound. */
import { formatIp, type UdpAddress } from '../verbs/address.js';
import { RdmaError } from '../verbs/errors.js';

export function explainBindError(cause: NodeJS.ErrnoException, address: UdpAddress): RdmaError {
  const where = `${formatIp(address)}, UDP port ${address.port}`;
  if (cause.code === 'EADDRINUSE') {
    const message = `${where} is in use by another device; choose another address or add ?port=0 for any free port`;
    return new RdmaError('ERR_RDMA_ADDRESS', message, { cause });
  }
  if (cause.code === 'EADDRNOTAVAIL') {
    return new RdmaError('ERR_RDMA_ADDRESS', `${formatIp(address)} is not an address of this machine`, {
      cause,
    });
  }
  return new RdmaError('ERR_RDMA_ADDRESS', `cannot bind ${where}: ${cause.message}`, { cause });
}
