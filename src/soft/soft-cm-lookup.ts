/** A datagram service that a soft device looks up: until it is found, or given up. */
import type { CmHandle, CmMachineEvent } from '../roce/cm/cm-outputs.js';
import { formatGid } from '../verbs/address.js';
import type { QKey, Qpn } from '../verbs/brands.js';
import type { CmDatagramEvent } from '../verbs/connection-manager.js';
import type { RdmaError } from '../verbs/errors.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { CmNamed, SoftCmOwner } from './soft-cm-owner.js';

type LookupEvent = Extract<CmMachineEvent, { type: 'lookup-answer' | 'lookup-unreachable' }>;

export class SoftCmLookup implements CmNamed {
  handle: CmHandle | null = null;
  awaitedQpn: Qpn | null = null;
  readonly #cm: SoftCmOwner;
  readonly #life: ObjectLife;
  readonly #trafficClass: number;
  /** It was told how it ended, or the program has given up. */
  #isSilent = false;
  readonly #onEvent: (event: CmDatagramEvent) => void;

  constructor(cm: SoftCmOwner, trafficClass: number, onEvent: (event: CmDatagramEvent) => void) {
    this.#cm = cm;
    this.#trafficClass = trafficClass;
    this.#onEvent = onEvent;
    this.#life = new ObjectLife('cmIds', cm.live);
    this.#life.owner = { close: () => this.#closeByForce() };
  }

  onMachineEvent(event: LookupEvent): void {
    if (event.type === 'lookup-unreachable') this.#tell({ type: 'unreachable' });
    else this.#tell(this.#outcome(event));
  }

  fail(error: RdmaError): void {
    this.#tell({ type: 'failed', error });
  }

  close(): Promise<void> {
    this.#isSilent = true;
    return this.#finish();
  }

  #finish(): Promise<void> {
    return this.#life.closeNow(() => {
      this.#cm.run(this.handle, (handle, now) => this.#cm.machine.close(handle, now));
      this.#cm.forget(this);
    });
  }

  #outcome(event: Extract<LookupEvent, { type: 'lookup-answer' }>): CmDatagramEvent {
    const { status, remote, qpn, qkey, privateData } = event;
    if (status !== 0) return { type: 'refused', status, privateData };
    const service = {
      gid: formatGid(remote),
      udpPort: remote.port,
      qpn: qpn as Qpn,
      qkey: qkey as QKey,
      options: { trafficClass: this.#trafficClass },
      privateData,
    };
    return { type: 'found', service };
  }

  /** Once, and then it is over. */
  #tell(event: CmDatagramEvent): void {
    if (this.#isSilent) return;
    void this.close();
    this.#onEvent(event);
  }

  /** With the device. */
  #closeByForce(): Promise<void> {
    const error = this.#cm.closedError();
    this.#cm.tellSoon(() => this.fail(error));
    return this.#finish();
  }
}
