/** Streams of a connection as bare byte channels, for sockets to sit on. */

import type { Connection } from '../connection/program/connection.js';
import type { StreamSeat } from '../connection/program/stream-access.js';
import { streamsOf } from '../connection/program/stream-seats.js';
import type { ByteChannel } from '../connection/streams/byte-channel.js';
import { RdmaError } from '../verbs/errors.js';

/** Sockets close before their connection does: when it ends in order, nobody owes it anything. */
const NOTHING_OWED = { bytes: 0, end: false };

class Seat implements StreamSeat {
  readonly owed = NOTHING_OWED;
  readonly #onChannel: (channel: ByteChannel) => void;
  readonly #onFailure: (error: Error) => void;
  #onGone: (() => void) | null = null;
  #isLeft = false;

  constructor(onChannel: (channel: ByteChannel) => void, onFailure: (error: Error) => void) {
    this.#onChannel = onChannel;
    this.#onFailure = onFailure;
  }

  get destroyed(): boolean {
    return this.#isLeft;
  }

  noteOpen(): void {
    this.#onGone = null;
  }

  noteWaiting(onGone: () => void): void {
    this.#onGone = onGone;
  }

  attach(channel: ByteChannel): void {
    if (this.#isLeft) channel.close(null);
    else this.#onChannel(channel);
  }

  destroy(error: Error): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#onFailure(error);
    this.#onGone?.();
    this.#onGone = null;
  }
}

/** Opens a stream. While the peer takes no more streams it waits. @throws RdmaError as `Connection.openStream`. */
export function openChannel(connection: Connection, signal: AbortSignal): Promise<ByteChannel> {
  return new Promise((resolve, reject) => {
    const seat = new Seat(settled(resolve), settled(reject));
    const abort = (): void => seat.destroy(new RdmaError('ERR_RDMA_ABORTED', 'the socket was destroyed'));
    function settled<T>(settle: (value: T) => void): (value: T) => void {
      return (value) => {
        signal.removeEventListener('abort', abort);
        settle(value);
      };
    }
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    else streamsOf(connection).seat(seat);
  });
}

/** Calls `onChannel` for each stream that the peer opens, in a tick of its own. */
export function takeChannels(connection: Connection, onChannel: (channel: ByteChannel) => void): void {
  streamsOf(connection).seatBy(
    () =>
      new Seat(
        (channel) => process.nextTick(onChannel, channel),
        () => {},
      ),
  );
}
