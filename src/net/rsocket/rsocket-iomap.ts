/**
 * iomap of one connection (`riomap`, `riowrite`): memory that an end offers, and that the other writes without a message and
 * without a notice. How many pieces each end may offer is the other's `iomapEntries`.
 *
 * Invariants: bytes of the program are read until the promise of their write settles, and not after; data that is written when a
 * write has resolved arrives behind it.
 */
import type { Endpoint, MemorySource } from '../../endpoint/endpoint.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { RKey } from '../../verbs/brands.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { WrOpcode } from '../../verbs/work-request.js';
import type { RsocketMachine } from './rsocket-machine.js';
import type { IomapEntry } from './wire/iomap-entry.js';

const { LOCAL_WRITE, REMOTE_WRITE } = AccessFlags;
/** No implementation writes more at a time. */
const MAX_WRITE_BYTES = 64 * 1024;

/** Memory that the peer may write. */
export interface OfferedMemory {
  /** What the peer writes appears here. */
  readonly bytes: Uint8Array;
  /** The name of the first byte, for the peer. */
  readonly offset: number;
  /** Tells the peer to write it no more, and takes its right to do so. Idempotent. */
  withdraw(): Promise<void>;
}

interface Write {
  readonly region: MemoryRegion;
  readonly addr: number;
  readonly rkey: number;
  posted: number;
  acknowledged: number;
  readonly settle: (error: RdmaError | undefined) => void;
}

interface Awaited {
  readonly offset: number;
  readonly bytes: number;
  readonly settle: (error: RdmaError | undefined) => void;
}

export class RsocketIomap {
  readonly #endpoint: Endpoint;
  readonly #machine: RsocketMachine;
  readonly #postAll: () => void;
  /** In order; none of them is acknowledged to its end. */
  readonly #writes: Write[] = [];
  readonly #awaited = new Set<Awaited>();
  #failure: RdmaError | undefined;

  /** @internal `postAll` posts whatever can be posted. */
  constructor(endpoint: Endpoint, machine: RsocketMachine, postAll: () => void) {
    this.#endpoint = endpoint;
    this.#machine = machine;
    this.#postAll = postAll;
  }

  /** What the peer offers now. */
  get offered(): readonly IomapEntry[] {
    return this.#machine.iomaps.offered;
  }

  /** Resolves when the peer offers all of these bytes. @throws RdmaError ERR_RDMA_CONNECTION_LOST. */
  untilOffered(offset: number, bytes: number): Promise<void> {
    return this.#settled((settle) => {
      this.#awaited.add({ offset, bytes, settle });
      this.onOffer();
    });
  }

  /**
   * Offers so many new bytes, or these, to the peer, which names the first of them `offset` (`riomap`).
   *
   * @throws RdmaError ERR_RDMA_LIMIT when the peer takes no more offers, and those of `regMr`.
   */
  async offer(memory: MemorySource, offset = 0): Promise<OfferedMemory> {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw usageError(`offset must be an integer of 0 or more, not ${offset}`);
    }
    const region = await this.#endpoint.register(memory, LOCAL_WRITE | REMOTE_WRITE);
    const { iomaps } = this.#machine;
    const entry = { offset, addr: Number(region.addr), rkey: region.rkey, bytes: region.length };
    const index = iomaps.offer(entry);
    if (index === -1) {
      await region.close();
      throw new RdmaError(
        'ERR_RDMA_LIMIT',
        'the peer takes no more offers: withdraw one, or give its program more iomap entries',
      );
    }
    this.#postAll();
    let withdrawing: Promise<void> | undefined;
    const withdraw = (): Promise<void> => {
      iomaps.withdraw(index);
      this.#postAll();
      return region.close();
    };
    return {
      bytes: region.bytes,
      offset,
      withdraw: () => {
        // Its entry may be another offer's by the second time.
        withdrawing ??= withdraw();
        return withdrawing;
      },
    };
  }

  /**
   * Writes `data` into memory that the peer offers, from `offset` on (`riowrite`). Resolves when the peer's memory has it;
   * its program gets no notice.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT where the peer offers no such memory, ERR_RDMA_CONNECTION_LOST.
   */
  async write(offset: number, data: Uint8Array): Promise<void> {
    const entry = this.#machine.iomaps.find(offset, data.length);
    if (entry === undefined) {
      throw usageError(`the peer offers no memory for ${data.length} bytes at offset ${offset}`);
    }
    if (data.length === 0) return;
    const region = await this.#endpoint.pd.regMr(data, 0);
    try {
      await this.#settled((settle) => {
        const addr = entry.addr + (offset - entry.offset);
        this.#writes.push({ region, addr, rkey: entry.rkey, posted: 0, acknowledged: 0, settle });
        this.#postAll();
      });
    } finally {
      await region.close();
    }
  }

  /** @internal Posts what may be posted. */
  post(): void {
    for (const write of this.#writes) {
      while (write.posted < write.region.length) {
        if (!this.#machine.takeIomapWrite()) return;
        this.#postOne(write);
      }
    }
  }

  #postOne(write: Write): void {
    const length = Math.min(MAX_WRITE_BYTES, write.region.length - write.posted);
    this.#endpoint.qp.postSend({
      wrId: 0,
      opcode: WrOpcode.RDMA_WRITE,
      remoteAddr: write.addr + write.posted,
      rkey: write.rkey as RKey,
      sges: [{ mr: write.region, offset: write.posted, length }],
    });
    write.posted += length;
  }

  /** @internal The oldest write that was posted is acknowledged. */
  completed(): void {
    const write = this.#writes[0];
    if (write === undefined) return;
    write.acknowledged = Math.min(write.acknowledged + MAX_WRITE_BYTES, write.region.length);
    if (write.acknowledged < write.region.length) return;
    this.#writes.shift();
    write.settle(undefined);
  }

  /** @internal The peer may have offered something. */
  onOffer(): void {
    for (const awaited of this.#awaited) {
      if (this.#machine.iomaps.find(awaited.offset, awaited.bytes) === undefined) continue;
      this.#awaited.delete(awaited);
      awaited.settle(undefined);
    }
  }

  /** @internal Nothing more comes or goes. */
  fail(error: RdmaError): void {
    this.#failure = error;
    for (const { settle } of [...this.#writes.splice(0), ...this.#awaited]) settle(error);
    this.#awaited.clear();
  }

  #settled(begin: (settle: (error: RdmaError | undefined) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      else begin((error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}
