/**
 * What two ends agreed on, as the arguments of `toRtr` and `toRts`. The starting PSN of a message is the one that its
 * receiver begins to send with. Each end bounds what it lets the other have under way: responder resources of the one are
 * the limit of the other's initiator depth. RNR retries are a wish of the receiver, retries are one number for both.
 */
import { formatGid, type UdpAddress } from '../../verbs/address.js';
import type { Psn, Qpn } from '../../verbs/brands.js';
import type { CmPath, CmPeerParameters } from '../../verbs/connection-manager.js';
import { PATH_MTUS, type PathMtu } from '../../verbs/mtu.js';
import type { Rep } from './wire/rep.js';
import type { Req } from './wire/req.js';
import { ackTimeoutCode } from './wire/time-code.js';

/** Undefined for a number that is none. */
export const reqMtu = ({ mtu }: Req): PathMtu | undefined => PATH_MTUS[mtu - 1];

/** The passive side, of the request and its own starting PSN. `mtu`: that of the request. */
export function pathOfReq(req: Req, peer: UdpAddress, mtu: PathMtu, ownPsn: number): CmPath {
  const { primary, responderResources, initiatorDepth, retryCount, rnrRetryCount } = req;
  return {
    peer: {
      gid: formatGid(peer),
      udpPort: peer.port,
      qpn: req.qpn as Qpn,
      psn: ownPsn as Psn,
      mtu,
      rdAtomic: responderResources,
    },
    own: { psn: req.startingPsn as Psn, mtu, rdAtomic: initiatorDepth, initiatorDepth: responderResources },
    options: {
      trafficClass: primary.trafficClass,
      flowLabel: primary.flowLabel,
      // 0 would be never.
      timeout: Math.max(primary.ackTimeout, 1),
      retryCount,
      rnrRetry: rnrRetryCount,
    },
  };
}

/**
 * The active side, of its own request and the answer. The peer gets no more than it was offered. `ackTimeout`: the
 * program's own choice.
 */
export function pathOfRep(
  req: Req,
  rep: Rep,
  peer: UdpAddress,
  mtu: PathMtu,
  packetLifetime: number,
  ackTimeout: number | undefined,
): CmPath {
  const rdAtomic = Math.min(rep.initiatorDepth, req.responderResources);
  return {
    peer: {
      gid: formatGid(peer),
      udpPort: peer.port,
      qpn: rep.qpn as Qpn,
      psn: req.startingPsn as Psn,
      mtu,
      rdAtomic: rep.responderResources,
    },
    own: { psn: rep.startingPsn as Psn, mtu, rdAtomic, initiatorDepth: req.initiatorDepth },
    options: {
      trafficClass: req.primary.trafficClass,
      flowLabel: req.primary.flowLabel,
      timeout: ackTimeout ?? ackTimeoutCode(packetLifetime, rep.ackDelay),
      retryCount: req.retryCount,
      rnrRetry: rep.rnrRetryCount,
    },
  };
}

/** `privateData`: without the CMA header. */
export const parametersOfReq = (req: Req, privateData: Uint8Array): CmPeerParameters => ({
  qpn: req.qpn as Qpn,
  responderResources: req.responderResources,
  initiatorDepth: req.initiatorDepth,
  retryCount: req.retryCount,
  rnrRetryCount: req.rnrRetryCount,
  flowControl: req.flowControl,
  srq: req.hasSrq,
  privateData,
});

export const parametersOfRep = (req: Req, rep: Rep): CmPeerParameters => ({
  qpn: rep.qpn as Qpn,
  responderResources: rep.responderResources,
  initiatorDepth: rep.initiatorDepth,
  retryCount: req.retryCount,
  rnrRetryCount: rep.rnrRetryCount,
  flowControl: rep.flowControl,
  srq: rep.hasSrq,
  privateData: rep.privateData,
});
