/** What went through a communication manager, as numbers that only grow. `drops` is indexed by {@link CmDropReason}. */
import { countsByName } from '../counters.js';
import { CM_DROP_REASON_COUNT, type CmDropReason, cmDropReasonName } from './cm-drop-reason.js';

export class CmCounters {
  readonly drops = new Float64Array(CM_DROP_REASON_COUNT);
  received = 0;
  sent = 0;
  retransmitted = 0;
  requests = 0;
  established = 0;
  rejected = 0;
  unreachable = 0;
  /** Requests that were accepted and gave way to others, before their peers were heard. */
  evicted = 0;
  disconnected = 0;

  drop(reason: CmDropReason): void {
    this.drops[reason] = (this.drops[reason] as number) + 1;
  }

  /** Every counter by name: `cm_sent`, and `drop_cm_<name>` for a drop reason. */
  snapshot(): Record<string, number> {
    return countsByName(this, 'cm_', cmDropReasonName);
  }
}
