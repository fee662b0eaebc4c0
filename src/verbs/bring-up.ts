/**
 * The three steps that take a queue pair from RESET to RTS: INIT, then RTR with what the peer said, then RTS with what
 * this side said. Which attributes a step has is a matter of the type (RC, UC or UD); what is in them comes from the
 * two paths and from options of this side.
 */
import type { QKey } from './brands.js';
import { usageError } from './errors.js';
import type { PathMtu } from './mtu.js';
import type { PeerPath } from './peer-path.js';
import type { QpAttributes } from './qp-attributes.js';
import { QpState, QpType } from './qp-state.js';
import type { QueuePair } from './queue-pair.js';

/** How this side sends and what it puts up with; every end chooses for itself. */
export interface PathOptions {
  /** Port of the device, default 1. */
  readonly port?: number;
  /** Default 0. */
  readonly pkeyIndex?: number;
  /** Index into the port's GID table: the address to send from. Default: the first of the peer's IP family. */
  readonly gidIndex?: number;
  /** DSCP and ECN bits, default 0. What puts the packets on a lossless class of the network. */
  readonly trafficClass?: number;
  /** 20 bits, default 0. */
  readonly flowLabel?: number;
  /** Default 64. */
  readonly hopLimit?: number;
  /** Code 0–31: 4.096 µs × 2^code until a retransmission; 0 = never. Default 14, which is 67 ms. */
  readonly timeout?: number;
  /** 0–7 retransmissions without progress before RETRY_EXC_ERR. Default 7. */
  readonly retryCount?: number;
  /** 0–6 retries when the peer has no receive posted, 7 = for ever. Default 7. */
  readonly rnrRetry?: number;
  /** Code 0–31: how long the peer shall wait when no receive is posted here. Default 12, which is 0.64 ms. */
  readonly minRnrTimer?: number;
  /** Of UD queue pairs: what datagrams to this one must carry. Default 0. */
  readonly qkey?: QKey;
}

/** Of both sides the smaller, and what this side alone decides. */
export interface OwnPath extends Pick<PeerPath, 'psn' | 'mtu' | 'rdAtomic'> {
  /** READs and atomics that this side may have under way, at most. Default: `rdAtomic`. */
  readonly initiatorDepth?: number;
}

export const PATH_DEFAULTS = { port: 1, timeout: 14, retryCount: 7, rnrRetry: 7, minRnrTimer: 12 } as const;

/** To INIT. `accessFlags`: what the peer may do, where its region allows it too. From now on receives can be posted. */
export function toInit(qp: QueuePair, accessFlags: number, options: PathOptions = {}): Promise<void> {
  const { port = PATH_DEFAULTS.port, pkeyIndex = 0 } = options;
  const common = { state: QpState.INIT, pkeyIndex, port };
  if (qp.type === QpType.UD) return qp.modify({ ...common, qkey: options.qkey ?? (0 as QKey) });
  return qp.modify({ ...common, accessFlags });
}

/** To RTR: from now on packets of the peer are taken. `peer` is `null` for UD, which has many. */
export function toRtr(
  qp: QueuePair,
  own: OwnPath,
  peer: PeerPath | null,
  options: PathOptions = {},
): Promise<void> {
  if (qp.type === QpType.UD) return qp.modify({ state: QpState.RTR });
  const { gid, udpPort, qpn, psn } = present(peer);
  const { gidIndex, trafficClass, flowLabel, hopLimit, minRnrTimer = PATH_DEFAULTS.minRnrTimer } = options;
  const reliable = { maxDestRdAtomic: own.rdAtomic, minRnrTimer };
  const attributes: QpAttributes = {
    state: QpState.RTR,
    av: {
      dgid: gid,
      udpPort,
      ...(gidIndex === undefined ? {} : { sgidIndex: gidIndex }),
      ...(trafficClass === undefined ? {} : { trafficClass }),
      ...(flowLabel === undefined ? {} : { flowLabel }),
      ...(hopLimit === undefined ? {} : { hopLimit }),
    },
    pathMtu: commonMtu(own, present(peer)),
    destQpn: qpn,
    rqPsn: psn,
    ...(qp.type === QpType.RC ? reliable : {}),
  };
  return qp.modify(attributes);
}

/** To RTS: from now on this side may send. */
export function toRts(
  qp: QueuePair,
  own: OwnPath,
  peer: PeerPath | null,
  options: PathOptions = {},
): Promise<void> {
  const common = { state: QpState.RTS, sqPsn: own.psn };
  if (qp.type !== QpType.RC) return qp.modify(common);
  const {
    timeout = PATH_DEFAULTS.timeout,
    retryCount = PATH_DEFAULTS.retryCount,
    rnrRetry = PATH_DEFAULTS.rnrRetry,
  } = options;
  const maxRdAtomic = Math.min(own.initiatorDepth ?? own.rdAtomic, present(peer).rdAtomic);
  return qp.modify({ ...common, timeout, retryCount, rnrRetry, maxRdAtomic });
}

/** The path MTU that both ends use. */
export const commonMtu = (own: OwnPath, peer: PeerPath): PathMtu => (own.mtu < peer.mtu ? own.mtu : peer.mtu);

function present(peer: PeerPath | null): PeerPath {
  if (peer === null) throw usageError('an RC or UC queue pair needs the path of its peer');
  return peer;
}
