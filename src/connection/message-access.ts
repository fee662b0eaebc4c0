/**
 * `send` and `receive` of a connection: checks what the program gives, asks the data plane, and gives up when the program
 * does.
 *
 * Invariant: when the promise of a send has settled, the memory that the program gave is free; a receive that was given up
 * has taken no message.
 */
import { closedError, RdmaError, type RdmaErrorCode } from '../verbs/errors.js';
import type { CallOptions, SendOptions } from './call-options.js';
import { checkReceive, checkSend } from './call-rules.js';
import type { ProgramPlane } from './data-plane.js';
import { bytesOf, mayShrink } from './memory-argument.js';
import type { Message } from './message-inbox.js';
import { checkPatience, patiently } from './patience.js';

/** With these a message was refused at once: nothing of it was queued. */
const REFUSED: readonly RdmaErrorCode[] = ['ERR_RDMA_MESSAGE_TOO_LARGE', 'ERR_RDMA_QUEUE_FULL'];

export interface MessageAccessOptions {
  /** Nothing new is begun any more. */
  readonly isEnding: () => boolean;
  readonly plane: Pick<ProgramPlane, 'send' | 'withdraw' | 'receive' | 'forget'>;
}

export class MessageAccess {
  messagesSent = 0;
  messagesReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #options: MessageAccessOptions;
  #lastRequest = 0;

  constructor(options: MessageAccessOptions) {
    this.#options = options;
  }

  /** @throws RdmaError as `Connection.send`. */
  async send(data: unknown, options: SendOptions): Promise<void> {
    checkSend(options);
    checkPatience(options, 'send');
    const bytes = messageBytes(data);
    const { isEnding, plane } = this.#options;
    if (isEnding()) throw closedError('the connection');
    const request = ++this.#lastRequest;
    const running = plane.send(request, options.tag ?? 0, bytes);
    const count = (sign: 1 | -1): void => {
      this.messagesSent += sign;
      this.bytesSent += sign * bytes.length;
    };
    count(1);
    try {
      await patiently(running, options, 'send', async (why) => {
        if (!(await plane.withdraw(request))) return begun(why);
        count(-1);
        return why;
      });
    } catch (error) {
      if (error instanceof RdmaError && REFUSED.includes(error.code)) count(-1);
      throw error;
    }
  }

  /** @throws RdmaError as `Connection.receive`. */
  async receive(options: CallOptions): Promise<Message | undefined> {
    checkReceive(options);
    checkPatience(options, 'receive');
    const { plane } = this.#options;
    const request = ++this.#lastRequest;
    const message = await patiently(plane.receive(request), options, 'receive', async (why) =>
      (await plane.forget(request)) ? why : undefined,
    );
    if (message !== undefined) {
      this.messagesReceived++;
      this.bytesReceived += message.data.length;
    }
    return message;
  }
}

/** A message that may change its length is copied. */
function messageBytes(data: unknown): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  const bytes = bytesOf(data, 'data', 'a text, ');
  return mayShrink(bytes) ? bytes.slice() : bytes;
}

const begun = (cause: RdmaError): RdmaError =>
  new RdmaError('ERR_RDMA_OUTCOME_UNKNOWN', 'the message had begun to leave: the peer may get it', { cause });
