/** What a BIND_MW element asks for: a type 2 window over a part of a region, good for one queue pair. */
import type { RKey } from '../../verbs/brands.js';
import type { WindowBinding } from '../../verbs/work-request.js';
import type { Region, RemoteGrant } from '../memory/region.js';

/** A memory window of the engine: at most one grant in force. */
export class Window {
  readonly pd: number;
  /** The grant that peers can use now; `null` before the first bind and after an invalidation. */
  grant: RemoteGrant | null = null;
  rkey: RKey;
  valid = true;

  constructor(pd: number, rkey: RKey) {
    this.pd = pd;
    this.rkey = rkey;
  }
}

export type BindRequest = WindowBinding<Region, Window>;
