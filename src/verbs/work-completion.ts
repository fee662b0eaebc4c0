/**
 * Work completions (`ibv_wc`). A program allocates them once with {@link createCompletions} and lets `poll` fill them,
 * so that polling allocates nothing.
 */

/** `enum ibv_wc_status`. */
export const WcStatus = {
  SUCCESS: 0,
  LOC_LEN_ERR: 1,
  LOC_QP_OP_ERR: 2,
  LOC_EEC_OP_ERR: 3,
  LOC_PROT_ERR: 4,
  WR_FLUSH_ERR: 5,
  MW_BIND_ERR: 6,
  BAD_RESP_ERR: 7,
  LOC_ACCESS_ERR: 8,
  REM_INV_REQ_ERR: 9,
  REM_ACCESS_ERR: 10,
  REM_OP_ERR: 11,
  RETRY_EXC_ERR: 12,
  RNR_RETRY_EXC_ERR: 13,
  FATAL_ERR: 19,
  GENERAL_ERR: 21,
} as const;
export type WcStatus = (typeof WcStatus)[keyof typeof WcStatus];

const STATUS_NAMES = new Map<number, string>(Object.entries(WcStatus).map(([name, value]) => [value, name]));

/** The verbs' name of a completion status (`ibv_wc_status_str`), e.g. `RETRY_EXC_ERR`. */
export const statusName = (status: number): string => STATUS_NAMES.get(status) ?? `STATUS_${status}`;

/** `enum ibv_wc_opcode`. */
export const WcOpcode = {
  SEND: 0,
  RDMA_WRITE: 1,
  RDMA_READ: 2,
  COMP_SWAP: 3,
  FETCH_ADD: 4,
  BIND_MW: 5,
  LOCAL_INV: 6,
  RECV: 128,
  RECV_RDMA_WITH_IMM: 129,
} as const;
export type WcOpcode = (typeof WcOpcode)[keyof typeof WcOpcode];

/** `enum ibv_wc_flags`. */
export const WcFlags = {
  /** UD: the first 40 bytes of the buffer hold the GRH. */
  GRH: 1,
  WITH_IMM: 2,
  /** The peer's SEND_WITH_INV invalidated `invalidatedRkey`. */
  WITH_INV: 8,
} as const;

/**
 * One completion. When `status` is not SUCCESS, only `wrId`, `status`, `qpn` and `vendorErr` are valid, as with
 * libibverbs.
 */
export class WorkCompletion {
  wrId = 0;
  status: number = WcStatus.SUCCESS;
  opcode: number = WcOpcode.SEND;
  /** Bytes received, or read; for RECV_RDMA_WITH_IMM the bytes that the peer wrote. */
  byteLen = 0;
  qpn = 0;
  /** {@link WcFlags}. */
  flags = 0;
  imm = 0;
  invalidatedRkey = 0;
  /** UD: the sender's QPN. */
  srcQpn = 0;
  vendorErr = 0;
}

/** `count` completions to poll into, once per poller. */
export const createCompletions = (count: number): WorkCompletion[] =>
  Array.from({ length: count }, () => new WorkCompletion());
