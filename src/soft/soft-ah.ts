/** Address handles of the soft device. */
import type { Flow } from '../roce/flow.js';
import type { Nic } from '../roce/nic.js';
import type { AddressHandle, AddressVector } from '../verbs/address-handle.js';
import { checkDestination } from '../verbs/peer-address.js';
import type { MemoryOwner } from './soft-memory.js';

export class SoftAh implements AddressHandle {
  readonly av: AddressVector;
  readonly flow: Flow;
  readonly #owner: MemoryOwner;
  #closed = false;

  constructor(owner: MemoryOwner, av: AddressVector) {
    checkDestination(av, false);
    this.av = av;
    this.flow = owner.nic.createFlow(av);
    this.#owner = owner;
    owner.children++;
    owner.live.ahs++;
  }

  belongsTo(nic: Nic): boolean {
    return this.#owner.nic === nic;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.children--;
    this.#owner.live.ahs--;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
