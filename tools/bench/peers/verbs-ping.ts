/** Echo by SEND and RECV: a client that keeps `depth` messages under way, and the server that answers each. */
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
import type { RoundTripRecorder } from './recorders.js';
import { checkCompletions, type EndNeeds, type VerbsEnd } from './verbs-end.js';
import type { Workload } from './verbs-progress.js';

/** Every so many sends are signaled: their completions give the slots of the ones before back. */
const SIGNAL_EVERY = 16;
const POLL_BATCH = 16;

export const pingNeeds = ({ bytes, depth }: VerbsConfig): EndNeeds => ({
  bufferBytes: 2 * bytes,
  sends: depth + 4 * SIGNAL_EVERY,
  receives: 2 * depth + 2,
  separateCqs: false,
});

/** Sends come from the first half of the buffer, receives go to the second. */
export const pingReceive = (buffer: MemoryRegion, bytes: number): ReceiveWorkRequest => ({
  wrId: 0,
  sges: [{ mr: buffer, offset: bytes, length: bytes }],
});

abstract class PingSide implements Workload {
  readonly #cq: CompletionQueue;
  readonly #qp: QueuePair;
  readonly #completions = createCompletions(POLL_BATCH);
  readonly #receive: ReceiveWorkRequest;
  readonly #quiet: SendWorkRequest;
  readonly #signaled: SendWorkRequest;
  readonly #depth: number;
  #sent = 0;
  #acknowledged = 0;
  #messages = 0;
  #finished = false;
  /** Receives that were used and not posted again. */
  #owed = 0;

  constructor({ recvCq, qp, buffer }: VerbsEnd, { bytes, depth }: VerbsConfig) {
    this.#depth = depth;
    this.#cq = recvCq;
    this.#qp = qp;
    this.#receive = pingReceive(buffer, bytes);
    this.#quiet = {
      wrId: 0,
      opcode: WrOpcode.SEND,
      flags: 0,
      sges: [{ mr: buffer, offset: 0, length: bytes }],
    };
    this.#signaled = { ...this.#quiet, flags: SendFlags.SIGNALED };
  }

  advance(): boolean {
    for (;;) {
      const count = this.#cq.poll(this.#completions);
      if (count === 0) {
        // The answers are on their way: now what could wait for that.
        this.#refill();
        return this.#finished && this.#acknowledged === this.#sent;
      }
      checkCompletions(this.#completions, count);
      for (let i = 0; i < count; i++) this.#take(this.#completions[i] as WorkCompletion);
    }
  }

  /** That have come. */
  get messages(): number {
    return this.#messages;
  }

  /** The last request is signaled too, so that this side leaves only after the other one has it. */
  protected send(isLast: boolean): void {
    this.#sent++;
    this.#qp.postSend(isLast || this.#sent % SIGNAL_EVERY === 0 ? this.#signaled : this.#quiet);
  }

  /** A message came. Returns whether it was the last. */
  protected abstract onMessage(): boolean;

  #refill(): void {
    for (; this.#owed > 0; this.#owed--) this.#qp.postRecv(this.#receive);
  }

  #take(completion: WorkCompletion): void {
    if (completion.opcode !== WcOpcode.RECV) {
      const rest = this.#sent - this.#acknowledged;
      this.#acknowledged += Math.min(rest, SIGNAL_EVERY);
      return;
    }
    this.#messages++;
    this.#finished = this.onMessage();
    if (++this.#owed > this.#depth) this.#refill();
  }
}

export class PingClient extends PingSide {
  readonly #recorder: RoundTripRecorder;
  #started: number;

  constructor(end: VerbsEnd, config: VerbsConfig, recorder: RoundTripRecorder) {
    super(end, config);
    this.#recorder = recorder;
    this.#started = Math.min(config.depth, recorder.total);
    for (let i = 1; i <= this.#started; i++) this.send(i === recorder.total);
  }

  protected override onMessage(): boolean {
    const { total } = this.#recorder;
    if (this.#started < total) this.send(++this.#started === total);
    return this.#recorder.tick();
  }
}

export class PingServer extends PingSide {
  readonly #total: number;
  #answered = 0;

  constructor(end: VerbsEnd, config: VerbsConfig) {
    super(end, config);
    this.#total = config.warmup + config.count;
  }

  protected override onMessage(): boolean {
    const isLast = ++this.#answered === this.#total;
    this.send(isLast);
    return isLast;
  }
}
