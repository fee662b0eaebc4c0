/** What options of this room may be, checked before anything changes. */

import { Endpoint } from '../endpoint/endpoint.js';
import { parseGid, withoutZone } from '../verbs/address.js';
import { portSpaceOf, RejectReason } from '../verbs/connection-manager.js';
import { usageError } from '../verbs/errors.js';
import {
  checkOptions,
  filled,
  integer,
  isPlain,
  MAX_MILLIS,
  nameOf,
  type Rule,
  type Rules,
  signal,
} from '../verbs/option-check.js';
import { PORT_SPACES } from './cm-service.js';
import type {
  CmAcceptOptions,
  CmConnectOptions,
  CmDatagramAcceptOptions,
  CmDatagramListenOptions,
  CmDatagramRejectOptions,
  CmDisconnectOptions,
  CmListenOptions,
  CmNextOptions,
  CmRejectOptions,
  CmResolveOptions,
  CmServiceOptions,
  EndpointConnectOptions,
} from './options.js';

const bytes: Rule = (value) => (value instanceof Uint8Array ? undefined : 'a Uint8Array');
const address: Rule = (value) =>
  typeof value === 'string' && parseGid(withoutZone(value)) !== undefined
    ? undefined
    : 'an IPv4 or IPv6 address';
const queuePair: Rule = (value) => {
  const isQueuePair = typeof value === 'object' && value !== null && 'postRecv' in value && 'modify' in value;
  return isQueuePair || value instanceof Endpoint ? undefined : 'a queue pair or an endpoint';
};
const depth = integer(0, 255);
const retries = integer(0, 7);
const port = integer(1, 65_535);
const trafficClass = integer(0, 255);
const timeoutMillis = integer(1, MAX_MILLIS);

const SERVICE: Rules<CmServiceOptions> = {
  portSpace: (value) =>
    typeof value === 'string' && Object.hasOwn(PORT_SPACES, value) ? undefined : "'tcp' or 'ib'",
  serviceId: (value) =>
    typeof value === 'bigint' && value >= 0n && value < 1n << 64n ? undefined : 'a bigint of 64 bits',
};

const CONNECT: Rules<CmConnectOptions> = {
  host: filled,
  port,
  ...SERVICE,
  qp: queuePair,
  privateData: bytes,
  responderResources: depth,
  initiatorDepth: depth,
  retryCount: retries,
  rnrRetryCount: retries,
  localHost: address,
  udpPort: port,
  trafficClass,
  ackTimeout: integer(1, 31),
  timeoutMillis,
  signal,
};

const { qp: _, ...WITHOUT_QP } = CONNECT;
const CONNECT_ENDPOINT: Rules<EndpointConnectOptions> = {
  ...WITHOUT_QP,
  endpoint: (value) => (isPlain(value) ? undefined : 'an object'),
};

const ACCEPT: Rules<CmAcceptOptions> = {
  qp: queuePair,
  privateData: bytes,
  responderResources: depth,
  initiatorDepth: depth,
  rnrRetryCount: retries,
  signal,
};

const REJECT: Rules<CmRejectOptions> = { reason: integer(1, 0xffff), privateData: bytes };
const DATAGRAM_REJECT: Rules<CmDatagramRejectOptions> = { privateData: bytes };
const NEXT: Rules<CmNextOptions> = { signal };
const DISCONNECT: Rules<CmDisconnectOptions> = { timeoutMillis };

const LISTEN_UD: Rules<CmDatagramListenOptions> = {
  host: address,
  port: integer(0, 65_535),
  backlog: integer(1, 65_536),
};
const LISTEN: Rules<CmListenOptions> = { ...LISTEN_UD, ...SERVICE };

const RESOLVE: Rules<CmResolveOptions> = {
  host: filled,
  port,
  privateData: bytes,
  localHost: address,
  udpPort: port,
  trafficClass,
  timeoutMillis,
  signal,
};

const DATAGRAM_ACCEPT: Rules<CmDatagramAcceptOptions> = {
  qp: queuePair,
  qkey: integer(0, 0xffffffff),
  privateData: bytes,
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, as all of them. */
export function checkConnect(device: unknown, options: unknown): asserts options is CmConnectOptions {
  checkDevice('connect', device);
  checkOptions('connect', options, CONNECT);
  needEach('connect', options, ['host', 'qp']);
  checkService('connect', options, true);
}

export function checkConnectEndpoint(
  device: unknown,
  options: unknown,
): asserts options is EndpointConnectOptions {
  checkDevice('connectEndpoint', device);
  checkOptions('connectEndpoint', options, CONNECT_ENDPOINT);
  needEach('connectEndpoint', options, ['host']);
  checkService('connectEndpoint', options, true);
}

export function checkAccept(options: unknown): asserts options is CmAcceptOptions {
  checkOptions('accept', options, ACCEPT);
  needEach('accept', options, ['qp']);
}

export function checkListen(device: unknown, options: unknown): asserts options is CmListenOptions {
  checkDevice('listen', device);
  checkOptions('listen', options, LISTEN);
  checkService('listen', options, false);
}

export function checkListenUd(device: unknown, options: unknown): asserts options is CmDatagramListenOptions {
  checkDevice('listenUd', device);
  checkOptions('listenUd', options, LISTEN_UD);
}

export function checkResolve(device: unknown, options: unknown): asserts options is CmResolveOptions {
  checkDevice('resolveUd', device);
  checkOptions('resolveUd', options, RESOLVE);
  needEach('resolveUd', options, ['host', 'port']);
}

export function checkDatagramAccept(options: unknown): asserts options is CmDatagramAcceptOptions {
  checkOptions('accept', options, DATAGRAM_ACCEPT);
  needEach('accept', options, ['qp']);
}

export function checkReject(options: unknown): asserts options is CmRejectOptions {
  checkOptions('reject', options, REJECT);
  const { reason } = options as CmRejectOptions;
  if (reason !== RejectReason.TIMEOUT) return;
  throw usageError(
    `reason must not be ${reason}, which says that a client has given up, and which clients ignore`,
  );
}

export function checkDatagramReject(options: unknown): asserts options is CmDatagramRejectOptions {
  checkOptions('reject', options, DATAGRAM_REJECT);
}

export function checkNext(options: unknown): asserts options is CmNextOptions {
  checkOptions('next', options, NEXT);
}

export function checkDisconnect(options: unknown): asserts options is CmDisconnectOptions {
  checkOptions('disconnect', options, DISCONNECT);
}

function checkDevice(what: string, device: unknown): void {
  if (typeof device === 'object' && device !== null && 'connectionManager' in device) return;
  throw usageError(
    `${what}(device, options): device must be what openDevice returned, not ${nameOf(device)}`,
  );
}

/** A port or a service ID, not both. */
function checkService(what: string, options: Readonly<Record<string, unknown>>, needsPort: boolean): void {
  const { serviceId, port, portSpace } = options as CmListenOptions;
  if (serviceId === undefined) {
    if (needsPort) needEach(what, options, ['port']);
    return;
  }
  if (port !== undefined || portSpace !== undefined) {
    throw usageError(`${what} takes a serviceId in place of port and portSpace: leave one of them out`);
  }
  const space = portSpaceOf(serviceId);
  if (space === undefined) return;
  const name = Object.entries(PORT_SPACES).find(([, value]) => value === space)?.[0];
  const instead =
    name === undefined ? 'resolveUd and listenUd are for those' : `give port and portSpace '${name}'`;
  throw usageError(`this serviceId is that of port ${serviceId & 0xffffn} of rdma_cm: ${instead}`);
}

function needEach(what: string, options: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const missing = names.find((name) => options[name] === undefined);
  if (missing !== undefined) throw usageError(`${what} needs ${missing}: ${MEANINGS[missing]}`);
}

const MEANINGS: Readonly<Record<string, string>> = {
  host: 'the address or name of the peer',
  port: 'the port of rdma_cm that the peer listens on, which is no TCP port',
  qp: 'a queue pair in RESET or INIT, or an endpoint',
};
