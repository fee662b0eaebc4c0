/** Address handles over libibverbs. */
import type { AddressHandle, AddressVector } from '../verbs/address-handle.js';
import { ControlQueue } from './control-queue.js';
import type { IbverbsPd } from './ibverbs-pd.js';

export class IbverbsAh implements AddressHandle {
  readonly pd: IbverbsPd;
  readonly handle: number;
  readonly av: AddressVector;
  readonly #control = new ControlQueue('the address handle');

  constructor(pd: IbverbsPd, handle: number, av: AddressVector) {
    this.pd = pd;
    this.handle = handle;
    this.av = av;
  }

  get closed(): boolean {
    return this.#control.closed;
  }

  async close(): Promise<void> {
    await this.#control.close(async () => {
      await this.pd.device.destroy(this.handle, 'the address handle');
      this.pd.children--;
      this.pd.device.live.ahs--;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
