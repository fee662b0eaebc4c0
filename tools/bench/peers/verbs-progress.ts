/** The two ways in which a verbs program makes progress. A workload is written once and runs under both. */
import type { VerbsConfig } from '../peer-protocol.js';
import type { PeerLink } from './peer.js';
import type { VerbsEnd } from './verbs-end.js';

export interface Workload {
  /** Takes the completions that are there and posts what can be posted now. Returns whether all is done. */
  advance(): boolean;
}

export async function progress(
  config: VerbsConfig,
  end: VerbsEnd,
  workload: Workload,
  link: PeerLink,
): Promise<void> {
  if (config.progress === 'poll') spin(workload, link);
  else await wait(end, workload);
}

function spin(workload: Workload, link: PeerLink): void {
  while (!workload.advance()) link.checkDeadline();
}

/** Arm, poll until empty, wait: no completion can fall between. */
async function wait({ channel, sendCq, recvCq }: VerbsEnd, workload: Workload): Promise<void> {
  for (;;) {
    sendCq.reqNotify();
    if (recvCq !== sendCq) recvCq.reqNotify();
    if (workload.advance()) return;
    await channel.next();
  }
}
