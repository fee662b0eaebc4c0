/** Shared receive queues over libibverbs. */

import { checkCount } from '../verbs/capacity.js';
import { RdmaError } from '../verbs/errors.js';
import type { SharedReceiveQueue } from '../verbs/queue-pair.js';
import type { ReceiveWorkRequest } from '../verbs/work-request.js';
import { ControlQueue } from './control-queue.js';
import type { IbverbsPd } from './ibverbs-pd.js';
import { checkReceive, postError, writeReceive } from './request-writer.js';
import { verbError } from './verbs-error.js';

export class IbverbsSrq implements SharedReceiveQueue {
  readonly pd: IbverbsPd;
  readonly handle: number;
  readonly maxWr: number;
  readonly maxSge: number;
  /** Queue pairs that receive through it. */
  users = 0;
  readonly #control = new ControlQueue('the shared receive queue');

  constructor(pd: IbverbsPd, handle: number, maxWr: number, maxSge: number) {
    this.pd = pd;
    this.handle = handle;
    this.maxWr = maxWr;
    this.maxSge = maxSge;
    pd.device.srqHandles.set(handle, this);
  }

  get closed(): boolean {
    return this.#control.closed;
  }

  postRecv(request: ReceiveWorkRequest): void {
    this.#control.checkOpen();
    checkReceive(request, this.maxSge);
    const { buffer, device } = this.pd;
    writeReceive(buffer, device, request);
    this.#flush();
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    this.#control.checkOpen();
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
    this.#control.checkOpen();
    checkCount('the limit', limit, 0, this.maxWr);
    await this.#control.run(async () => {
      const result = await this.pd.device.addon.setSrqLimit(this.handle, limit);
      if (result < 0) throw verbError(`setting the limit of a shared receive queue to ${limit}`, -result);
    });
  }

  async close(): Promise<void> {
    if (this.users > 0 && !this.closed) {
      throw new RdmaError('ERR_RDMA_IN_USE', 'close the queue pairs that use the shared receive queue first');
    }
    await this.#control.close(async () => {
      await this.pd.device.destroy(this.handle, 'the shared receive queue');
      this.pd.device.srqHandles.delete(this.handle);
      this.pd.children--;
      this.pd.device.live.srqs--;
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
