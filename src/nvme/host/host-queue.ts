/**
 * One queue of a host: commands go out as capsules, data lies in memory of the queue, responses come back by command ID.
 *
 * Invariants: no more commands are under way than the target can hold; further ones wait, first come, first served. The memory of a
 * command is used again only when its response is here and its capsule has left. A response to no command ends the queue, and so does
 * a command that has a time limit and no response within it.
 */

import type { CmConnection } from '../../cm/cm-connection.js';
import { connect } from '../../cm/connect.js';
import type { CmConnectOptions } from '../../cm/options.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import {
  createCompletions,
  statusName,
  WcOpcode,
  WcStatus,
  type WorkCompletion,
} from '../../verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../verbs/work-request.js';
import { COMMAND_BYTES, writeCommand } from '../wire/command.js';
import { queueRequest } from '../wire/private-data.js';
import { RESPONSE_BYTES, type Response, readResponse } from '../wire/response.js';
import { writeCapsuleSgl, writeKeyedSgl } from '../wire/sgl.js';
import type { CommandBatch, CommandQueue, HostCommand } from './host-command.js';
import { abortedError, lateError, lostError, unknownOutcome } from './host-errors.js';

const POLLED_AT_ONCE = 32;
const FLUSH_GRACE_MILLIS = 1000;

interface Pending {
  readonly command: HostCommand;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: RdmaError) => void;
  /** Takes the listener off the signal, and stops the timer. */
  stop: () => void;
  isOver: boolean;
}

interface Slot {
  readonly index: number;
  pending: Pending | null;
  /** Completions that are still to come: of its capsule, and its response. */
  awaited: number;
}

export interface HostQueueOptions {
  readonly qid: number;
  readonly entries: number;
  /** Data of one command at most. */
  readonly chunkBytes: number;
  /** Data behind a command at most. */
  readonly inCapsuleBytes: number;
  readonly to: Pick<CmConnectOptions, 'host' | 'port' | 'udpPort' | 'timeoutMillis' | 'signal'>;
}

export class HostQueue implements CommandQueue {
  readonly qid: number;
  readonly entries: number;
  readonly chunkBytes: number;
  /** Why it ended. Never rejects. */
  readonly ended: Promise<string>;
  readonly #endpoint: Endpoint;
  readonly #connection: CmConnection;
  readonly #inCapsuleBytes: number;
  readonly #view: DataView;
  readonly #slots: Slot[];
  readonly #free: Slot[];
  readonly #waiting: Pending[] = [];
  #tellEnd: (reason: string) => void = () => {};
  #reason: string | undefined;
  #silencing: Promise<void> | undefined;
  #flushTimer: NodeJS.Timeout | undefined;

  /** @throws RdmaError of `connect`. */
  static async open(device: Device, options: HostQueueOptions): Promise<HostQueue> {
    const { qid, entries, to } = options;
    const endpoint = await openEndpoint(device, {
      memory: entries * (RESPONSE_BYTES + slotBytes(options)),
      access: AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE,
      capacity: { maxSendWr: entries, maxRecvWr: entries, maxSendSge: 1, maxRecvSge: 1 },
    });
    try {
      for (let i = 0; i < entries; i++) postReceive(endpoint, i);
      const privateData = queueRequest({ qid, hostReceives: entries, entries });
      const connection = await connect(device, { ...to, qp: endpoint, privateData });
      return new HostQueue(endpoint, connection, options);
    } catch (error) {
      await endpoint.close();
      throw error;
    }
  }

  private constructor(endpoint: Endpoint, connection: CmConnection, options: HostQueueOptions) {
    this.qid = options.qid;
    this.entries = options.entries;
    this.chunkBytes = options.chunkBytes;
    this.#inCapsuleBytes = options.inCapsuleBytes;
    this.#endpoint = endpoint;
    this.#connection = connection;
    const { memory } = endpoint;
    this.#view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset, memory.length);
    // One entry stays empty: a full queue could not be told from an empty one.
    this.#slots = Array.from({ length: options.entries - 1 }, (_, index) => ({
      index,
      pending: null,
      awaited: 0,
    }));
    this.#free = this.#slots.toReversed();
    this.ended = new Promise((resolve) => {
      this.#tellEnd = resolve;
    });
    connection.ended.then(({ type }) =>
      this.#end(type === 'disconnected' ? 'the target disconnected' : type),
    );
    this.#run().catch((error: unknown) => this.#end(String(error)));
  }

  /** Commands that are under way or wait. */
  get load(): number {
    return this.#slots.length - this.#free.length + this.#waiting.length;
  }

  /** Resolves with the target's response, whatever its status. @throws RdmaError when there is none. */
  run(command: HostCommand): Promise<Response> {
    const { what, signal, timeoutMillis } = command;
    if (this.#reason !== undefined) return Promise.reject(lostError(this.#reason));
    if (signal?.aborted === true) return Promise.reject(abortedError(what, signal));
    return new Promise((resolve, reject) => {
      const pending: Pending = { command, resolve, reject, stop: () => {}, isOver: false };
      const onAbort = (): void => this.#abort(pending, signal as AbortSignal);
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer =
        timeoutMillis === undefined
          ? undefined
          : setTimeout(() => this.#onLate(pending, timeoutMillis), timeoutMillis);
      pending.stop = () => {
        signal?.removeEventListener('abort', onAbort);
        clearTimeout(timer);
      };
      const slot = this.#free.pop();
      if (slot === undefined) this.#waiting.push(pending);
      else this.#post(slot, pending);
    });
  }

  /** Takes back what still waits of a batch; what has left comes to its end. */
  withdraw(batch: CommandBatch, error: RdmaError): void {
    for (const pending of [...this.#waiting]) {
      if (pending.command.batch !== batch) continue;
      this.#waiting.splice(this.#waiting.indexOf(pending), 1);
      this.#finish(pending, () => pending.reject(error));
    }
  }

  /** Says goodbye; what is under way fails. Resolves when the target has heard of it, or does not answer. Idempotent. */
  async close(): Promise<void> {
    const silenced = this.silence();
    await this.#connection.disconnect();
    await silenced;
  }

  /** As `close`, and resolves as soon as nothing leaves any more. */
  silence(): Promise<void> {
    this.#silencing ??= this.#silence();
    return this.#silencing;
  }

  async #silence(): Promise<void> {
    this.#end('this end closed it');
    void this.#connection.disconnect();
    await this.#endpoint.close();
  }

  /** What has left cannot be taken back: its slot stays in use until the response. */
  #abort(pending: Pending, signal: AbortSignal): void {
    const { what, changes } = pending.command;
    const at = this.#waiting.indexOf(pending);
    if (at >= 0) this.#waiting.splice(at, 1);
    const mayBeDone = at < 0 && changes === true;
    this.#finish(pending, () =>
      pending.reject(
        mayBeDone ? unknownOutcome(what, 'it was aborted on its way') : abortedError(what, signal),
      ),
    );
  }

  #onLate(pending: Pending, timeoutMillis: number): void {
    const reason = `the target did not answer within ${timeoutMillis} ms`;
    this.#finish(pending, () => pending.reject(lateError(`${reason}: ${pending.command.what}`)));
    this.#end(reason);
  }

  #finish(pending: Pending, tell: () => void): void {
    if (pending.isOver) return;
    pending.isOver = true;
    pending.stop();
    tell();
  }

  #post(slot: Slot, pending: Pending): void {
    const { fields, send, receive } = pending.command;
    const { memory, qp } = this.#endpoint;
    const capsuleAt = this.entries * RESPONSE_BYTES + slot.index * slotBytes(this.#sizes);
    const dataAt = capsuleAt + COMMAND_BYTES + this.#inCapsuleBytes;
    const sglAt = writeCommand(this.#view, capsuleAt, { ...fields, cid: slot.index });
    let capsuleBytes = COMMAND_BYTES;
    const isInCapsule = send !== undefined && send.length <= this.#inCapsuleBytes;
    if (isInCapsule) {
      writeCapsuleSgl(this.#view, sglAt, send.length);
      memory.bytes.set(send, capsuleAt + COMMAND_BYTES);
      capsuleBytes += send.length;
    } else {
      const length = send?.length ?? receive?.length ?? 0;
      if (send !== undefined) memory.bytes.set(send, dataAt);
      if (length > 0)
        writeKeyedSgl(this.#view, sglAt, { addr: memory.addr + BigInt(dataAt), rkey: memory.rkey, length });
    }
    slot.pending = pending;
    slot.awaited = 2;
    try {
      qp.postSend({
        wrId: slot.index,
        opcode: WrOpcode.SEND,
        flags: SendFlags.SIGNALED,
        sges: [{ mr: memory, offset: capsuleAt, length: capsuleBytes }],
      });
    } catch (error) {
      this.#end(error instanceof RdmaError ? error.message : String(error));
    }
  }

  get #sizes(): Pick<HostQueueOptions, 'chunkBytes' | 'inCapsuleBytes'> {
    return { chunkBytes: this.chunkBytes, inCapsuleBytes: this.#inCapsuleBytes };
  }

  async #run(): Promise<void> {
    const completions = createCompletions(POLLED_AT_ONCE);
    while (this.#reason === undefined) {
      const count = await this.#endpoint.take(completions, Number.POSITIVE_INFINITY);
      for (let i = 0; i < count; i++) this.#onCompletion(completions[i] as WorkCompletion);
    }
  }

  #onCompletion({ status, opcode, wrId, byteLen }: WorkCompletion): void {
    if (this.#reason !== undefined) return;
    if (status === WcStatus.WR_FLUSH_ERR) {
      // The queue pair was taken down, and who did that is about to be told.
      this.#flushTimer ??= setTimeout(() => this.#end('its queue pair was taken down'), FLUSH_GRACE_MILLIS);
    } else if (status !== WcStatus.SUCCESS) this.#end(`a request failed with ${statusName(status)}`);
    else if (opcode !== WcOpcode.RECV) this.#advance(this.#slots[wrId] as Slot);
    else if (byteLen !== RESPONSE_BYTES) this.#end(`the target sent a response of ${byteLen} bytes`);
    else this.#onResponse(wrId);
  }

  #onResponse(receive: number): void {
    const response = readResponse(this.#view, receive * RESPONSE_BYTES);
    postReceive(this.#endpoint, receive);
    const slot = this.#slots[response.cid];
    const pending = slot?.pending;
    if (slot === undefined || pending === null || pending === undefined) {
      this.#end(`the target answered command ${response.cid}, which is not under way`);
      return;
    }
    slot.pending = null;
    const { receive: into } = pending.command;
    if (into !== undefined && response.status === 0 && !pending.isOver) {
      const at =
        this.entries * RESPONSE_BYTES +
        slot.index * slotBytes(this.#sizes) +
        COMMAND_BYTES +
        this.#inCapsuleBytes;
      into.set(this.#endpoint.memory.bytes.subarray(at, at + into.length));
    }
    this.#finish(pending, () => pending.resolve(response));
    this.#advance(slot);
  }

  #advance(slot: Slot): void {
    slot.awaited--;
    if (slot.awaited > 0) return;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else this.#post(slot, next);
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearTimeout(this.#flushTimer);
    for (const pending of this.#waiting.splice(0))
      this.#finish(pending, () => pending.reject(lostError(reason)));
    for (const { pending } of this.#slots) {
      if (pending === null) continue;
      const { what, changes } = pending.command;
      const error = changes === true ? unknownOutcome(what, reason) : lostError(reason);
      this.#finish(pending, () => pending.reject(error));
    }
    this.#tellEnd(reason);
  }
}

const slotBytes = ({
  chunkBytes,
  inCapsuleBytes,
}: Pick<HostQueueOptions, 'chunkBytes' | 'inCapsuleBytes'>): number =>
  COMMAND_BYTES + inCapsuleBytes + chunkBytes;

function postReceive({ qp, memory }: Endpoint, wrId: number): void {
  qp.postRecv({ wrId, sges: [{ mr: memory, offset: wrId * RESPONSE_BYTES, length: RESPONSE_BYTES }] });
}
