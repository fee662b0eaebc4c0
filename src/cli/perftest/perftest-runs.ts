/** The measurements themselves, in the order of the stock tools: each end does what the other one waits for. */

import { performance } from 'node:perf_hooks';
import { WcOpcode, type WorkCompletion } from '../../verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../verbs/work-request.js';
import type { PerftestEnd } from './perftest-end.js';
import type { PerftestRecord } from './perftest-wire.js';

/** Milliseconds on the clock of `performance.now()`. */
export interface Timeline {
  /** When each operation was posted; of latencies only. */
  readonly posted: Float64Array;
  readonly start: number;
  readonly end: number;
}

const { RECV } = WcOpcode;

/** Completions between two signaled sends, as the stock tools have it. */
const SIGNALED_EVERY = 100;
const RECEIVE = 1;
const SEND = 2;

/** Posts the receives that the peer's sends need; before the ends tell each other that they are ready. */
export class Receives {
  readonly #end: PerftestEnd;
  readonly #wanted: number;
  readonly #request: { readonly wrId: number; readonly sges: NonNullable<SendWorkRequest['sges']> };
  readonly #depth: number;
  #posted = 0;
  taken = 0;

  constructor(end: PerftestEnd, wanted: number) {
    this.#end = end;
    this.#wanted = wanted;
    const { sizeBytes, receiveDepth } = end.options;
    this.#request = { wrId: RECEIVE, sges: [{ mr: end.mr, offset: end.inbox, length: sizeBytes }] };
    this.#depth = receiveDepth;
    this.refill();
  }

  take(): void {
    this.taken++;
    this.refill();
  }

  /** Posts as many as were taken. */
  refill(): void {
    const posted = Math.min(this.#wanted, this.taken + this.#depth);
    while (this.#posted < posted) this.#post();
  }

  #post(): void {
    this.#end.qp.postRecv(this.#request);
    this.#posted++;
  }
}

/** A message each way, again and again; the client begins. */
export async function sendLatency(
  end: PerftestEnd,
  iterations: number,
  isServer: boolean,
  receives: Receives,
): Promise<Timeline> {
  const posted = new Float64Array(iterations);
  const request = signaled(sendRequest(end));
  let sends = 0;
  let wantedReceives = 0;
  let wantedSends = 0;
  const take = ({ opcode }: WorkCompletion): void => {
    if (opcode === RECV) receives.taken++;
    else sends++;
  };
  let waiting: Promise<void> | undefined;
  const isThere = (): boolean => receives.taken >= wantedReceives && sends >= wantedSends;
  // A function of its own, because V8 leaves the loop of an asynchronous function to its interpreter.
  const send = (i: number): void => {
    end.qp.postSend(request);
    // While the message is under way: what needs not be done before it is not.
    posted[i] = performance.now();
    receives.refill();
    wantedSends = i + 1;
  };
  for (let i = 0; i < iterations; i++) {
    if (isServer) {
      wantedReceives = i + 1;
      waiting = end.until(isThere, take);
      if (waiting !== undefined) await waiting;
    }
    send(i);
    if (isServer) continue;
    wantedReceives = i + 1;
    waiting = end.until(isThere, take);
    if (waiting !== undefined) await waiting;
  }
  waiting = end.until(isThere, take);
  if (waiting !== undefined) await waiting;
  return { posted, start: posted[0] ?? 0, end: performance.now() };
}

/** READs one after the other. */
export async function readLatency(
  end: PerftestEnd,
  iterations: number,
  remote: PerftestRecord,
): Promise<Timeline> {
  const posted = new Float64Array(iterations);
  const request: SendWorkRequest = { ...signaled(remoteRequest(end, remote)), opcode: WrOpcode.RDMA_READ };
  let done = 0;
  let wanted = 0;
  const take = (): void => void done++;
  let waiting: Promise<void> | undefined;
  const isThere = (): boolean => done >= wanted;
  for (let i = 0; i < iterations; i++) {
    posted[i] = performance.now();
    end.qp.postSend(request);
    wanted = i + 1;
    waiting = end.until(isThere, take);
    if (waiting !== undefined) await waiting;
  }
  return { posted, start: posted[0] ?? 0, end: performance.now() };
}

/** As many under way as the queue holds: SENDs, or with a `remote` WRITEs to its memory. */
export async function pushBandwidth(
  end: PerftestEnd,
  iterations: number,
  remote: PerftestRecord | undefined,
): Promise<Timeline> {
  const { sendDepth } = end.options;
  const signaledEvery = Math.min(SIGNALED_EVERY, sendDepth);
  const request = remote === undefined ? sendRequest(end) : remoteRequest(end, remote);
  const signaledRequest = signaled(request);
  let posted = 0;
  let done = 0;
  const take = (): void => {
    done = Math.min(done + signaledEvery, iterations);
  };
  const advance = (): boolean => {
    while (posted < iterations && posted - done < sendDepth) {
      posted++;
      const isMarked = posted % signaledEvery === 0 || posted === iterations;
      end.qp.postSend(isMarked ? signaledRequest : request);
    }
    return done === iterations;
  };
  const start = performance.now();
  await end.until(advance, take);
  return { posted: new Float64Array(), start, end: performance.now() };
}

/** The server of SENDs: from the first message to the last. */
export async function takeBandwidth(
  end: PerftestEnd,
  iterations: number,
  receives: Receives,
): Promise<Timeline> {
  let start = 0;
  const take = (): void => {
    if (receives.taken === 0) start = performance.now();
    receives.take();
  };
  await end.until(() => receives.taken >= iterations, take);
  return { posted: new Float64Array(), start, end: performance.now() };
}

const sendRequest = (end: PerftestEnd): SendWorkRequest => ({
  wrId: SEND,
  opcode: WrOpcode.SEND,
  sges: [{ mr: end.mr, offset: 0, length: end.options.sizeBytes }],
});

const remoteRequest = (end: PerftestEnd, { vaddr, rkey }: PerftestRecord): SendWorkRequest => ({
  ...sendRequest(end),
  opcode: WrOpcode.RDMA_WRITE,
  remoteAddr: Number(vaddr),
  rkey,
});

const signaled = (request: SendWorkRequest): SendWorkRequest => ({ ...request, flags: SendFlags.SIGNALED });
