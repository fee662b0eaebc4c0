/** Brings a queue pair up between two paths: INIT → RTR(rqPsn) → RTS(sqPsn). */
import { AccessFlags } from '../../verbs/access-flags.js';
import { commonMtu, toInit, toRtr, toRts } from '../../verbs/bring-up.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { StepName, type StepReporter } from '../common/steps.js';
import type { MemoryRights } from '../terms/options.js';
import type { PathSettings } from '../terms/path-options.js';

export const RD_ATOMIC_DEPTH = 16;

/** The access flags that stand for these rights. */
export const remoteAccess = ({ read, write }: MemoryRights): number =>
  (read ? AccessFlags.REMOTE_READ : 0) | (write ? AccessFlags.REMOTE_WRITE : 0);

export interface BringUpOptions {
  readonly path: PathSettings;
  /** What the peer may do with memory of ours that its region allows too. */
  readonly rights: MemoryRights;
  /** Puts the PSNs into the steps. */
  readonly revealPsns: boolean;
}

export async function bringUp(
  qp: QueuePair,
  own: PeerPath,
  peer: PeerPath,
  options: BringUpOptions,
  reporter: StepReporter,
): Promise<void> {
  const { path, rights, revealPsns } = options;
  await toInit(qp, remoteAccess(rights), path);
  reporter.report(StepName.INIT);
  await toRtr(qp, own, peer, path);
  const pathMtu = commonMtu(own, peer);
  reporter.report(StepName.RTR, revealPsns ? { pathMtu, rqPsn: peer.psn } : { pathMtu });
  await toRts(qp, own, peer, path);
  reporter.report(StepName.RTS, revealPsns ? { sqPsn: own.psn } : {});
}
