/**
 * Carries out the transfers of a connection: in clear over its links, or sealed. Memory is registered for as long as the
 * device may use it.
 *
 * Invariant: no more than `maxOperations` have not ended, those that the program has given up included.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { RdmaError } from '../../verbs/errors.js';
import { WrOpcode } from '../../verbs/work-request.js';
import type { ConnectionResources } from '../link/resources.js';
import type { OneSidedOperations } from './one-sided.js';
import type { SealedMemory } from './sealed-memory.js';
import { type GivenUp, Transfer, type TransferOrder } from './transfer.js';

export interface TransfersOptions {
  readonly maxOperations: number;
  readonly operations: OneSidedOperations;
  /** @throws RdmaError ERR_RDMA_CLOSED when there are none. */
  readonly resources: () => ConnectionResources;
}

export class Transfers {
  /** Of encrypted connections. */
  sealed: SealedMemory | null = null;
  readonly #options: TransfersOptions;
  /** By the program's number. Those that have not ended, also when the program has given them up. */
  readonly #open = new Map<number, Transfer>();

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Those that have not ended. */
  get open(): number {
    return this.#open.size;
  }

  /**
   * Carries out what a program asks for. Resolves when that has been done, and settles when nothing of it is under way any more.
   *
   * @throws RdmaError ERR_RDMA_QUEUE_FULL; then nothing has happened. ERR_RDMA_COMPLETION, ERR_RDMA_OUTCOME_UNKNOWN, or why
   * the connection ended.
   */
  async run(request: number, order: TransferOrder): Promise<void> {
    if (this.open >= this.#options.maxOperations) throw queueFull(this.open);
    const transfer = new Transfer(order);
    this.#open.set(request, transfer);
    try {
      if (this.sealed === null) await this.move(transfer, transfer.bytes);
      else if (transfer.isWrite) await this.sealed.write(transfer);
      else await this.sealed.read(transfer);
    } finally {
      this.#open.delete(request);
    }
  }

  /** The program turns away. Where the transfer waits it is taken out; what the device or the peer has goes on to its end. */
  cancel(request: number): GivenUp {
    const transfer = this.#open.get(request);
    if (transfer === undefined) return 'ended';
    transfer.giveUp();
    return transfer.hasBegun ? 'begun' : 'withdrawn';
  }

  /** RDMA WRITE of `bytes` to where the transfer goes, or RDMA READ into them. */
  async move(transfer: Transfer, bytes: Uint8Array): Promise<void> {
    const { operations } = this.#options;
    const resources = this.#options.resources();
    const { remote, isWrite } = transfer;
    const opcode = isWrite ? WrOpcode.RDMA_WRITE : WrOpcode.RDMA_READ;
    const mr = await resources.register(bytes, isWrite ? 0 : AccessFlags.LOCAL_WRITE);
    try {
      const { addr: remoteAddr, rkey } = remote;
      await operations.run({ opcode, sges: [{ mr }], remoteAddr, rkey }, transfer);
    } finally {
      await resources.deregister(mr);
    }
  }
}

const queueFull = (operations: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_QUEUE_FULL',
    `${operations} reads and writes are under way; await them before you begin more (maxOperations)`,
  );
