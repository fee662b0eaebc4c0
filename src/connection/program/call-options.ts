/** Options of a connection's functions. */
/** How long a program waits for a call. */
export interface CallOptions {
  /** Ends the wait when it aborts. */
  readonly signal?: AbortSignal;
  /** Ends the wait after this time. Default: none. */
  readonly timeoutMillis?: number;
}

export interface SendOptions extends CallOptions {
  /** Tells the peer's program what the message is; the library only carries it. 0 to 65535, default 0. */
  readonly tag?: number;
}

/**
 * A `read` or `write` that is given up while it waits is taken out: ERR_RDMA_ABORTED or ERR_RDMA_TIMEOUT. What the device
 * has already cannot be taken back: a write rejects with ERR_RDMA_OUTCOME_UNKNOWN, with the abort or the timeout as its
 * `cause`, and is carried out or not. Either way the program's memory is free at once; for that, a write with `signal` or
 * `timeoutMillis` copies its data.
 */
export interface OneSidedOptions extends CallOptions {
  /**
   * Whether the operation may be carried out twice. When the connection fails before the peer has answered, a
   * repeatable one is posted again; any other is rejected with ERR_RDMA_OUTCOME_UNKNOWN, and so is a repeatable one under
   * which eight queue pairs ended because of what the peer asked for.
   */
  readonly repeatable?: boolean;
}
