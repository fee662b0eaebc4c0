/**
 * A controller of a target with its queues, from Connect to the end: what a host has until it is lost, and gets another one of.
 *
 * Invariants: what fails while it is opened leaves nothing behind; a target that does not answer a keep-alive until the next one is due
 * has failed, and so has one of whose queues one ended.
 */
import type { Device } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import type { ControllerPage } from '../wire/identify.js';
import {
  type AdminOptions,
  connectQueue,
  type FoundNamespace,
  HostAdmin,
  usableCapsuleBytes,
} from './admin.js';
import { protocolError } from './host-errors.js';
import { HostQueue, type HostQueueOptions } from './host-queue.js';
import type { HostSession } from './session-keeper.js';

/** A keep-alive may take so long, however often they are sent. */
const MIN_ANSWER_MILLIS = 1000;
const GRACE_MILLIS = 250;

export interface SessionOptions extends AdminOptions {
  readonly device: Device;
  readonly queues: number;
  readonly queueEntries: number;
  readonly chunkBytes: number;
}

/** What a target says of itself and its disks. */
export interface SessionFacts {
  readonly page: ControllerPage;
  readonly namespaces: readonly FoundNamespace[];
  /** Of one command. */
  readonly chunkBytes: number;
}

export class NvmeSession implements HostSession {
  readonly facts: SessionFacts;
  readonly queues: readonly HostQueue[];
  readonly ended: Promise<string>;
  readonly #admin: HostAdmin;
  #tellEnded: (reason: string) => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  /** When a keep-alive left that is not answered yet. */
  #askedMillis: number | undefined;
  #graceTimer: NodeJS.Timeout | undefined;

  /** @throws RdmaError. */
  static async open(options: SessionOptions): Promise<NvmeSession> {
    const { device, queues, queueEntries, to } = options;
    const admin = await HostAdmin.open(device, options);
    const opened: HostQueue[] = [];
    try {
      const page = await admin.identify();
      const count = await admin.grantedQueues(queues);
      const most = page.maxTransferBytes === 0 ? options.chunkBytes : page.maxTransferBytes;
      const chunkBytes = Math.min(options.chunkBytes, most);
      const entries = Math.min(queueEntries, admin.maxEntries);
      const inCapsuleBytes = usableCapsuleBytes(page.inCapsuleBytes);
      for (let qid = 1; qid <= count; qid++) {
        opened.push(
          await openIo(options, { qid, entries, chunkBytes, inCapsuleBytes, to }, admin.controllerId),
        );
      }
      const namespaces = await admin.namespaces();
      for (const { id, blockBytes } of namespaces) {
        if (blockBytes > chunkBytes)
          throw usageError(`namespace ${id} has blocks of ${blockBytes} bytes, more than chunkBytes`);
      }
      admin.connected();
      const { keepAliveMillis } = options;
      return new NvmeSession(admin, opened, { page, namespaces, chunkBytes }, keepAliveMillis);
    } catch (error) {
      for (const queue of opened) await queue.close();
      await admin.abandon();
      throw error;
    }
  }

  private constructor(
    admin: HostAdmin,
    queues: readonly HostQueue[],
    facts: SessionFacts,
    keepAliveMillis: number,
  ) {
    this.#admin = admin;
    this.queues = queues;
    this.facts = facts;
    this.ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
    for (const { ended } of [admin.queue, ...queues]) ended.then((reason) => this.#end(reason));
    // Half of the time, so that one that is late is not the end.
    if (keepAliveMillis > 0) {
      const everyMillis = keepAliveMillis / 2;
      this.#timer = setInterval(() => this.#keepAlive(everyMillis), everyMillis);
    }
  }

  get controllerId(): number {
    return this.#admin.controllerId;
  }

  async close(): Promise<void> {
    this.#end('this end closed it');
    await Promise.all(this.queues.map((queue) => queue.close()));
    await this.#admin.close();
  }

  async silence(): Promise<void> {
    this.#end('this end closed it');
    await Promise.all([this.#admin.queue, ...this.queues].map((queue) => queue.silence()));
  }

  async abandon(): Promise<void> {
    this.#end('this end closed it');
    await Promise.all([this.#admin.abandon(), ...this.queues.map((queue) => queue.close())]);
  }

  #end(reason: string): void {
    clearInterval(this.#timer);
    clearTimeout(this.#graceTimer);
    this.#tellEnded(reason);
  }

  /** A target that does not answer the last one has failed. */
  #keepAlive(everyMillis: number): void {
    const nowMillis = performance.now();
    const asked = this.#askedMillis;
    if (asked !== undefined) {
      // A timer may come a little before its time.
      if (nowMillis - asked < Math.max(everyMillis, MIN_ANSWER_MILLIS) - 1) return;
      // When this program paused, the answer may be here, and nobody has taken it yet.
      this.#graceTimer ??= setTimeout(() => {
        this.#graceTimer = undefined;
        if (this.#askedMillis === asked) this.#end('the target did not answer a keep-alive');
      }, GRACE_MILLIS);
      return;
    }
    this.#askedMillis = nowMillis;
    this.#admin.keepAlive().then(
      () => {
        this.#askedMillis = undefined;
      },
      (error: Error) => this.#end(error.message),
    );
  }
}

async function openIo(
  options: SessionOptions,
  queueOptions: HostQueueOptions,
  controllerId: number,
): Promise<HostQueue> {
  const queue = await HostQueue.open(options.device, queueOptions);
  try {
    await connectQueue(queue, options, controllerId);
    return queue;
  } catch (error) {
    await queue.close();
    throw error;
  }
}

/**
 * Whether a host that comes again finds what it had: another disk under the same name must not get its writes.
 *
 * @throws RdmaError ERR_RDMA_PROTOCOL.
 */
export function checkSame(before: SessionFacts, now: SessionFacts): void {
  if (now.page.serialNumber !== before.page.serialNumber) throw another('its serial number is another one');
  if (now.chunkBytes < before.chunkBytes) throw another('it takes less data with one command');
  if ((before.page.optionalCommands & ~now.page.optionalCommands) !== 0)
    throw another('it offers fewer commands');
  for (const { id, blocks, blockBytes, guid } of before.namespaces) {
    const same = now.namespaces.find((one) => one.id === id);
    if (same === undefined) throw another(`it has no namespace ${id} any more`);
    if (same.guid !== guid) throw another(`namespace ${id} is another disk`);
    if (same.blocks !== blocks || same.blockBytes !== blockBytes)
      throw another(`namespace ${id} has another size`);
  }
}

const another = (why: string) => protocolError(`the target is not what it was before: ${why}`);
