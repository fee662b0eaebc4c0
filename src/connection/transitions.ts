/** Brings a queue pair up with the PSNs and parameters of a session: INIT → RTR(rqPsn) → RTS(sqPsn). */
import type { SessionAttributes } from '../session/handshake.js';
import { AccessFlags } from '../verbs/access-flags.js';
import type { PathMtu } from '../verbs/mtu.js';
import { QpState } from '../verbs/qp-state.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import type { MemoryRights } from './options.js';
import { StepName, type StepReporter } from './steps.js';

/** 4.096 µs × 2^14 = 67 ms. */
const TIMEOUT = 14;
const RETRY_COUNT = 7;
/** For ever: flow control keeps messages from coming without a receive, and a dead peer is found by its session. */
const RNR_RETRY = 7;
/** 0.64 ms. */
const MIN_RNR_TIMER = 12;
export const RD_ATOMIC_DEPTH = 16;

/** The access flags that stand for these rights. */
export const remoteAccess = ({ read, write }: MemoryRights): number =>
  (read ? AccessFlags.REMOTE_READ : 0) | (write ? AccessFlags.REMOTE_WRITE : 0);

export interface OwnPath {
  readonly pathMtu: PathMtu;
  /** What the peer may do with memory of ours that its region allows too. */
  readonly rights: MemoryRights;
  /** Puts the PSNs into the steps. */
  readonly revealPsns: boolean;
}

export async function bringUp(
  qp: QueuePair,
  session: SessionAttributes,
  own: OwnPath,
  reporter: StepReporter,
): Promise<void> {
  const { peer, rqPsn, sqPsn } = session;
  const accessFlags = remoteAccess(own.rights);
  await qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags });
  reporter.report(StepName.INIT);
  const pathMtu = Math.min(own.pathMtu, peer.pathMtu) as PathMtu;
  await qp.modify({
    state: QpState.RTR,
    av: { dgid: peer.gid, udpPort: peer.udpPort },
    pathMtu,
    destQpn: peer.qpn,
    rqPsn,
    maxDestRdAtomic: RD_ATOMIC_DEPTH,
    minRnrTimer: MIN_RNR_TIMER,
  });
  reporter.report(StepName.RTR, own.revealPsns ? { pathMtu, rqPsn } : { pathMtu });
  await qp.modify({
    state: QpState.RTS,
    sqPsn,
    timeout: TIMEOUT,
    retryCount: RETRY_COUNT,
    rnrRetry: RNR_RETRY,
    maxRdAtomic: Math.min(RD_ATOMIC_DEPTH, peer.maxDestRdAtomic),
  });
  reporter.report(StepName.RTS, own.revealPsns ? { sqPsn } : {});
}
