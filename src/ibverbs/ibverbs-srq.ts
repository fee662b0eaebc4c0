/** Shared receive queues over libibverbs. */

import { checkCount } from '../verbs/capacity.js';
import type { ObjectLife } from '../verbs/object-life.js';
import type { SharedReceiveQueue } from '../verbs/queue-pair.js';
import type { ReceiveWorkRequest } from '../verbs/work-request.js';
import { checkReceive, postError, writeReceive } from './request-writer.js';
import type { VerbsDomain } from './verbs-context.js';
import { verbError } from './verbs-error.js';

export class IbverbsSrq implements SharedReceiveQueue {
  readonly pd: VerbsDomain;
  readonly handle: number;
  readonly maxWr: number;
  readonly maxSge: number;
  readonly life: ObjectLife;

  constructor(life: ObjectLife, pd: VerbsDomain, handle: number, maxWr: number, maxSge: number) {
    this.life = life;
    life.owner = this;
    this.pd = pd;
    this.handle = handle;
    this.maxWr = maxWr;
    this.maxSge = maxSge;
    pd.device.srqHandles.set(handle, this);
  }

  get closed(): boolean {
    return this.life.closed;
  }

  postRecv(request: ReceiveWorkRequest): void {
    this.life.checkOpen();
    checkReceive(request, this.maxSge);
    const { buffer, device } = this.pd;
    writeReceive(buffer, device, request);
    this.#flush();
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    this.life.checkOpen();
    const { buffer, device } = this.pd;
    try {
      for (const request of requests) {
        checkReceive(request, this.maxSge);
        if (!buffer.hasRoom(request.sges?.length ?? 0, 0)) this.#flush();
        writeReceive(buffer, device, request);
      }
    } finally {
      this.#flush();
    }
  }

  async setLimit(limit: number): Promise<void> {
    this.life.checkOpen();
    checkCount('the limit', limit, 0, this.maxWr);
    await this.life.run(async () => {
      const result = await this.pd.device.addon.setSrqLimit(this.handle, limit);
      if (result < 0) throw verbError(`setting the limit of a shared receive queue to ${limit}`, -result);
    });
  }

  close(): Promise<void> {
    return this.life.close(async () => {
      await this.pd.device.destroy(this.handle, this.life.name);
      this.pd.device.srqHandles.delete(this.handle);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #flush(): void {
    const { buffer, device } = this.pd;
    if (buffer.count === 0) return;
    const errno = buffer.postSrqRecv(this.handle);
    if (errno !== 0) throw postError('shared receive queue', device, errno);
  }
}
