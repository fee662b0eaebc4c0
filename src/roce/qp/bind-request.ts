/** What a BIND_MW element asks for: a type 2 window over a part of a region, good for one queue pair. */
import type { Region, RemoteGrant } from '../memory/region.js';

/** A memory window of the engine: at most one grant in force. */
export class Window {
  readonly pd: number;
  /** The grant that peers can use now; `null` before the first bind and after an invalidation. */
  grant: RemoteGrant | null = null;
  rkey: number;
  valid = true;

  constructor(pd: number, rkey: number) {
    this.pd = pd;
    this.rkey = rkey;
  }
}

export interface BindRequest {
  readonly window: Window;
  readonly region: Region;
  readonly offset: number;
  readonly length: number;
  readonly access: number;
  readonly rkey: number;
}
