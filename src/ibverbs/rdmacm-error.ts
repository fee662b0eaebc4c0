/** What went wrong on this machine, in one sentence: connecting, listening, and opening the manager. */
import { existsSync } from 'node:fs';
import { isLoopback, parseGid } from '../verbs/address.js';
import type { CmAddress, CmListenOptions, CmService } from '../verbs/connection-manager.js';
import { RdmaError, takenError } from '../verbs/errors.js';
import { describeAddress } from './rdmacm-address.js';
import type { OwnAddresses } from './rdmacm-own.js';
import { Errno, errnoName, verbError } from './verbs-error.js';

const DEVICE_FILE = '/dev/infiniband/rdma_cm';

/** The kernel did not open an event channel. `errno` is positive. */
export function noManager(device: string, errno: number): RdmaError {
  if (errno === Errno.EACCES || errno === Errno.EPERM) {
    const hint = `no permission for ${DEVICE_FILE}: join the group that owns it (often rdma)`;
    return noDevice(device, hint);
  }
  if (!existsSync(DEVICE_FILE)) {
    return noDevice(
      device,
      `${DEVICE_FILE} is missing: load the modules rdma_ucm and rdma_cm (modprobe rdma_ucm); a container needs the file as well`,
    );
  }
  return verbError(`opening the connection manager of ${device}`, errno);
}

const noDevice = (device: string, reason: string): RdmaError =>
  new RdmaError('ERR_RDMA_NO_DEVICE', `${device} has no connection manager: ${reason}`);

/** @throws RdmaError ERR_RDMA_NOT_SUPPORTED for a service ID: programs reach the kernel's ports alone. */
export function checkPorts(device: string, { serviceId }: CmService): void {
  if (serviceId === undefined) return;
  throw new RdmaError(
    'ERR_RDMA_NOT_SUPPORTED',
    `${device} has the ports of rdma_cm and no other service IDs: give port, or open a soft device`,
  );
}

/** A step on the way to `remote` failed. `own`: the addresses of the device. */
export function connectError(device: string, remote: CmAddress, errno: number, own: OwnAddresses): RdmaError {
  const { host } = remote;
  const address = parseGid(host);
  if (address !== undefined && isLoopback(address)) {
    return addressError(
      `${host} cannot be reached through an RDMA device; use an address of ${device}: ${own}`,
    );
  }
  switch (errno) {
    case Errno.ETIMEDOUT:
    case Errno.EHOSTUNREACH:
      return new RdmaError(
        'ERR_RDMA_UNREACHABLE',
        `no machine answers for ${host} (neighbour discovery); check the address and the cable of ${device}`,
      );
    case Errno.ENETUNREACH:
      return addressError(`there is no route to ${host}; compare it with the addresses of ${device}: ${own}`);
    case Errno.ENODEV:
      return addressError(
        `the route to ${host} leaves through no RDMA device; give a host that ${device} reaches from ${own}`,
      );
    default:
      return verbError(`connecting from ${device} to ${describeAddress(remote)}`, errno, {
        invalid: `a parameter is above what ${device} can do, or the addresses do not fit each other`,
      });
  }
}

/** The address to connect from is not one of the device. */
export const foreignSource = (device: string, host: string, own: OwnAddresses): RdmaError =>
  addressError(`${host} is no address of ${device}; give one that it has: ${own}`);

export const otherDevice = (device: string, actual: string, host: string): RdmaError =>
  addressError(`${host} is reached through ${actual}, not ${device}; open ${actual}, or give a localHost`);

/** `host` `null`: all addresses. */
export function listenError(
  device: string,
  { host, port }: CmListenOptions,
  errno: number,
  own: OwnAddresses,
): RdmaError {
  const place = host ?? 'all addresses';
  switch (errno) {
    case Errno.EADDRINUSE:
    case Errno.EADDRNOTAVAIL:
    case Errno.ENODEV:
      // The kernel says EADDRNOTAVAIL as well where the other one listens at all addresses.
      return errno === Errno.EADDRINUSE || host === null || own.has(host)
        ? takenError(`port ${port} of ${place} is taken; choose another one, or 0 to let the kernel choose`)
        : addressError(`${host} is no address of ${device}; give one that it has: ${own}`);
    case Errno.EACCES:
      return addressError(
        `port ${port} is below 1024, which needs the right CAP_NET_BIND_SERVICE; choose another one`,
      );
    default:
      return verbError(`listening at port ${port} of ${place} on ${device}`, errno, {
        invalid: 'the address is none that a device can listen at',
      });
  }
}

/** The kernel does not know the meeting any more, or not in this state. */
export const peerGone = (remote: CmAddress, errno: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_CONNECTION_LOST',
    `${describeAddress(remote)} has given the connection up meanwhile (${errnoName(errno)}): answer sooner`,
  );

export const deviceRemoved = (device: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_NO_DEVICE',
    `${device} was removed from this machine; open it again when it is back`,
  );

const addressError = (message: string): RdmaError => new RdmaError('ERR_RDMA_ADDRESS', message);
