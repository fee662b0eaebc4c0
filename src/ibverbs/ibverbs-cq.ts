/** Completion queues and channels over libibverbs. */

import type { CompletionChannel } from '../verbs/completion-queue.js';
import { EventQueue } from '../verbs/event-queue.js';
import { overrun, unarmable } from '../verbs/misuse.js';
import type { ObjectLife } from '../verbs/object-life.js';
import { WcFlags, WcOpcode, WcStatus, type WorkCompletion } from '../verbs/work-completion.js';
import { MAX_COMPLETIONS, type RequestBuffer } from './request-buffer.js';
import type { ListedCq, VerbsContext } from './verbs-context.js';
import { verbError } from './verbs-error.js';

const { SUCCESS } = WcStatus;
const MOST = MAX_COMPLETIONS;
/** IBV_WC_IP_CSUM_OK, of which this package makes no use. */
const CHECKSUM_FLAG = 4;

export class IbverbsCq implements ListedCq {
  readonly handle: number;
  readonly capacity: number;
  readonly channel: IbverbsChannel | null;
  readonly device: VerbsContext;
  readonly life: ObjectLife;
  /** The device said that it lost completions. */
  overrun = false;
  readonly #buffer: RequestBuffer;

  constructor(
    life: ObjectLife,
    device: VerbsContext,
    handle: number,
    capacity: number,
    channel: IbverbsChannel | null,
  ) {
    this.life = life;
    life.owner = this;
    this.device = device;
    this.handle = handle;
    this.capacity = capacity;
    this.channel = channel;
    this.#buffer = device.buffer;
    device.cqs.set(handle, this);
  }

  get closed(): boolean {
    return this.life.closed;
  }

  poll(into: readonly WorkCompletion[], max: number = into.length): number {
    this.life.checkOpen();
    const wanted = max < into.length ? max : into.length;
    let taken = 0;
    while (taken < wanted) {
      const count = this.#buffer.pollCq(this.handle, wanted - taken);
      if (count < 0) throw verbError(`polling a completion queue of ${this.device.name}`, -count);
      for (let i = 0; i < count; i++) {
        const completion = into[taken + i] as WorkCompletion;
        this.#buffer.readCompletion(i, completion);
        if ((completion.flags & CHECKSUM_FLAG) !== 0) completion.flags = this.#withoutChecksum(completion);
        if (completion.status !== SUCCESS) this.device.onFailedCompletion(completion);
      }
      taken += count;
      if (count < MOST) break;
    }
    if (this.overrun && taken === 0) throw overrun(this.capacity);
    return taken;
  }

  reqNotify(solicitedOnly = false): void {
    this.life.checkOpen();
    if (this.channel === null) {
      throw unarmable();
    }
    const errno = this.#buffer.reqNotify(this.handle, solicitedOnly);
    if (errno !== 0) throw verbError(`arming a completion queue of ${this.device.name}`, errno);
  }

  close(): Promise<void> {
    return this.life.close(async () => {
      await this.device.destroy(this.handle, this.life.name);
      this.device.cqs.delete(this.handle);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * rdma_rxe writes the kernel's number for WITH_INV, which is the library's for a good checksum. A device that checks no
   * checksums of its own cannot mean the latter.
   */
  #withoutChecksum({ flags, opcode }: WorkCompletion): number {
    const isInvalidation = !this.device.checksChecksums && opcode === WcOpcode.RECV;
    return (flags & ~CHECKSUM_FLAG) | (isInvalidation ? WcFlags.WITH_INV : 0);
  }
}

export class IbverbsChannel extends EventQueue implements CompletionChannel {
  readonly device: VerbsContext;
  handle = 0;
  readonly life: ObjectLife;

  constructor(life: ObjectLife, device: VerbsContext) {
    super();
    this.life = life;
    life.owner = this;
    this.device = device;
  }

  close(): Promise<void> {
    return this.life.close(() => {
      this.end();
      return this.device.destroy(this.handle, this.life.name);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
