/**
 * Carries out the transfers of a connection: in clear over its links, or sealed. Memory is registered for as long as the
 * device may use it.
 *
 * Invariant: no more than `maxOperations` have not ended, those that the program has given up included.
 */
import { AccessFlags } from '../verbs/access-flags.js';
import { RdmaError } from '../verbs/errors.js';
import type { OneSidedOperations } from './one-sided.js';
import type { ConnectionResources } from './resources.js';
import type { SealedMemory } from './sealed-memory.js';
import type { Transfer } from './transfer.js';

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
  #open = 0;

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Those that have not ended, also when the program has given them up. */
  get open(): number {
    return this.#open;
  }

  /**
   * Resolves when the transfer has been carried out, and settles when nothing of it is under way any more.
   *
   * @throws RdmaError ERR_RDMA_QUEUE_FULL; then nothing has happened. ERR_RDMA_COMPLETION, ERR_RDMA_OUTCOME_UNKNOWN, or why
   * the connection ended.
   */
  async run(transfer: Transfer): Promise<void> {
    if (this.#open >= this.#options.maxOperations) throw queueFull(this.#open);
    this.#open++;
    try {
      if (this.sealed === null) await this.move(transfer, transfer.bytes);
      else if (transfer.isWrite) await this.sealed.write(transfer);
      else await this.sealed.read(transfer);
    } finally {
      this.#open--;
    }
  }

  /** RDMA WRITE of `bytes` to where the transfer goes, or RDMA READ into them. */
  async move(transfer: Transfer, bytes: Uint8Array): Promise<void> {
    const { operations } = this.#options;
    const resources = this.#options.resources();
    const { opcode, remote, isWrite } = transfer;
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
