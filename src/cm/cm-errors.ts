/** What can go wrong with a meeting, each as one sentence that says what to do. */
import { type CmAddress, type CmService, RejectReason } from '../verbs/connection-manager.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { describeService } from './cm-service.js';
import { rejectReasonName, rejectReasonText } from './reject-reasons.js';

/** What a client asked for, and where. */
export type CmTarget = CmAddress & CmService;

const at = (target: CmTarget): string => `${describeService(target)} at ${target.host}`;

/** The peer's REJ. Zeros say nothing: devices fill private data up. */
export function rejectedError(remote: CmTarget, reason: number, privateData: Uint8Array): RdmaError {
  const rejection = { reason, name: rejectReasonName(reason), privateData };
  return new RdmaError('ERR_RDMA_REJECTED', rejectedText(remote, reason, privateData), { rejection });
}

function rejectedText(remote: CmTarget, reason: number, privateData: Uint8Array): string {
  if (reason === RejectReason.INVALID_SERVICE_ID && remote.serviceId !== undefined) {
    return `nobody listens for ${at(remote)}: start the server there, or give its service ID`;
  }
  if (reason === RejectReason.INVALID_SERVICE_ID) {
    return `nobody listens on ${at(remote)} (this is not a TCP port): start the server there, or name its port`;
  }
  const text = rejectReasonText(reason);
  if (reason !== RejectReason.CONSUMER) return `${at(remote)} rejected the connection: ${text}`;
  const why = privateData.some((byte) => byte !== 0)
    ? 'error.rejection.privateData says why'
    : 'it gave no reason; check the address, for a device says the same when that is not its own, then what its program takes';
  return `${at(remote)} rejected the connection: ${text}; ${why}`;
}

export const unreachableError = (remote: CmTarget, millis: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_UNREACHABLE',
    `${at(remote)} did not answer within ${millis} ms: check that the address is that of an RDMA device, and that ` +
      'no firewall blocks UDP port 4791 either way',
  );

/** A client that asked, was accepted and is not heard any more. */
export const silentClientError = (remote: CmAddress): RdmaError =>
  new RdmaError(
    'ERR_RDMA_UNREACHABLE',
    `the client at ${remote.host} did not confirm the connection: it is gone, or a firewall blocks UDP port 4791 towards it; wait for its next request`,
  );

export const lostError = (what: string): RdmaError => new RdmaError('ERR_RDMA_CONNECTION_LOST', what);

export const abortedError = (what: string, signal: AbortSignal): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', `${what} was aborted`, { cause: signal.reason });

/** SIDR. Status 1 and 2 are what anybody sends. */
export function refusedServiceError(remote: CmAddress, status: number, privateData: Uint8Array): RdmaError {
  const isUnknown = status === 1;
  const rejection = {
    reason: status,
    name: SERVICE_STATUS_NAMES[status] ?? `status-${status}`,
    privateData,
  };
  const text = isUnknown
    ? `nobody listens for datagrams on ${at(remote)} (this is not a UDP port): start the service there, or name its port`
    : `the datagram service at ${at(remote)} said no (${rejection.name}): error.rejection.privateData may say why; try again later`;
  return new RdmaError('ERR_RDMA_REJECTED', text, { rejection });
}

const SERVICE_STATUS_NAMES: Readonly<Record<number, string>> = {
  1: 'invalid-service-id',
  2: 'consumer',
  3: 'no-qp',
  4: 'redirect',
  5: 'unsupported-version',
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkPrivateData(privateData: Uint8Array, maxBytes: number, what: string): void {
  if (privateData.length <= maxBytes) return;
  throw usageError(
    `privateData of ${what} has ${maxBytes} bytes at most, not ${privateData.length}: send the rest over the connection`,
  );
}
