/** The engine's objects behind the handles of one soft device; those of other devices are refused. */

import type { Flow } from '../roce/flow.js';
import type { Region } from '../roce/memory/region.js';
import type { Nic } from '../roce/nic.js';
import type { BindRequest } from '../roce/qp/bind-request.js';
import type { Handles } from '../roce/qp/posting.js';
import type { AddressHandle } from '../verbs/address-handle.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { MemoryWindow } from '../verbs/memory-window.js';
import { foreignAddressHandle, foreignBinding, foreignRegion } from '../verbs/misuse.js';
import type { WindowBinding } from '../verbs/work-request.js';
import { SoftAh } from './soft-ah.js';
import { SoftMr, SoftMw } from './soft-memory.js';

export class SoftHandles implements Handles<MemoryRegion, MemoryWindow, AddressHandle> {
  readonly #nic: Nic;

  constructor(nic: Nic) {
    this.#nic = nic;
  }

  region(mr: MemoryRegion): Region {
    if (!(mr instanceof SoftMr) || !mr.belongsTo(this.#nic)) {
      throw foreignRegion();
    }
    return mr.region;
  }

  flow(ah: AddressHandle): Flow {
    if (!(ah instanceof SoftAh) || !ah.belongsTo(this.#nic)) {
      throw foreignAddressHandle();
    }
    return ah.flow;
  }

  binding({ mw, mr, offset, length, access, rkey }: WindowBinding): BindRequest {
    const isOwn =
      mw instanceof SoftMw && mr instanceof SoftMr && mw.belongsTo(this.#nic) && mr.belongsTo(this.#nic);
    if (!isOwn) throw foreignBinding();
    return { mw: mw.window, mr: mr.region, offset, length, access, rkey };
  }
}
