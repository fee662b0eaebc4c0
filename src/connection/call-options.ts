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

export interface OneSidedOptions {
  /**
   * Whether the operation may be carried out twice. When the connection fails before the peer has answered, a
   * repeatable one is posted again; any other is rejected with ERR_RDMA_OUTCOME_UNKNOWN, and so is a repeatable one under
   * which eight queue pairs ended because of what the peer asked for.
   */
  readonly repeatable?: boolean;
}
