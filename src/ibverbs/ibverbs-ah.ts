/** Address handles over libibverbs. */
import type { AddressHandle, AddressVector } from '../verbs/address-handle.js';
import type { ObjectLife } from '../verbs/object-life.js';
import type { VerbsDomain } from './verbs-context.js';

export class IbverbsAh implements AddressHandle {
  readonly pd: VerbsDomain;
  readonly handle: number;
  readonly av: AddressVector;
  readonly #life: ObjectLife;

  constructor(life: ObjectLife, pd: VerbsDomain, handle: number, av: AddressVector) {
    this.#life = life;
    life.owner = this;
    this.pd = pd;
    this.handle = handle;
    this.av = av;
  }

  get closed(): boolean {
    return this.#life.closed;
  }

  close(): Promise<void> {
    return this.#life.close(() => this.pd.device.destroy(this.handle, this.#life.name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
