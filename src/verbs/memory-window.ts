/** Type 2 memory windows (`ibv_mw`): a revocable view of a region, bound and invalidated through the send queue. */
import type { RKey } from './brands.js';

export interface MemoryWindow extends AsyncDisposable {
  /** The rkey in force, or the last one that was; it grants nothing until a BIND_MW has completed. */
  readonly rkey: RKey;
  /** The rkey to give to the next BIND_MW (`ibv_inc_rkey`): never equal to an earlier one of the same window soon. */
  nextRkey(): RKey;
  readonly closed: boolean;
  close(): Promise<void>;
}
