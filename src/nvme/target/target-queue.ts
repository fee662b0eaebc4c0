/**
 * One queue of a host: its queue pair, the receives for its commands, and the requests that are under way.
 *
 * Invariants: as many receives are posted as the host was told; a response leaves once for every command, and its receive is
 * posted again before; the queue ends once, and its buffers go back when neither its queue pair nor a backend uses them.
 */
import type { CmConnection } from '../../cm/cm-connection.js';
import type { Endpoint } from '../../endpoint/endpoint.js';
import type { RKey } from '../../verbs/brands.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import {
  createCompletions,
  statusName,
  WcOpcode,
  WcStatus,
  type WorkCompletion,
} from '../../verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../verbs/work-request.js';
import { COMMAND_BYTES, readCommand } from '../wire/command.js';
import { NO_FLOW_CONTROL, RESPONSE_BYTES, writeResponse } from '../wire/response.js';
import { Status } from '../wire/status.js';
import type { Controller } from './controller.js';
import { LIMITS } from './limits.js';
import { PostKind, type RequestOwner, TargetRequest } from './request.js';
import type { HostQueue, TargetServices } from './services.js';

/** Of one receive. */
export const CAPSULE_BYTES = COMMAND_BYTES + LIMITS.inCapsuleBytes;

const POLLED_AT_ONCE = 32;
const FLUSH_GRACE_MILLIS = 1000;
/** Requests whose response has left, but has not arrived yet, may be as many again as the host's commands. */
const REQUESTS_PER_ENTRY = 2;
/** The data of a response and the response. */
const POSTS_PER_REQUEST = 2;

export const sendRequestsFor = (entries: number): number => entries * REQUESTS_PER_ENTRY * POSTS_PER_REQUEST;

/** What is done with a command of this queue. */
export interface QueueWork {
  onCommand(queue: TargetQueue, request: TargetRequest): void;
  onBuffer(queue: TargetQueue, request: TargetRequest): void;
  onData(queue: TargetQueue, request: TargetRequest): void;
  /** Asks the backend for what the request needs of it. */
  useBackend(queue: TargetQueue, request: TargetRequest): void | Promise<void>;
  onBackendDone(queue: TargetQueue, request: TargetRequest): void;
  onBackendFailed(queue: TargetQueue, request: TargetRequest, error: unknown): void;
}

export class TargetQueue implements RequestOwner, HostQueue {
  readonly qid: number;
  readonly entries: number;
  readonly endpoint: Endpoint;
  readonly services: TargetServices;
  /** Once the host has sent Connect. */
  controller: Controller | undefined;
  hasFlowControl = true;
  /** What it does with the host's commands: at first, it waits for Connect. */
  work: QueueWork;
  connection: CmConnection | undefined;
  /** Since when it is here, less the time that its Connect waited for others. */
  sinceMillis: number;
  readonly #memory: MemoryRegion;
  readonly #view: DataView;
  readonly #requests: TargetRequest[];
  readonly #free: TargetRequest[];
  /** Receives whose commands wait for a request. */
  readonly #backlog: number[] = [];
  readonly #lengths: Uint32Array;
  readonly #response = new DataView(new ArrayBuffer(RESPONSE_BYTES));
  readonly #receive: { wrId: number; sges: { mr: MemoryRegion; offset: number; length: number }[] };
  readonly #posts: Posts;
  #sqHead = 0;
  #outstanding = 0;
  #progressMillis = 0;
  /** When the last completions came. */
  #nowMillis: number;
  #inBackend = 0;
  #ending: Promise<void> | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #onDrained: () => void = () => {};

  constructor(init: {
    qid: number;
    entries: number;
    endpoint: Endpoint;
    services: TargetServices;
    work: QueueWork;
  }) {
    this.qid = init.qid;
    this.entries = init.entries;
    this.endpoint = init.endpoint;
    this.services = init.services;
    this.work = init.work;
    this.sinceMillis = init.services.nowMillis();
    this.#nowMillis = this.sinceMillis;
    const { memory } = init.endpoint;
    this.#memory = memory;
    this.#view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset, memory.length);
    this.#requests = Array.from(
      { length: init.entries * REQUESTS_PER_ENTRY },
      (_, i) => new TargetRequest(i, this),
    );
    this.#free = this.#requests.toReversed();
    this.#lengths = new Uint32Array(init.entries);
    this.#receive = { wrId: 0, sges: [{ mr: memory, offset: 0, length: CAPSULE_BYTES }] };
    this.#posts = makePosts(memory, new Uint8Array(this.#response.buffer));
    for (let i = 0; i < init.entries; i++) this.#postReceive(i);
  }

  get isEnding(): boolean {
    return this.#ending !== undefined;
  }

  /** Takes commands from now on: the meeting is over. A queue that has ended meanwhile says goodbye. */
  async start(connection: CmConnection): Promise<void> {
    if (this.isEnding) {
      await connection.disconnect();
      return;
    }
    this.connection = connection;
    connection.ended.then((ending) => this.end(ending.type));
    this.#run().catch((error: unknown) => this.end(String(error)));
  }

  /** Whether the host does not take what it asked for. */
  isStalled(nowMillis: number): boolean {
    return this.#outstanding > 0 && nowMillis - this.#progressMillis > LIMITS.stallMillis;
  }

  /** The data in a request's capsule; it stays until the response. */
  capsuleData({ receive, command }: TargetRequest, length: number): Uint8Array {
    const at = receive * CAPSULE_BYTES + COMMAND_BYTES + command.sgl.offset;
    return this.#memory.bytes.subarray(at, at + length);
  }

  /** READs data of the host into the request's buffer; `work.onData` goes on. */
  fetch(request: TargetRequest, length: number): void {
    const { read } = this.#posts;
    const { buffer, command } = request;
    if (buffer === null || this.isEnding) {
      this.#drop(request);
      return;
    }
    read.wrId = wrIdOf(request, PostKind.READ);
    read.sges[0].mr = buffer.region;
    read.sges[0].offset = buffer.offset;
    read.sges[0].length = length;
    read.remoteAddr = command.sgl.addr;
    read.rkey = command.sgl.rkey as RKey;
    this.#post(read, null);
  }

  /** Ends the command; `replyBytes` of the buffer go to the host before. */
  answer(request: TargetRequest, status: number, resultLow = 0, resultHigh = 0): void {
    if (this.isEnding) {
      this.#drop(request);
      return;
    }
    const { counters } = this.services;
    if (status !== Status.SUCCESS) counters.commandsFailed++;
    const { command, buffer, replyBytes } = request;
    this.#sqHead = (this.#sqHead + 1) % this.entries;
    writeResponse(this.#response, {
      resultLow,
      resultHigh,
      sqHead: this.hasFlowControl ? this.#sqHead : NO_FLOW_CONTROL,
      sqId: this.qid,
      cid: command.cid,
      status,
    });
    const { write, send } = this.#posts;
    const { invalidateRkey } = request;
    send.wrId = wrIdOf(request, PostKind.RESPONSE);
    send.opcode = invalidateRkey === 0 ? WrOpcode.SEND : WrOpcode.SEND_WITH_INV;
    send.invalidateRkey = invalidateRkey as RKey;
    this.#postReceive(request.receive);
    request.receive = -1;
    if (buffer === null || replyBytes === 0) {
      this.#post(send, null);
      return;
    }
    write.sges[0].mr = buffer.region;
    write.sges[0].offset = buffer.offset;
    write.sges[0].length = replyBytes;
    write.remoteAddr = command.sgl.addr;
    write.rkey = command.sgl.rkey as RKey;
    this.#post(send, this.#posts.both);
  }

  /** Calls a backend for a request, whose memory stays until it has answered. */
  callBackend(request: TargetRequest): void {
    request.isInBackend = true;
    this.#inBackend++;
    let answer: void | Promise<void>;
    try {
      answer = this.work.useBackend(this, request);
    } catch (error) {
      request.fail(error);
      return;
    }
    request.follow(answer);
  }

  onBuffer(request: TargetRequest): void {
    if (this.isEnding) this.#drop(request);
    else this.work.onBuffer(this, request);
  }

  onBackendDone(request: TargetRequest): void {
    this.#leaveBackend();
    if (this.isEnding) this.#drop(request);
    else this.work.onBackendDone(this, request);
  }

  onBackendFailed(request: TargetRequest, error: unknown): void {
    this.#leaveBackend();
    this.services.onBackendError(this, error);
    if (this.isEnding) this.#drop(request);
    else this.work.onBackendFailed(this, request, error);
  }

  /** Resolves when backends are done with what they have of it now; what comes meanwhile does not count. */
  async leftBackends(): Promise<void> {
    const held = this.#requests.filter((request) => request.isInBackend);
    await Promise.all(held.map((request) => request.leftBackend()));
  }

  /** Ends the queue. Resolves when nothing of it is in use any more; the first reason counts. */
  end(reason: string): Promise<void> {
    this.#ending ??= this.#end(reason);
    return this.#ending;
  }

  async #end(reason: string): Promise<void> {
    // After the caller, for whom the queue is ending by now.
    await Promise.resolve();
    clearTimeout(this.#flushTimer);
    const { pool } = this.services;
    for (const request of this.#requests) if (request.buffer === null) pool.forget(request);
    const drained = new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
    if (this.#inBackend === 0) this.#onDrained();
    this.services.onQueueEnding(this, reason);
    const saidGoodbye = this.connection?.disconnect();
    await this.endpoint.close().catch(() => {});
    for (const request of this.#requests) if (!request.isInBackend) this.#drop(request);
    await drained;
    await saidGoodbye;
    this.services.onQueueEnded(this);
  }

  async #run(): Promise<void> {
    const completions = createCompletions(POLLED_AT_ONCE);
    while (!this.isEnding) {
      const count = await this.endpoint.take(completions, Number.POSITIVE_INFINITY);
      this.#nowMillis = this.services.nowMillis();
      for (let i = 0; i < count && !this.isEnding; i++) this.#onCompletion(completions[i] as WorkCompletion);
    }
  }

  #onCompletion(completion: WorkCompletion): void {
    if (completion.status === WcStatus.WR_FLUSH_ERR) {
      // The queue pair was taken down, and who did that is about to be told.
      this.#flushTimer ??= setTimeout(() => this.end('its queue pair was taken down'), FLUSH_GRACE_MILLIS);
    } else if (completion.status !== WcStatus.SUCCESS) {
      void this.end(`a request failed with ${statusName(completion.status)}`);
    } else if (completion.opcode === WcOpcode.RECV) this.#onCapsule(completion.wrId, completion.byteLen);
    else this.#onSent(completion.wrId);
  }

  #onCapsule(receive: number, length: number): void {
    this.services.counters.commands++;
    this.controller?.heard(this.#nowMillis);
    if (length < COMMAND_BYTES) {
      this.services.counters.shortCapsules++;
      this.services.onFatal(this, `a capsule of ${length} bytes is no command`);
      return;
    }
    this.#lengths[receive] = length;
    const request = this.#free.pop();
    if (request === undefined) this.#backlog.push(receive);
    else this.#begin(request, receive);
  }

  #begin(request: TargetRequest, receive: number): void {
    request.receive = receive;
    request.replyBytes = 0;
    request.inCapsuleBytes = (this.#lengths[receive] as number) - COMMAND_BYTES;
    readCommand(this.#view, receive * CAPSULE_BYTES, request.command);
    this.work.onCommand(this, request);
  }

  #onSent(wrId: number): void {
    this.#outstanding--;
    this.#progressMillis = this.#nowMillis;
    const request = this.#requests[Math.floor(wrId / KINDS)] as TargetRequest;
    if (wrId % KINDS === PostKind.READ) {
      this.work.onData(this, request);
      return;
    }
    this.#release(request);
    const receive = this.#backlog.shift();
    if (receive !== undefined) this.#begin(request, receive);
    else this.#free.push(request);
  }

  /** What is left of a command when the queue ends. */
  #drop(request: TargetRequest): void {
    if (!request.isInBackend && this.endpoint.qp.closed) this.#release(request);
  }

  #release(request: TargetRequest): void {
    const { buffer } = request;
    if (buffer === null) return;
    request.buffer = null;
    this.services.pool.give(buffer);
  }

  #leaveBackend(): void {
    this.#inBackend--;
    if (this.#inBackend === 0 && this.isEnding) this.#onDrained();
  }

  #postReceive(receive: number): void {
    this.#receive.wrId = receive;
    (this.#receive.sges[0] as { offset: number }).offset = receive * CAPSULE_BYTES;
    try {
      this.endpoint.qp.postRecv(this.#receive);
    } catch (error) {
      void this.end(String(error));
    }
  }

  /** Posts what completes once: one request, or a batch that ends with it. */
  #post(one: Post | ResponsePost, batch: readonly (Post | ResponsePost)[] | null): void {
    // A backend may have taken long since the last completions.
    if (this.#outstanding === 0) this.#progressMillis = this.services.nowMillis();
    try {
      if (batch === null) this.endpoint.qp.postSend(one);
      else this.endpoint.qp.postSendBatch(batch);
      this.#outstanding++;
    } catch (error) {
      void this.end(String(error));
    }
  }
}

const KINDS = 2;
const wrIdOf = ({ index }: TargetRequest, kind: number): number => index * KINDS + kind;

interface Post {
  wrId: number;
  opcode: WrOpcode;
  readonly flags: number;
  readonly sges: [{ mr: MemoryRegion; offset: number; length: number }];
  remoteAddr: number | bigint;
  rkey: RKey;
}

interface ResponsePost {
  wrId: number;
  opcode: WrOpcode;
  readonly flags: number;
  readonly inlineData: Uint8Array;
  invalidateRkey: RKey;
}

interface Posts {
  readonly read: Post;
  readonly write: Post;
  readonly send: ResponsePost;
  readonly both: readonly [Post, ResponsePost];
}

/** Work requests, which the device reads while they are posted only. */
function makePosts(mr: MemoryRegion, inlineData: Uint8Array): Posts {
  const post = (opcode: WrOpcode, flags: number): Post => ({
    wrId: 0,
    opcode,
    flags,
    sges: [{ mr, offset: 0, length: 0 }],
    remoteAddr: 0,
    rkey: 0 as RKey,
  });
  const write = post(WrOpcode.RDMA_WRITE, 0);
  const send = {
    wrId: 0,
    opcode: WrOpcode.SEND,
    flags: SendFlags.SIGNALED,
    inlineData,
    invalidateRkey: 0 as RKey,
  };
  return { read: post(WrOpcode.RDMA_READ, SendFlags.SIGNALED), write, send, both: [write, send] };
}
