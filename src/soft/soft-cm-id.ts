/** A meeting or connection of a soft device (`rdma_cm_id`). The machine does the work; this tells events and is counted. */
import type { CmHandle, CmMachineEvent } from '../roce/cm/cm-outputs.js';
import type { Qpn } from '../verbs/brands.js';
import type { CmAddress, CmEvent, CmId, OwnCmParameters } from '../verbs/connection-manager.js';
import type { RdmaError } from '../verbs/errors.js';
import { tell } from '../verbs/listeners.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { CmNamed, SoftCmOwner } from './soft-cm-owner.js';

type IdEvent = Exclude<
  CmMachineEvent,
  { type: 'request' | 'lookup-request' | 'lookup-answer' | 'lookup-unreachable' | 'released' }
>;

export class SoftCmId implements CmId, CmNamed {
  /** `null` until the machine knows it, and where it never will. */
  handle: CmHandle | null = null;
  awaitedQpn: Qpn | null = null;
  readonly local: CmAddress;
  readonly remote: CmAddress;
  readonly #cm: SoftCmOwner;
  readonly #life: ObjectLife;
  /** Kept until somebody listens. */
  readonly #events: CmEvent[] = [];
  #onEvent: ((event: CmEvent) => void) | null;
  #isEnded = false;
  /** The program has closed it: nothing is told any more. */
  #isSilent = false;

  constructor(
    cm: SoftCmOwner,
    local: CmAddress,
    remote: CmAddress,
    onEvent: ((event: CmEvent) => void) | null,
  ) {
    this.#cm = cm;
    this.local = local;
    this.remote = remote;
    this.#onEvent = onEvent;
    this.#life = new ObjectLife('cmIds', cm.live);
    this.#life.owner = { close: () => this.#closeByForce() };
  }

  async establish(): Promise<void> {
    this.#cm.run(this.handle, (handle, now) => this.#cm.machine.establish(handle, now));
  }

  async accept(parameters: OwnCmParameters): Promise<void> {
    this.#life.checkOpen();
    this.#cm.awaitFirstPacket(this, parameters.qpn);
    this.#cm.run(this.handle, (handle, now) => this.#cm.machine.accept(handle, parameters, now));
  }

  async reject(reason: number, privateData: Uint8Array): Promise<void> {
    this.#cm.run(this.handle, (handle, now) => this.#cm.machine.reject(handle, reason, privateData, now));
  }

  async disconnect(): Promise<void> {
    this.#cm.run(this.handle, (handle, now) => this.#cm.machine.disconnect(handle, now));
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

  /** From now on events go to `listener`; those until now first, soon. */
  listen(listener: (event: CmEvent) => void): void {
    this.#cm.tellSoon(() => {
      this.#onEvent = listener;
      for (const event of this.#events.splice(0)) if (!this.#isSilent) tell(listener, event);
    });
  }

  fail(error: RdmaError): void {
    this.#tell({ type: 'failed', error });
  }

  onMachineEvent(event: IdEvent): void {
    switch (event.type) {
      case 'response':
        this.#tell({ type: 'response', path: event.path, peer: event.peer });
        break;
      case 'established':
        this.#cm.stopAwaiting(this);
        this.#tell({ type: 'established' });
        break;
      case 'rejected':
        this.#tell({ type: 'rejected', reason: event.reason, privateData: event.privateData });
        break;
      case 'unreachable':
        this.#tell({ type: 'unreachable' });
        break;
      case 'disconnected':
        this.#tell({ type: 'disconnected', byPeer: event.byPeer, answered: event.answered });
        break;
    }
  }

  #tell(event: CmEvent): void {
    if (this.#isSilent || this.#isEnded) return;
    this.#isEnded = event.type !== 'response' && event.type !== 'established';
    if (this.#onEvent === null) this.#events.push(event);
    else tell(this.#onEvent, event);
  }

  /** With the device. Whoever waits for an event gets this one. */
  #closeByForce(): Promise<void> {
    const error = this.#cm.closedError();
    this.#cm.tellSoon(() => this.fail(error));
    return this.#finish();
  }
}
