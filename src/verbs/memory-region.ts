/** Registered memory (`ibv_mr`). */
import type { LKey, RKey } from './brands.js';

export interface MemoryRegion extends AsyncDisposable {
  /** The memory itself, shared with the device: what a peer writes appears here. */
  readonly bytes: Uint8Array;
  /** Bytes. */
  readonly length: number;
  /** `AccessFlags` as registered. */
  readonly access: number;
  readonly lkey: LKey;
  /** What a peer needs besides {@link addr}. 0 where the region grants nothing remote. */
  readonly rkey: RKey;
  /** Virtual address of the first byte, as peers name it. */
  readonly addr: bigint;
  readonly closed: boolean;
  /** Deregisters (`ibv_dereg_mr`). At once: a peer's next packet to the region is refused. Idempotent. */
  close(): Promise<void>;
}
