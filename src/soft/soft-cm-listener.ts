/** A listener of a soft device: connections or datagrams of one service. */
import type { CmHandle, CmLookupRequestEvent, CmRequestEvent } from '../roce/cm/cm-outputs.js';
import type { Qpn } from '../verbs/brands.js';
import type { CmAddress, CmListener } from '../verbs/connection-manager.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { CmNamed, SoftCmOwner } from './soft-cm-owner.js';

export class SoftCmListener implements CmListener, CmNamed {
  readonly handle: CmHandle;
  awaitedQpn: Qpn | null = null;
  readonly serviceId: bigint;
  readonly address: CmAddress;
  readonly ended: Promise<void>;
  readonly tell: (event: CmRequestEvent | CmLookupRequestEvent) => void;
  readonly #cm: SoftCmOwner;
  readonly #life: ObjectLife;
  #end = (): void => {};

  constructor(
    cm: SoftCmOwner,
    handle: CmHandle,
    serviceId: bigint,
    address: CmAddress,
    tell: (event: CmRequestEvent | CmLookupRequestEvent) => void,
  ) {
    this.#cm = cm;
    this.handle = handle;
    this.serviceId = serviceId;
    this.address = address;
    this.tell = tell;
    this.#life = new ObjectLife('cmIds', cm.live);
    this.#life.owner = this;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  close(): Promise<void> {
    return this.#life.closeNow(() => {
      this.#cm.run(this.handle, (handle) => this.#cm.machine.closeListener(handle));
      this.#cm.forget(this);
      this.#end();
    });
  }
}
