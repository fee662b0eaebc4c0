/**
 * Work requests: what a program posts to a send or receive queue (`ibv_send_wr`, `ibv_recv_wr`). The objects are read
 * during the post call only and may be reused at once; the memory that they name stays in use until the completion.
 */
import type { AddressHandle } from './address-handle.js';
import type { QKey, Qpn, RKey } from './brands.js';
import type { MemoryRegion } from './memory-region.js';
import type { MemoryWindow } from './memory-window.js';

/** `enum ibv_wr_opcode`. */
export const WrOpcode = {
  RDMA_WRITE: 0,
  RDMA_WRITE_WITH_IMM: 1,
  SEND: 2,
  SEND_WITH_IMM: 3,
  RDMA_READ: 4,
  ATOMIC_CMP_AND_SWP: 5,
  ATOMIC_FETCH_AND_ADD: 6,
  LOCAL_INV: 7,
  BIND_MW: 8,
  SEND_WITH_INV: 9,
} as const;
export type WrOpcode = (typeof WrOpcode)[keyof typeof WrOpcode];

/** `enum ibv_send_flags`. */
export const SendFlags = {
  /** Wait until all earlier READs and atomics of this queue have finished. */
  FENCE: 1,
  /** Produce a completion on success. Failures always produce one. */
  SIGNALED: 2,
  /** Wake a receiver that armed its completion queue for solicited events only. */
  SOLICITED: 4,
  /**
   * Nobody waits for the completion of this request: it may come with that of a later one, or a few milliseconds later. A hint of this
   * package, without a counterpart in libibverbs; soft devices ask for an acknowledgement less often, others ignore it.
   */
  UNHURRIED: 16,
} as const;

/** A piece of registered memory (`ibv_sge`). `offset` and `length` are bytes inside `mr`. */
export interface Sge<Mr = MemoryRegion> {
  readonly mr: Mr;
  /** Default 0. */
  readonly offset?: number;
  /** Default: up to the end of the region. */
  readonly length?: number;
}

/** The memory that a BIND_MW request puts behind a window (`ibv_mw_bind_info`). */
export interface WindowBinding<Mr = MemoryRegion, Mw = MemoryWindow> {
  readonly mw: Mw;
  readonly mr: Mr;
  readonly offset: number;
  readonly length: number;
  /** Remote rights only; the region must have MW_BIND. */
  readonly access: number;
  /** The window's next rkey: {@link MemoryWindow.nextRkey}. */
  readonly rkey: RKey;
}

/** A device's own requests name its own kinds of memory, windows and address handles. */
export interface SendWorkRequest<Mr = MemoryRegion, Mw = MemoryWindow, Ah = AddressHandle> {
  /** Comes back in the completion untouched. Any safe integer. */
  readonly wrId: number;
  readonly opcode: WrOpcode;
  /** {@link SendFlags}, default 0: not signaled. */
  readonly flags?: number;
  /** Source (SEND, WRITE) or target (READ, atomics: 8 bytes) memory, gathered or scattered in order. */
  readonly sges?: readonly Sge<Mr>[];
  /** SEND and WRITE only, instead of `sges`: copied during the call (IBV_SEND_INLINE), needs no registration. */
  readonly inlineData?: Uint8Array;
  /** WRITE, READ, atomics: virtual address at the peer. Use a number on hot paths; both forms mean the same. */
  readonly remoteAddr?: number | bigint;
  readonly rkey?: RKey;
  /** *_WITH_IMM: 32 bits, which arrive as the same number. */
  readonly imm?: number;
  /** SEND_WITH_INV: the peer's rkey to invalidate. LOCAL_INV: one's own. */
  readonly invalidateRkey?: RKey;
  /** FETCH_AND_ADD: the addend. CMP_AND_SWP: the value to compare with. Unsigned 64 bits. */
  readonly compareAdd?: bigint;
  /** CMP_AND_SWP: the new value. Unsigned 64 bits. */
  readonly swap?: bigint;
  readonly bind?: WindowBinding<Mr, Mw>;
  /** UD only. */
  readonly ah?: Ah;
  readonly remoteQpn?: Qpn;
  readonly remoteQkey?: QKey;
}

export interface ReceiveWorkRequest<Mr = MemoryRegion> {
  readonly wrId: number;
  /** Filled in order. A UD receive needs 40 bytes more, for the GRH. May be empty (zero-byte messages). */
  readonly sges?: readonly Sge<Mr>[];
}
