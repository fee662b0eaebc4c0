/**
 * What carries the two directions of a byte stream, as the stream asks it: plain and synchronous, so that a stream of a
 * connection and a socket of another protocol can both be one (`ByteStream` is the Duplex on top).
 *
 * Invariants: `listener` is set before anything else is called; after `close` the channel calls nobody, but settles `released`. Calls of the listener
 * come from events of the carrier, never from inside a call of the channel; only `done` may be called at once.
 */
export interface ByteChannelListener {
  /** There is something to read, or the end to be seen. Also told when nobody asked. */
  onReadable(): void;
  /**
   * Nothing more comes or goes, and no `done` is called any more. What `read` still gives may be read; `isAtEnd` says after
   * it whether the peer's direction is whole. The stream takes all of it at once.
   */
  onClosed(error: Error): void;
  /** As `onClosed`, but at once: what was not read is gone. */
  onReset(error: Error): void;
}

export interface ByteChannel {
  listener: ByteChannelListener | null;
  /** Bytes that come next. `data` is the channel's until it calls `done`; that may be at once. Any number may wait. */
  write(data: Uint8Array, done: () => void): void;
  /** Ends our direction after what was written. `done`: the peer has all of it. Called once. */
  end(done: () => void): void;
  /** The oldest bytes of the peer that wait, which are the caller's; `undefined` when there are none now. */
  read(): Uint8Array | undefined;
  /** Of what was written: grows as it arrives at the peer. Not every carrier tells. */
  readonly piecesArrived?: number | undefined;
  /** Whether the peer's direction has ended in order and is read to its end. */
  readonly isAtEnd: boolean;
  /**
   * The program is done with the stream; called once. A direction that has not ended ends at once, for both ends: the peer
   * sees a reset. `error`: why the program gave up, if it said so.
   */
  close(error: Error | null): void;
  /**
   * After `close`: resolves when no chunk is the channel's any more; `undefined` when none is. Not every carrier keeps chunks after
   * that.
   */
  readonly released?: Promise<void> | undefined;
}
