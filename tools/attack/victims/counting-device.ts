/** A soft device that counts what was ever allocated on it, so that nothing made and freed in between goes unseen. */
import { SoftDevice } from '../../../src/soft/soft-device.js';

export class CountingDevice extends SoftDevice {
  allocations = 0;

  override allocPd(): ReturnType<SoftDevice['allocPd']> {
    this.allocations++;
    return super.allocPd();
  }

  override createCq(...args: Parameters<SoftDevice['createCq']>): ReturnType<SoftDevice['createCq']> {
    this.allocations++;
    return super.createCq(...args);
  }

  override createCompletionChannel(): ReturnType<SoftDevice['createCompletionChannel']> {
    this.allocations++;
    return super.createCompletionChannel();
  }
}
