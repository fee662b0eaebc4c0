/**
 * `send` and `receive` of a connection: checks what the program gives, counts what waits to be sent, asks the data plane,
 * and gives up when the program does.
 *
 * Invariant: when the promise of a send has settled, the memory that the program gave is free; a receive that was given up
 * has taken no message.
 */
import { closedError, RdmaError } from '../verbs/errors.js';
import type { CallOptions, SendOptions } from './call-options.js';
import { checkReceive, checkSend } from './call-rules.js';
import type { ProgramPlane } from './data-plane.js';
import { bytesOf, mayShrink } from './memory-argument.js';
import type { Message } from './message-inbox.js';
import { checkPatience, patiently } from './patience.js';
import { type SendLimits, type SendQueue, SendQueueCounter } from './send-queue.js';

export interface MessageAccessOptions {
  /** Nothing new is begun any more. */
  readonly isEnding: () => boolean;
  readonly plane: Pick<ProgramPlane, 'send' | 'withdraw' | 'receive' | 'forget'>;
  readonly limits: SendLimits;
}

export class MessageAccess {
  messagesSent = 0;
  messagesReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #options: MessageAccessOptions;
  readonly #counter: SendQueueCounter;
  #lastRequest = 0;

  constructor(options: MessageAccessOptions) {
    this.#options = options;
    this.#counter = new SendQueueCounter(options.limits);
  }

  get sendQueue(): SendQueue {
    return this.#counter.queue;
  }

  /** @throws RdmaError as `Connection.send`. */
  async send(data: unknown, options: SendOptions): Promise<void> {
    checkSend(options);
    checkPatience(options, 'send');
    const bytes = messageBytes(data);
    const { isEnding, plane } = this.#options;
    if (isEnding()) throw closedError('the connection');
    const lengthBytes = bytes.length;
    this.#counter.enter(lengthBytes);
    this.messagesSent++;
    this.bytesSent += lengthBytes;
    const request = ++this.#lastRequest;
    const running = plane.send(request, options.tag ?? 0, bytes).finally(() => {
      this.#counter.leave(lengthBytes);
    });
    await patiently(running, options, 'send', async (why) => {
      if (!(await plane.withdraw(request))) return begun(why);
      this.#counter.leave(lengthBytes);
      this.messagesSent--;
      this.bytesSent -= lengthBytes;
      return why;
    });
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
