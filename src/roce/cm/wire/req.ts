/**
 * REQ: somebody wants a connection.
 *
 *     24-27  communication ID of the sender       71     response timeout of the sender (7-3), retry count (2-0)
 *     29-31  vendor ID                            72-73  P_Key
 *     32-39  service ID                           74     MTU (7-4), RNR retry count (2-0)
 *     40-47  CA GUID of the sender                75     CM retries (7-4), SRQ (3), extended transport (2-0)
 *     56-58  QPN of the sender                    76-119 primary path
 *     59     responder resources                 120-163 alternate path
 *     63     initiator depth                     164-255 private data
 *     67     response timeout of the receiver (7-3), transport (2-1), flow control (0)
 *     68-70  starting PSN: the receiver begins to send with it
 *
 * A path is
 *
 *     0-1    local LID         36-39  flow label (31-12), packet rate (5-0)
 *     2-3    remote LID        40     traffic class
 *     4-19   local GID         41     hop limit
 *     20-35  remote GID        42     service level (7-4), subnet local (3)
 *                              43     local ACK timeout (7-3)
 *
 * "Local" is always the sender. Invariants: fields of services that RoCE has not (Q_Key, EE contexts, RDC, vendor ID) are
 * written 0 and ignored. An alternate path of zeros is none.
 */
import { UdpAddress } from '../../../verbs/address.js';
import { readU64, writeU64 } from '../../mad/u64.js';
import { readU16, readU24, readU32, writeU16, writeU24, writeU32 } from '../../wire/bytes.js';
import { readAddress, writeAddress } from '../../wire/ip.js';
import { PRIVATE_DATA, readPrivateData, writePrivateData } from './attributes.js';

const PRIMARY_AT = 76;
const ALTERNATE_AT = 120;
const PATH_BYTES = 44;

export const CmTransport = { RC: 0, UC: 1, RD: 2, EXTENDED: 3 } as const;

export interface ReqPath {
  readonly localLid: number;
  readonly remoteLid: number;
  readonly localGid: UdpAddress;
  readonly remoteGid: UdpAddress;
  readonly flowLabel: number;
  readonly packetRate: number;
  readonly trafficClass: number;
  readonly hopLimit: number;
  readonly serviceLevel: number;
  readonly isSubnetLocal: boolean;
  readonly ackTimeout: number;
}

export interface Req {
  readonly type: 'REQ';
  readonly transactionId: bigint;
  readonly localCommId: number;
  readonly serviceId: bigint;
  readonly caGuid: bigint;
  readonly qpn: number;
  readonly responderResources: number;
  readonly initiatorDepth: number;
  /** Time codes. */
  readonly remoteResponseTimeout: number;
  readonly localResponseTimeout: number;
  readonly transport: number;
  readonly flowControl: boolean;
  readonly startingPsn: number;
  readonly retryCount: number;
  readonly pkey: number;
  /** 1 = 256 to 5 = 4096; other values are nothing. */
  readonly mtu: number;
  readonly rnrRetryCount: number;
  readonly maxCmRetries: number;
  readonly hasSrq: boolean;
  readonly extendedTransport: number;
  readonly primary: ReqPath;
  readonly alternate: ReqPath | null;
  /** With the CMA header at its front, where the service has one. */
  readonly privateData: Uint8Array;
}

export function readReq(mad: Uint8Array, transactionId: bigint): Req {
  const timeoutAndKind = mad[67] as number;
  const timeoutAndRetry = mad[71] as number;
  const mtuAndRetry = mad[74] as number;
  const retriesAndKind = mad[75] as number;
  return {
    type: 'REQ',
    transactionId,
    localCommId: readU32(mad, 24),
    serviceId: readU64(mad, 32),
    caGuid: readU64(mad, 40),
    qpn: readU24(mad, 56),
    responderResources: mad[59] as number,
    initiatorDepth: mad[63] as number,
    remoteResponseTimeout: timeoutAndKind >>> 3,
    localResponseTimeout: timeoutAndRetry >>> 3,
    transport: (timeoutAndKind >>> 1) & 3,
    flowControl: (timeoutAndKind & 1) !== 0,
    startingPsn: readU24(mad, 68),
    retryCount: timeoutAndRetry & 7,
    pkey: readU16(mad, 72),
    mtu: mtuAndRetry >>> 4,
    rnrRetryCount: mtuAndRetry & 7,
    maxCmRetries: retriesAndKind >>> 4,
    hasSrq: ((retriesAndKind >>> 3) & 1) !== 0,
    extendedTransport: retriesAndKind & 7,
    primary: readPath(mad, PRIMARY_AT),
    alternate: isZero(mad, ALTERNATE_AT, PATH_BYTES) ? null : readPath(mad, ALTERNATE_AT),
    privateData: readPrivateData(mad, PRIVATE_DATA.REQ),
  };
}

export function writeReq(mad: Uint8Array, req: Req): void {
  writeU32(mad, 24, req.localCommId);
  writeU64(mad, 32, req.serviceId);
  writeU64(mad, 40, req.caGuid);
  writeU24(mad, 56, req.qpn);
  mad[59] = req.responderResources;
  mad[63] = req.initiatorDepth;
  mad[67] = (req.remoteResponseTimeout << 3) | ((req.transport & 3) << 1) | (req.flowControl ? 1 : 0);
  writeU24(mad, 68, req.startingPsn);
  mad[71] = (req.localResponseTimeout << 3) | (req.retryCount & 7);
  writeU16(mad, 72, req.pkey);
  mad[74] = (req.mtu << 4) | (req.rnrRetryCount & 7);
  mad[75] = (req.maxCmRetries << 4) | (req.hasSrq ? 8 : 0) | (req.extendedTransport & 7);
  writePath(mad, PRIMARY_AT, req.primary);
  if (req.alternate !== null) writePath(mad, ALTERNATE_AT, req.alternate);
  writePrivateData(mad, PRIVATE_DATA.REQ, req.privateData);
}

function readPath(mad: Uint8Array, at: number): ReqPath {
  const [localGid, remoteGid] = [new UdpAddress(), new UdpAddress()];
  readAddress(mad, at + 4, localGid);
  readAddress(mad, at + 20, remoteGid);
  const word = readU32(mad, at + 36);
  const level = mad[at + 42] as number;
  return {
    localLid: readU16(mad, at),
    remoteLid: readU16(mad, at + 2),
    localGid,
    remoteGid,
    flowLabel: word >>> 12,
    packetRate: word & 0x3f,
    trafficClass: mad[at + 40] as number,
    hopLimit: mad[at + 41] as number,
    serviceLevel: level >>> 4,
    isSubnetLocal: ((level >>> 3) & 1) !== 0,
    ackTimeout: (mad[at + 43] as number) >>> 3,
  };
}

function writePath(mad: Uint8Array, at: number, path: ReqPath): void {
  writeU16(mad, at, path.localLid);
  writeU16(mad, at + 2, path.remoteLid);
  writeAddress(mad, at + 4, path.localGid);
  writeAddress(mad, at + 20, path.remoteGid);
  writeU32(mad, at + 36, (path.flowLabel << 12) | (path.packetRate & 0x3f));
  mad[at + 40] = path.trafficClass;
  mad[at + 41] = path.hopLimit;
  mad[at + 42] = (path.serviceLevel << 4) | (path.isSubnetLocal ? 8 : 0);
  mad[at + 43] = path.ackTimeout << 3;
}

function isZero(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (bytes[i] !== 0) return false;
  return true;
}
