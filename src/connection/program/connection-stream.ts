/** A byte stream of a connection, as programs see it: Node's `stream.Duplex`, with the number that both ends know it by. */

import type { StreamId } from '../streams/stream-table.js';
import { ByteStream, type ByteStreamOptions } from './byte-stream.js';

/** Bytes that may wait beside those that are under way, before `write` returns false. */
const DEFAULT_WRITABLE_BYTES = 128 * 1024;
const DEFAULT_READABLE_BYTES = 64 * 1024;

export type OpenStreamOptions = ByteStreamOptions;

export class ConnectionStream extends ByteStream {
  #id: StreamId | null = null;
  /** The connection hears so that it need not wait: programs may remove every listener. */
  #onGone: (() => void) | null = null;

  /** Made by connections. */
  constructor(options: OpenStreamOptions) {
    const { highWaterMark } = options;
    super({
      ...options,
      highWaterMark: undefined,
      readableHighWaterMark: options.readableHighWaterMark ?? highWaterMark ?? DEFAULT_READABLE_BYTES,
      writableHighWaterMark: options.writableHighWaterMark ?? highWaterMark ?? DEFAULT_WRITABLE_BYTES,
    });
  }

  /** Positive for streams that this side has opened, negative for the peer's; `null` while the peer takes no more streams. */
  get id(): number | null {
    return this.#id;
  }

  /** Called once, by the connection. */
  noteOpen(id: StreamId): void {
    this.#id = id;
    this.#onGone = null;
  }

  /** Called by the connection: `onGone` is called when the stream is destroyed while it waits for a number. */
  noteWaiting(onGone: () => void): void {
    this.#onGone = onGone;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#onGone?.();
    this.#onGone = null;
    super._destroy(error, callback);
  }
}
