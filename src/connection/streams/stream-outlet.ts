/**
 * The streams of a data plane as its program sees them: calls and events with numbers and bytes. What comes is told at once
 * and waits at the program; it counts against the window of its stream until the program has read it.
 */
import { internalError, type RdmaError } from '../../verbs/errors.js';
import type { StreamEvents, StreamId, StreamTable } from './stream-table.js';

/** What a program hears of its streams. Ours are 1, 2, 3 …, the peer's -1, -2, -3 … */
export interface StreamListener {
  onStreamOpened(id: StreamId): void;
  /** Bytes that come next, maybe none. `isLast`: the peer has ended its direction with them. */
  onStreamBytes(id: StreamId, bytes: Uint8Array, isLast: boolean): void;
  /** The peer has reset the stream; `isWhole`: after it had ended its direction. */
  onStreamReset(id: StreamId, code: number, isWhole: boolean): void;
  /** The number of the last stream that may be opened. */
  onStreamLimit(last: number): void;
  /** The connection is over, and all streams with it; `isInOrder`: nothing has failed. */
  onStreamsEnded(error: RdmaError, isInOrder: boolean): void;
}

/** What a program asks of its streams. What is asked of a stream that is over has no effect. */
export interface StreamPlane {
  /** From now on the program listens; it is told what has happened already. */
  listenToStreams(): void;
  /** `id`: the next number, which the peer allows. */
  openStream(id: StreamId): void;
  /** Resolves when the peer's device has all of it. */
  writeStream(id: StreamId, data: Uint8Array): Promise<void>;
  /** Ends our direction. Resolves when the peer's device has the end. */
  endStream(id: StreamId): Promise<void>;
  resetStream(id: StreamId, code: number): void;
  /** The program has read so many bytes of those that it was told. */
  readStream(id: StreamId, length: number): void;
  /** As long as it is held, the connection does not end in order: there is more to write. */
  holdQuit(isHeld: boolean): void;
}

export class StreamOutlet implements StreamPlane, StreamEvents {
  readonly #table: StreamTable;
  readonly #program: { readonly programListener: StreamListener | null };

  constructor(table: StreamTable, program: { readonly programListener: StreamListener | null }) {
    this.#table = table;
    this.#program = program;
  }

  get #listener(): StreamListener | null {
    return this.#program.programListener;
  }

  listenToStreams(): void {
    if (!this.#table.isListened) this.#table.listen(this);
  }

  openStream(id: StreamId): void {
    // It may have ended while the program asked.
    if (this.#table.hasFailed) return;
    const opened = this.#table.open();
    if (opened !== id) throw internalError(`stream ${opened} was opened as ${id}`);
  }

  writeStream(id: StreamId, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#table.write(id, data, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  endStream(id: StreamId): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#table.end(id, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  resetStream(id: StreamId, code: number): void {
    this.#table.reset(id, code);
  }

  readStream(id: StreamId, length: number): void {
    this.#table.consume(id, length);
  }

  holdQuit(isHeld: boolean): void {
    this.#table.hold(isHeld);
  }

  // --- what the table tells -----------------------------------------------------------------------------------------

  onOpened(id: StreamId): void {
    this.#listener?.onStreamOpened(id);
  }

  onReadable(id: StreamId): void {
    const table = this.#table;
    const listener = this.#listener;
    const hasEnded = table.hasEnded(id);
    let bytes = table.take(id) ?? NO_BYTES;
    for (let next = table.take(id); next !== undefined; next = table.take(id)) {
      listener?.onStreamBytes(id, bytes, false);
      bytes = next;
    }
    listener?.onStreamBytes(id, bytes, hasEnded);
  }

  onReset(id: StreamId, code: number, isWhole: boolean): void {
    this.#listener?.onStreamReset(id, code, isWhole);
  }

  onOpenLimit(last: number): void {
    this.#listener?.onStreamLimit(last);
  }

  onEnd(error: RdmaError, isInOrder: boolean): void {
    this.#listener?.onStreamsEnded(error, isInOrder);
  }
}

const NO_BYTES = new Uint8Array(0);
