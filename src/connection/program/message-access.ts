/**
 * `send` and `receive` of a connection: checks what the program gives, counts what waits to be sent, asks the data plane,
 * and gives up when the program does.
 *
 * Invariant: when the promise of a send has settled, the memory that the program gave is free; a receive that was given up
 * has taken no message.
 */
import { closedError, RdmaError } from '../../verbs/errors.js';
import { bytesOf, mayShrink } from '../common/memory-argument.js';
import type { ProgramPlane } from '../data-path/data-plane.js';
import type { Message } from '../messages/message-inbox.js';
import type { CallOptions, SendOptions } from './call-options.js';
import { checkReceive, checkSend } from './call-rules.js';
import type { MessageLoop, MessageSource } from './message-loop.js';
import { checkPatience, mayGiveUp, patiently } from './patience.js';
import { type Answers, Receiving, type ReceivingOwner } from './receiving.js';
import { type SendLimits, type SendQueue, SendQueueCounter } from './send-queue.js';

/** Nothing new is begun any more when it ends. */
type Life = { readonly isEnding: boolean };
type MessagePlane = Pick<ProgramPlane, 'send' | 'withdraw' | 'receive' | 'forget'>;

export class MessageAccess implements MessageSource, ReceivingOwner {
  messagesSent = 0;
  messagesReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #life: Life;
  readonly #plane: MessagePlane;
  readonly #counter: SendQueueCounter;
  #lastRequest = 0;

  constructor(life: Life, plane: MessagePlane, limits: SendLimits) {
    this.#life = life;
    this.#plane = plane;
    this.#counter = new SendQueueCounter(limits);
  }

  get sendQueue(): SendQueue {
    return this.#counter.queue;
  }

  /** @throws RdmaError as `Connection.send`. */
  async send(data: unknown, options: SendOptions): Promise<void> {
    checkSend(options);
    checkPatience(options, 'send');
    const bytes = messageBytes(data);
    const plane = this.#plane;
    if (this.#life.isEnding) throw closedError('the connection');
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
  receive(options: CallOptions): Promise<Message | undefined> {
    try {
      checkReceive(options);
      checkPatience(options, 'receive');
    } catch (error) {
      return Promise.reject(error);
    }
    const receiving = new Receiving(++this.#lastRequest, this, AS_IT_IS);
    if (mayGiveUp(options)) receiving.watch(options, this.#plane);
    return this.#wait(receiving);
  }

  step(loop: MessageLoop): Promise<IteratorResult<Message, undefined>> {
    return this.#wait(new Receiving(++this.#lastRequest, this, loop));
  }

  // --- for those who wait for a message -------------------------------------------------------------------------------

  get isEnding(): boolean {
    return this.#life.isEnding;
  }

  onTaken({ data }: Message): void {
    this.messagesReceived++;
    this.bytesReceived += data.length;
  }

  #wait<Answer>(receiving: Receiving<Answer>): Promise<Answer> {
    this.#plane.receive(receiving);
    return receiving.promise;
  }
}

const AS_IT_IS: Answers<Message | undefined> = {
  ofMessage: (message) => message,
  ofFailure: () => undefined,
};

/** A message that may change its length is copied. */
function messageBytes(data: unknown): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  const bytes = bytesOf(data, 'data', 'a text, ');
  return mayShrink(bytes) ? bytes.slice() : bytes;
}

const begun = (cause: RdmaError): RdmaError =>
  new RdmaError('ERR_RDMA_OUTCOME_UNKNOWN', 'the message had begun to leave: the peer may get it', { cause });
