/** What ids, listeners and lookups of a soft device need of the manager that made them. */
import type { CmMachine } from '../roce/cm/cm-machine.js';
import type { CmHandle } from '../roce/cm/cm-outputs.js';
import type { Qpn } from '../verbs/brands.js';
import type { RdmaError } from '../verbs/errors.js';
import type { LiveObjects } from '../verbs/live-objects.js';

/** A number of the machine, and what it names here. */
export interface CmNamed {
  /** `null` until the machine knows it, and where it never will. */
  readonly handle: CmHandle | null;
  /** The queue pair whose first packet it waits for. Kept by the manager. */
  awaitedQpn: Qpn | null;
}

export interface SoftCmOwner {
  readonly machine: CmMachine;
  readonly live: LiveObjects;
  /** Does something with what `handle` names, if there is such, and takes what comes of it. */
  run(handle: CmHandle | null, act: (handle: CmHandle, now: number) => void): void;
  /** Tells nothing of it any more. */
  forget(object: CmNamed): void;
  /** From now on, until it is established, a packet on the queue pair says that the peer is ready. */
  awaitFirstPacket(id: CmNamed, qpn: Qpn): void;
  /** It is established without. */
  stopAwaiting(id: CmNamed): void;
  /** From the event loop, soon. */
  tellSoon(tell: () => void): void;
  closedError(): RdmaError;
}
