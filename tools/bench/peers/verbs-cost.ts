/**
 * An echo server that times its own steps for every message: poll the receive queue, process, post the send, poll the
 * send queue, post the receive. Polls that find nothing are in none of them, so the steps shift when work moves between
 * polls: beside them stands all processor time of the process (`whole`). The clock is read six times a message, and once for
 * a poll that finds nothing; what one reading costs is measured and taken off.
 */
import type { CompletionQueue } from '../../../src/verbs/completion-queue.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import type { QueuePair } from '../../../src/verbs/queue-pair.js';
import { createCompletions, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  WrOpcode,
} from '../../../src/verbs/work-request.js';
import type { PeerResult, VerbsConfig } from '../peer-protocol.js';
import { checkCompletions, type EndNeeds, type VerbsEnd } from './verbs-end.js';
import type { Workload } from './verbs-progress.js';

/** Receive and send slots: more than the client has under way, so that a slot's send is over when it comes again. */
const SLOTS = 64;
const CALIBRATION_READS = 200_000;
const MICROS_PER_MILLI = 1000;
const STEPS = ['poll-recv', 'process', 'post-send', 'poll-send', 'post-recv'] as const;

export const costNeeds = ({ bytes }: VerbsConfig): EndNeeds => ({
  bufferBytes: 2 * SLOTS * bytes,
  sends: 2 * SLOTS,
  receives: SLOTS,
  separateCqs: true,
});

export const costReceives = (buffer: MemoryRegion, bytes: number): ReceiveWorkRequest[] =>
  Array.from({ length: SLOTS }, (_, slot) => ({
    wrId: slot,
    sges: [{ mr: buffer, offset: slot * bytes, length: bytes }],
  }));

export class CostServer implements Workload {
  readonly #recvCq: CompletionQueue;
  readonly #sendCq: CompletionQueue;
  readonly #qp: QueuePair;
  readonly #received = createCompletions(1);
  readonly #sent = createCompletions(SLOTS);
  readonly #receives: readonly ReceiveWorkRequest[];
  readonly #sends: readonly SendWorkRequest[];
  readonly #incoming: readonly Uint8Array[];
  readonly #outgoing: readonly Uint8Array[];
  readonly #micros = new Float64Array(STEPS.length);
  readonly #config: VerbsConfig;
  #answered = 0;
  #acknowledged = 0;
  /** Polls that found nothing, since the messages count. */
  #emptyPolls = 0;
  #cpuSince = process.cpuUsage();
  #cpuMicros = 0;

  constructor({ recvCq, sendCq, qp, buffer }: VerbsEnd, config: VerbsConfig) {
    const { bytes } = config;
    this.#recvCq = recvCq;
    this.#sendCq = sendCq;
    this.#qp = qp;
    this.#config = config;
    this.#receives = costReceives(buffer, bytes);
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot * bytes);
    this.#incoming = slots.map((at) => buffer.bytes.subarray(at, at + bytes));
    const outgoing = slots.map((at) => SLOTS * bytes + at);
    this.#outgoing = outgoing.map((at) => buffer.bytes.subarray(at, at + bytes));
    this.#sends = outgoing.map((offset, slot) => ({
      wrId: slot,
      opcode: WrOpcode.SEND,
      flags: SendFlags.SIGNALED,
      sges: [{ mr: buffer, offset, length: bytes }],
    }));
  }

  advance(): boolean {
    const total = this.#config.warmup + this.#config.count;
    if (this.#answered < total) {
      while (this.#echoOne());
    } else {
      this.#takeSent();
    }
    return this.#acknowledged === total;
  }

  #echoOne(): boolean {
    const start = performance.now();
    if (this.#recvCq.poll(this.#received, 1) === 0) {
      this.#takeSent();
      if (this.#answered >= this.#config.warmup) this.#emptyPolls++;
      return false;
    }
    const polled = performance.now();
    checkCompletions(this.#received, 1);
    const slot = (this.#received[0] as WorkCompletion).wrId;
    (this.#outgoing[slot] as Uint8Array).set(this.#incoming[slot] as Uint8Array);
    const processed = performance.now();
    this.#qp.postSend(this.#sends[slot] as SendWorkRequest);
    const posted = performance.now();
    this.#takeSent();
    const polledSent = performance.now();
    this.#qp.postRecv(this.#receives[slot] as ReceiveWorkRequest);
    const end = performance.now();
    if (this.#answered++ >= this.#config.warmup) {
      const micros = this.#micros;
      micros[0] = (micros[0] as number) + (polled - start);
      micros[1] = (micros[1] as number) + (processed - polled);
      micros[2] = (micros[2] as number) + (posted - processed);
      micros[3] = (micros[3] as number) + (polledSent - posted);
      micros[4] = (micros[4] as number) + (end - polledSent);
    }
    this.#noteCpu();
    return true;
  }

  #takeSent(): void {
    const count = this.#sendCq.poll(this.#sent);
    checkCompletions(this.#sent, count);
    this.#acknowledged += count;
  }

  #noteCpu(): void {
    const { warmup, count } = this.#config;
    if (this.#answered === warmup) this.#cpuSince = process.cpuUsage();
    if (this.#answered !== warmup + count) return;
    const { user, system } = process.cpuUsage(this.#cpuSince);
    this.#cpuMicros = user + system;
  }

  /**
   * µs a message. When polling, the device works inside of these calls and their sum is the cost; `whole` has the polls that
   * found nothing as well, of which there are more the longer the client takes. When waiting for events, the device works
   * in the event loop: then the cost is `whole`, and what is not in these calls is the part `event-loop`.
   */
  result(): PeerResult {
    const clockMicros = clockCostMicros();
    const { count, progress } = this.#config;
    const parts: Record<string, number> = {};
    let sum = 0;
    for (const [i, step] of STEPS.entries()) {
      const mean = ((this.#micros[i] as number) * MICROS_PER_MILLI) / count;
      parts[step] = Math.max(0, mean - clockMicros);
      sum += parts[step];
    }
    const readings = STEPS.length + 1 + this.#emptyPolls / count;
    const whole = Math.max(0, this.#cpuMicros / count - readings * clockMicros);
    if (progress === 'poll') return { value: sum, parts: { ...parts, whole } };
    return { value: whole, parts: { ...parts, 'event-loop': Math.max(0, whole - sum), whole } };
  }
}

function clockCostMicros(): number {
  const start = performance.now();
  let last = start;
  for (let i = 0; i < CALIBRATION_READS; i++) last = performance.now();
  return ((last - start) * MICROS_PER_MILLI) / CALIBRATION_READS;
}
