/** The engine's objects behind the handles of one soft device; those of other devices are refused. */
import type { Flow } from '../roce/flow.js';
import type { Region } from '../roce/memory/region.js';
import type { Nic } from '../roce/nic.js';
import type { BindRequest } from '../roce/qp/bind-request.js';
import type { Handles } from '../roce/qp/posting.js';
import type { AddressHandle } from '../verbs/address-handle.js';
import { usageError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { MemoryWindow } from '../verbs/memory-window.js';
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
      throw usageError('the memory region of an SGE belongs to another device');
    }
    return mr.region;
  }

  flow(ah: AddressHandle): Flow {
    if (!(ah instanceof SoftAh) || !ah.belongsTo(this.#nic)) {
      throw usageError('the address handle belongs to another device');
    }
    return ah.flow;
  }

  binding({ mw, mr, offset, length, access, rkey }: WindowBinding): BindRequest {
    const isOwn =
      mw instanceof SoftMw && mr instanceof SoftMr && mw.belongsTo(this.#nic) && mr.belongsTo(this.#nic);
    if (!isOwn) throw usageError('the memory window or region of a BIND_MW belongs to another device');
    return { mw: mw.window, mr: mr.region, offset, length, access, rkey };
  }
}
