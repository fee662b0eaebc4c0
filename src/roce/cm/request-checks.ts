/**
 * Whether a listener may be told of a request: checks in their order, each of which returns what is wrong. The first one
 * that fails decides what is counted and what the peer is told.
 */
import { isLoopback, sameGid, type UdpAddress } from '../../verbs/address.js';
import { NO_DATA, RejectReason } from '../../verbs/connection-manager.js';
import type { PathMtu } from '../../verbs/mtu.js';
import { isHostAddress } from '../../verbs/peer-address.js';
import { DEFAULT_PKEY } from '../wire/bth.js';
import { writeAddress } from '../wire/ip.js';
import { reqMtu } from './bring-up-paths.js';
import { CmDropReason } from './cm-drop-reason.js';
import { type CmHost, isProgramQpn } from './cm-host.js';
import type { CmListener, Listeners } from './listeners.js';
import { CMA_HEADER_BYTES, readCmaHeader } from './wire/cma-header.js';
import { CmTransport, type Req } from './wire/req.js';
import { hasCmaHeader } from './wire/service-id.js';

const GID_BYTES = 16;
const PKEY_MASK = 0x7fff;

export interface Fault {
  readonly drop: CmDropReason;
  readonly reject: RejectReason;
  readonly info: Uint8Array;
}

const fault = (drop: CmDropReason, reject: RejectReason, info: Uint8Array = NO_DATA): Fault => ({
  drop,
  reject,
  info,
});

export function gidBytes(address: UdpAddress | undefined): Uint8Array {
  const bytes = new Uint8Array(GID_BYTES);
  if (address !== undefined) writeAddress(bytes, 0, address);
  return bytes;
}

export const isOurPartition = (pkey: number): boolean => (pkey & PKEY_MASK) === (DEFAULT_PKEY & PKEY_MASK);

/** What is wrong with the path and the queue pair of a REQ. */
export function faultOfReq(host: CmHost, req: Req, from: UdpAddress): Fault | undefined {
  if (req.transport !== CmTransport.RC)
    return fault(CmDropReason.BAD_TRANSPORT, RejectReason.INVALID_TRANSPORT);
  if (req.alternate !== null) {
    return fault(
      CmDropReason.ALTERNATE_PATH,
      RejectReason.INVALID_ALTERNATE_GID,
      gidBytes(req.alternate.localGid),
    );
  }
  const { localGid, remoteGid } = req.primary;
  // Answers and packets go to the path's address: it must be that of whoever asks, or it may be anybody's.
  if (!host.isOwn(remoteGid) || !sameGid(localGid, from)) {
    return fault(CmDropReason.BAD_PATH, RejectReason.INVALID_GID, gidBytes(host.addresses[0]));
  }
  if (!isOurPartition(req.pkey)) {
    return fault(CmDropReason.BAD_PKEY, RejectReason.INVALID_GID, gidBytes(host.addresses[0]));
  }
  const mtu: PathMtu | undefined = reqMtu(req);
  if (mtu === undefined || mtu > host.options.maxMtu)
    return fault(CmDropReason.BAD_MTU, RejectReason.INVALID_MTU);
  if (!isProgramQpn(req.qpn)) return fault(CmDropReason.BAD_QPN, RejectReason.CONSUMER);
  return undefined;
}

/** Who is asked for, by whom. */
export interface Names {
  readonly listener: CmListener;
  readonly source: UdpAddress;
  readonly sourcePort: number;
  readonly destination: UdpAddress;
  /** Without the CMA header. */
  readonly privateData: Uint8Array;
}

/** The listener that a request is for, or what is wrong with its names. */
export function findListener(
  host: CmHost,
  listeners: Listeners,
  serviceId: bigint,
  privateData: Uint8Array,
  from: UdpAddress,
  to: UdpAddress,
  forDatagrams: boolean,
): Names | Fault {
  const candidates = listeners.ofService(serviceId);
  if (candidates.length === 0) return fault(CmDropReason.NO_LISTENER, RejectReason.INVALID_SERVICE_ID);
  if (!candidates.some(({ options }) => options.forDatagrams === forDatagrams)) {
    return fault(CmDropReason.WRONG_SERVICE, RejectReason.CONSUMER);
  }
  const names = namesOf(serviceId, privateData, from, to);
  if (names === undefined) return fault(CmDropReason.BAD_CMA_HEADER, RejectReason.CONSUMER);
  const listener = listeners.find(serviceId, names.destination, forDatagrams);
  if (listener === undefined || !host.isOwn(names.destination)) {
    return fault(CmDropReason.FOREIGN_DESTINATION, RejectReason.CONSUMER);
  }
  if (!isPlausible(names.source, from)) return fault(CmDropReason.BAD_SOURCE, RejectReason.CONSUMER);
  return { listener, ...names };
}

function namesOf(
  serviceId: bigint,
  privateData: Uint8Array,
  from: UdpAddress,
  to: UdpAddress,
): Omit<Names, 'listener'> | undefined {
  if (!hasCmaHeader(serviceId)) return { source: from, sourcePort: 0, destination: to, privateData };
  const header = readCmaHeader(privateData, 0);
  return header && { ...header, privateData: privateData.slice(CMA_HEADER_BYTES) };
}

/** One of a host; of this machine itself only when the packet came from there. */
const isPlausible = (source: UdpAddress, from: UdpAddress): boolean =>
  isHostAddress(source) && (!isLoopback(source) || isLoopback(from));
