/** Address handles of the soft device. */
import type { Flow } from '../roce/flow.js';
import type { Nic } from '../roce/nic.js';
import type { AddressHandle, AddressVector } from '../verbs/address-handle.js';
import { ObjectLife } from '../verbs/object-life.js';
import { checkDestination } from '../verbs/peer-address.js';
import type { MemoryOwner } from './soft-memory.js';

export class SoftAh implements AddressHandle {
  readonly av: AddressVector;
  readonly flow: Flow;
  readonly #owner: MemoryOwner;
  readonly #life: ObjectLife;

  constructor(owner: MemoryOwner, av: AddressVector) {
    checkDestination(av, false);
    this.av = av;
    this.flow = owner.nic.createFlow(av);
    this.#owner = owner;
    this.#life = new ObjectLife('ahs', owner.live, [owner.life]);
    this.#life.owner = this;
  }

  belongsTo(nic: Nic): boolean {
    return this.#owner.nic === nic;
  }

  close(): Promise<void> {
    return this.#life.closeNow(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
