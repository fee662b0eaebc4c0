/**
 * What a program has given to be sent and the peer does not have yet. It is counted where `send` is called, so that `send`
 * refuses at once, whatever the data plane is doing.
 *
 * Invariant: a message counts from the moment it is taken until its `send` is answered or withdrawn.
 */
import { RdmaError } from '../../verbs/errors.js';

/** What a program has given to be sent and the peer does not have yet. */
export interface SendQueue {
  readonly messages: number;
  /** Their bytes, and QUEUED_MESSAGE_BYTES for each. */
  readonly bytes: number;
  /** A message that would take `bytes` beyond it is refused. */
  readonly maxBytes: number;
}

/** About what a message that waits takes of this side's memory beside its data. */
export const QUEUED_MESSAGE_BYTES = 512;

export interface SendLimits {
  /** Bytes that may wait to be sent, with QUEUED_MESSAGE_BYTES for each message. */
  readonly sendQueueBytes: number;
  /** Of the peer. */
  readonly maxMessageBytes: number;
}

export class SendQueueCounter {
  readonly #sendQueueBytes: number;
  readonly #maxMessageBytes: number;
  #messages = 0;
  #bytes = 0;

  constructor({ sendQueueBytes, maxMessageBytes }: SendLimits) {
    this.#sendQueueBytes = sendQueueBytes;
    this.#maxMessageBytes = maxMessageBytes;
  }

  get queue(): SendQueue {
    return { messages: this.#messages, bytes: this.#bytes, maxBytes: this.#sendQueueBytes };
  }

  /**
   * Counts a message of this length; `leave` ends that.
   *
   * @throws RdmaError ERR_RDMA_MESSAGE_TOO_LARGE, ERR_RDMA_QUEUE_FULL; then nothing has happened.
   */
  enter(lengthBytes: number): void {
    if (lengthBytes > this.#maxMessageBytes) throw tooLarge(lengthBytes, this.#maxMessageBytes);
    const cost = QUEUED_MESSAGE_BYTES + lengthBytes;
    if (this.#bytes > 0 && this.#bytes + cost > this.#sendQueueBytes) throw queueFull(this.queue);
    this.#messages++;
    this.#bytes += cost;
  }

  leave(lengthBytes: number): void {
    this.#messages--;
    this.#bytes -= QUEUED_MESSAGE_BYTES + lengthBytes;
  }
}

const tooLarge = (lengthBytes: number, maxBytes: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_MESSAGE_TOO_LARGE',
    `the peer takes messages of ${maxBytes} bytes, not ${lengthBytes}; send it in parts (connection.maxMessageBytes)`,
  );

const queueFull = ({ messages, bytes }: SendQueue): RdmaError =>
  new RdmaError(
    'ERR_RDMA_QUEUE_FULL',
    `${messages} messages (${bytes} bytes) wait to be sent; await send() before you send more`,
  );
