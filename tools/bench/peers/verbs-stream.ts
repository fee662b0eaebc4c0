/**
 * One way: a client that keeps `depth` WRITEs, READs or SENDs under way, and the server that lets it. A message counts
 * when its work request has completed, that is when the other side has acknowledged all of it.
 */
import type { CompletionQueue } from '../../../src/verbs/completion-queue.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import type { QueuePair } from '../../../src/verbs/queue-pair.js';
import { createCompletions, WcOpcode, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  WrOpcode,
} from '../../../src/verbs/work-request.js';
import type { VerbsConfig } from '../peer-protocol.js';
import type { FlowRecorder } from './recorders.js';
import { checkCompletions, type EndNeeds, type VerbsEnd } from './verbs-end.js';
import type { Workload } from './verbs-progress.js';

const OPCODES = { write: WrOpcode.RDMA_WRITE, read: WrOpcode.RDMA_READ, send: WrOpcode.SEND } as const;
const POLL_BATCH = 64;
/** More than the client sends at a time: it must never find the queue empty while the server takes completions. */
const RECEIVES_PER_SEND = 4;

/** All messages share one buffer at either end, as in the tools of others that this is compared with. */
export const streamNeeds = ({ bytes, depth, postBatch }: VerbsConfig): EndNeeds => ({
  bufferBytes: bytes,
  sends: depth + 1,
  receives: RECEIVES_PER_SEND * Math.max(depth, postBatch),
  separateCqs: false,
});

export const streamReceive = (buffer: MemoryRegion): ReceiveWorkRequest => ({
  wrId: 0,
  sges: [{ mr: buffer }],
});

export class StreamClient implements Workload {
  readonly #cq: CompletionQueue;
  readonly #qp: QueuePair;
  readonly #recorder: FlowRecorder;
  readonly #completions = createCompletions(POLL_BATCH);
  readonly #requests: SendWorkRequest[];
  readonly #farewell: SendWorkRequest = { wrId: 1, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED };
  readonly #depth: number;
  #left: number;
  #underWay = 0;
  #saidFarewell = false;
  #done = false;

  /** The counts of `recorder` must be multiples of `postBatch`. */
  constructor(end: VerbsEnd, config: VerbsConfig, recorder: FlowRecorder) {
    const { sendCq, qp, buffer, remoteAddr, rkey } = end;
    this.#cq = sendCq;
    this.#qp = qp;
    this.#recorder = recorder;
    this.#depth = config.depth;
    this.#left = recorder.total;
    const opcode = OPCODES[config.workload as keyof typeof OPCODES];
    const remote = opcode === WrOpcode.SEND ? {} : { remoteAddr, rkey };
    const request = { wrId: 0, opcode, sges: [{ mr: buffer }], ...remote };
    this.#requests = Array.from({ length: config.postBatch }, (_, i) => ({
      ...request,
      flags: i === config.postBatch - 1 ? SendFlags.SIGNALED : 0,
    }));
  }

  advance(): boolean {
    let count: number;
    do {
      count = this.#cq.poll(this.#completions);
      checkCompletions(this.#completions, count);
      for (let i = 0; i < count; i++) this.#take(this.#completions[i] as WorkCompletion);
      this.#post();
    } while (count > 0);
    return this.#done;
  }

  #take(completion: WorkCompletion): void {
    if (completion.wrId === this.#farewell.wrId) {
      this.#done = true;
      return;
    }
    this.#underWay -= this.#requests.length;
    this.#recorder.add(this.#requests.length);
  }

  #post(): void {
    const batch = this.#requests.length;
    while (this.#left > 0 && this.#underWay + batch <= this.#depth) {
      if (batch === 1) this.#qp.postSend(this.#requests[0] as SendWorkRequest);
      else this.#qp.postSendBatch(this.#requests);
      this.#underWay += batch;
      this.#left -= batch;
    }
    if (this.#left > 0 || this.#underWay > 0 || this.#saidFarewell) return;
    // An empty message tells the server, whose device has served the WRITEs and READs without it, to leave.
    this.#saidFarewell = true;
    this.#qp.postSend(this.#farewell);
  }
}

/** Takes messages and posts their receives again, in batches, until the farewell comes. */
export class StreamServer implements Workload {
  readonly #cq: CompletionQueue;
  readonly #qp: QueuePair;
  readonly #completions = createCompletions(POLL_BATCH);
  readonly #receives: ReceiveWorkRequest[];
  #taken = 0;
  #done = false;

  constructor({ recvCq, qp, buffer }: VerbsEnd, { postBatch }: VerbsConfig) {
    this.#cq = recvCq;
    this.#qp = qp;
    this.#receives = Array.from({ length: postBatch }, () => streamReceive(buffer));
  }

  advance(): boolean {
    for (;;) {
      const count = this.#cq.poll(this.#completions);
      if (count === 0) return this.#done;
      checkCompletions(this.#completions, count);
      for (let i = 0; i < count; i++) this.#take(this.#completions[i] as WorkCompletion);
    }
  }

  #take(completion: WorkCompletion): void {
    if (completion.opcode === WcOpcode.RECV && completion.byteLen === 0) this.#done = true;
    if (++this.#taken < this.#receives.length) return;
    this.#qp.postRecvBatch(this.#receives);
    this.#taken = 0;
  }
}
