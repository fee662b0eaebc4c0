/**
 * The admin queue of a host: what brings a controller up, one step after the other, as the specification orders them.
 *
 * Invariant: a target that offers less than this host needs is refused with the reason, before anything is read or written; one
 * that does not answer a command within its time is given up.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Device } from '../../verbs/device.js';
import { COMMAND_BYTES } from '../wire/command.js';
import { ANY_CONTROLLER, CONNECT_DATA_BYTES, writeConnectData } from '../wire/connect-data.js';
import {
  type ControllerPage,
  IDENTIFY_BYTES,
  type NamespacePage,
  readIdentifyController,
  readIdentifyNamespace,
  readNamespaceList,
} from '../wire/identify.js';
import {
  DISCOVERY_ENTRY_BYTES,
  DISCOVERY_HEADER_BYTES,
  type DiscoveredSubsystem,
  discoveryRecords,
  readDiscoveryPage,
} from '../wire/log-pages.js';
import {
  AdminOpcode,
  FABRICS_OPCODE,
  FabricsType,
  Feature,
  IdentifyPage,
  LogPage,
  Property,
} from '../wire/opcodes.js';
import { MAX_ADMIN_QUEUE_ENTRIES } from '../wire/private-data.js';
import { Status } from '../wire/status.js';
import type { HostCommand } from './host-command.js';
import { protocolError, statusError } from './host-errors.js';
import { HostQueue, type HostQueueOptions } from './host-queue.js';
import type { HostIdentity } from './options.js';

/** One page, or a part of the discovery page. */
const ADMIN_CHUNK_BYTES = 64 << 10;
const MAX_DISCOVERED = 1024;
const ENABLE = 0x0046_0001;
const SHUT_DOWN = ENABLE | 0x4000;
const CSTS_READY = 1;
const CSTS_FATAL = 2;
const CSTS_SHUTDOWN_BITS = 0x0c;
const CSTS_SHUTDOWN_DONE = 0x08;
const POLL_MILLIS = 10;

export interface AdminOptions {
  readonly to: HostQueueOptions['to'];
  readonly nqn: string;
  readonly identity: HostIdentity;
  readonly keepAliveMillis: number;
  /** Of every command. */
  readonly timeoutMillis: number;
  /** Of the orderly end. */
  readonly shutdownMillis: number;
}

/** A namespace as the target measures it. */
export interface FoundNamespace extends NamespacePage {
  readonly id: number;
}

/** How long somebody waits for the target. */
type Patience = Pick<HostCommand, 'timeoutMillis' | 'signal'>;

export class HostAdmin {
  readonly queue: HostQueue;
  readonly controllerId: number;
  /** Entries of an I/O queue that the target offers at most. */
  readonly maxEntries: number;
  readonly #shutdownMillis: number;
  #patience: Patience;

  /** Connects the admin queue and enables the controller. @throws RdmaError. */
  static async open(device: Device, options: AdminOptions): Promise<HostAdmin> {
    const queue = await HostQueue.open(device, {
      ...{ qid: 0, entries: MAX_ADMIN_QUEUE_ENTRIES, chunkBytes: ADMIN_CHUNK_BYTES, inCapsuleBytes: 0 },
      to: options.to,
    });
    try {
      const { timeoutMillis, shutdownMillis } = options;
      const patience = patienceOf(options);
      const controllerId = await connectQueue(queue, options, ANY_CONTROLLER);
      const capabilities = await getProperty(queue, Property.CAP, { ...patience, isWide: true });
      const maxEntries = (capabilities & 0xffff) + 1;
      const admin = new HostAdmin({ queue, controllerId, maxEntries, shutdownMillis, patience });
      await admin.#enable(timeoutMillis);
      return admin;
    } catch (error) {
      await queue.close();
      throw error;
    }
  }

  private constructor(init: {
    queue: HostQueue;
    controllerId: number;
    maxEntries: number;
    shutdownMillis: number;
    patience: Patience;
  }) {
    this.queue = init.queue;
    this.controllerId = init.controllerId;
    this.maxEntries = init.maxEntries;
    this.#shutdownMillis = init.shutdownMillis;
    this.#patience = init.patience;
  }

  /** The connecting is over: the signal, which gives it up, counts no more. */
  connected(): void {
    const { timeoutMillis } = this.#patience;
    this.#patience = timeoutMillis === undefined ? {} : { timeoutMillis };
  }

  async identify(): Promise<ControllerPage> {
    const page = await this.#identify(IdentifyPage.CONTROLLER, 0, 'to identify the controller');
    const controller = readIdentifyController(page);
    if (controller.controllerId !== this.controllerId)
      throw protocolError('the target names another controller than it gave');
    if (!controller.hasKeyedSgls)
      throw protocolError('the target has no keyed SGLs, without which nothing goes over RDMA');
    if (!controller.isInCapsuleOffsetZero)
      throw protocolError('the target wants data at an offset in capsules, which this host does not write');
    return controller;
  }

  /** Numbers and measures of the namespaces, in order. */
  async namespaces(): Promise<FoundNamespace[]> {
    const list = await this.#identify(IdentifyPage.ACTIVE_NAMESPACES, 0, 'to list the namespaces');
    const found = [];
    for (const id of readNamespaceList(list)) {
      const page = await this.#identify(IdentifyPage.NAMESPACE, id, `to identify namespace ${id}`);
      const measures = readIdentifyNamespace(page);
      if (measures !== undefined) found.push({ id, ...measures });
    }
    return found;
  }

  /** Asks for I/O queues; returns how many there may be. */
  async grantedQueues(wanted: number): Promise<number> {
    const { resultLow } = await this.#run({
      what: 'to ask for queues',
      fields: {
        opcode: AdminOpcode.SET_FEATURES,
        cdw10: Feature.NUMBER_OF_QUEUES,
        cdw11: (wanted - 1) * 0x1_0001,
      },
    });
    return Math.min(wanted, (resultLow & 0xffff) + 1, (resultLow >>> 16) + 1);
  }

  async keepAlive(): Promise<void> {
    // The controller looks at its time: an answer that is late because this program paused is none that is missing.
    const what = 'to keep the controller alive';
    await run(this.queue, { what, fields: { opcode: AdminOpcode.KEEP_ALIVE } });
  }

  /** The subsystems that a discovery controller knows. */
  async discover(): Promise<DiscoveredSubsystem[]> {
    const header = await this.#discoveryLog(0, DISCOVERY_HEADER_BYTES);
    const records = Math.min(discoveryRecords(header), MAX_DISCOVERED);
    const page = new Uint8Array(DISCOVERY_HEADER_BYTES + records * DISCOVERY_ENTRY_BYTES);
    for (let at = 0; at < page.length; at += ADMIN_CHUNK_BYTES) {
      page.set(await this.#discoveryLog(at, Math.min(ADMIN_CHUNK_BYTES, page.length - at)), at);
    }
    return readDiscoveryPage(page);
  }

  /**
   * Tells the target to make everything durable, and waits until it has; then the queue is closed, whatever came.
   *
   * @throws RdmaError unless the target says that it has.
   */
  async close(): Promise<void> {
    try {
      await this.#shutDown();
    } finally {
      await this.queue.close();
    }
  }

  /** Leaves without a word to the target's disks. */
  abandon(): Promise<void> {
    return this.queue.close();
  }

  async #shutDown(): Promise<void> {
    const deadline = performance.now() + this.#shutdownMillis;
    const left = (): Patience => ({ timeoutMillis: Math.max(1, Math.ceil(deadline - performance.now())) });
    await setProperty(this.queue, Property.CC, SHUT_DOWN, left());
    for (;;) {
      const status = await getProperty(this.queue, Property.CSTS, left());
      if ((status & CSTS_FATAL) !== 0) throw protocolError('the controller failed when it was shut down');
      if ((status & CSTS_SHUTDOWN_BITS) === CSTS_SHUTDOWN_DONE) return;
      if (performance.now() > deadline)
        throw protocolError(`the controller did not shut down within ${this.#shutdownMillis} ms`);
      await delay(POLL_MILLIS);
    }
  }

  async #enable(timeoutMillis: number): Promise<void> {
    await setProperty(this.queue, Property.CC, ENABLE, this.#patience);
    const deadline = performance.now() + timeoutMillis;
    for (;;) {
      const status = await getProperty(this.queue, Property.CSTS, this.#patience);
      if ((status & CSTS_FATAL) !== 0) throw protocolError('the controller failed when it was enabled');
      if ((status & CSTS_READY) !== 0) return;
      if (performance.now() > deadline) throw protocolError('the controller does not become ready');
      await delay(POLL_MILLIS);
    }
  }

  async #identify(cns: number, nsid: number, what: string): Promise<Uint8Array> {
    const receive = new Uint8Array(IDENTIFY_BYTES);
    await this.#run({ what, fields: { opcode: AdminOpcode.IDENTIFY, nsid, cdw10: cns }, receive });
    return receive;
  }

  async #discoveryLog(offset: number, length: number): Promise<Uint8Array> {
    const receive = new Uint8Array(length);
    const dwords = length / 4 - 1;
    const fields = {
      opcode: AdminOpcode.GET_LOG_PAGE,
      cdw10: LogPage.DISCOVERY | (dwords << 16),
      cdw12: offset,
    };
    await this.#run({ what: 'to read the discovery page', fields, receive });
    return receive;
  }

  #run(command: HostCommand): Promise<{ resultLow: number }> {
    return run(this.queue, { ...command, ...this.#patience });
  }
}

/** The Connect command of a queue. Returns the number of the controller. */
export async function connectQueue(
  queue: HostQueue,
  options: Pick<AdminOptions, 'nqn' | 'identity' | 'keepAliveMillis' | 'timeoutMillis' | 'to'>,
  controllerId: number,
): Promise<number> {
  const { nqn, identity, keepAliveMillis } = options;
  const send = new Uint8Array(CONNECT_DATA_BYTES);
  writeConnectData(send, { hostId: identity.id, controllerId, subsystemNqn: nqn, hostNqn: identity.nqn });
  const { status, resultLow } = await queue.run({
    what: `to connect to ${nqn}`,
    fields: {
      opcode: FABRICS_OPCODE,
      nsid: FabricsType.CONNECT,
      cdw10: queue.qid << 16,
      cdw11: queue.entries - 1,
      cdw12: queue.qid === 0 ? keepAliveMillis : 0,
    },
    send,
    ...patienceOf(options),
  });
  if (status === Status.SUCCESS) return resultLow & 0xffff;
  const isName = (status & 0x7ff) === Status.CONNECT_INVALID_PARAMETERS && resultLow === (256 | (1 << 16));
  if (isName) throw statusError(`to connect to ${nqn}, which the target does not serve,`, status);
  throw statusError(`to connect to ${nqn}`, status);
}

/** @throws RdmaError ERR_RDMA_NVME unless it succeeds. */
async function run(queue: HostQueue, command: HostCommand): Promise<{ resultLow: number }> {
  const response = await queue.run(command);
  if (response.status !== Status.SUCCESS) throw statusError(command.what, response.status);
  return response;
}

const patienceOf = ({
  timeoutMillis,
  to: { signal },
}: Pick<AdminOptions, 'timeoutMillis' | 'to'>): Patience =>
  signal === undefined ? { timeoutMillis } : { timeoutMillis, signal };

async function getProperty(
  queue: HostQueue,
  offset: number,
  { isWide = false, ...patience }: Patience & { isWide?: boolean },
): Promise<number> {
  const fields = {
    opcode: FABRICS_OPCODE,
    nsid: FabricsType.PROPERTY_GET,
    cdw10: isWide ? 1 : 0,
    cdw11: offset,
  };
  return (await run(queue, { what: 'to read a property', fields, ...patience })).resultLow;
}

async function setProperty(
  queue: HostQueue,
  offset: number,
  value: number,
  patience: Patience,
): Promise<void> {
  const fields = { opcode: FABRICS_OPCODE, nsid: FabricsType.PROPERTY_SET, cdw11: offset, cdw12: value };
  await run(queue, { what: 'to set a property', fields, ...patience });
}

/** Of the capsules that a target takes, the part behind the command that this host uses. */
export const usableCapsuleBytes = (inCapsuleBytes: number): number =>
  Math.min(inCapsuleBytes, 4096 + COMMAND_BYTES) & ~511;
