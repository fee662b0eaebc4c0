/** What the two ends do in a measurement: the client acts and measures, the server answers where it must. */
import { randomFillSync } from 'node:crypto';
import { RdmaError } from '../../verbs/errors.js';
import { WcOpcode, type WorkCompletion } from '../../verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../verbs/work-request.js';
import { type BenchEnd, RECEIVES } from './bench-end.js';
import { type BenchPlan, CONTROL_BYTES, isLatency, readPlan, writePlan } from './bench-plan.js';
import { DurationSample } from './distribution.js';

export interface Measured {
  /** Of each operation; only for latencies. */
  readonly durations: DurationSample;
  /** Of all operations that count, from the first post to the last completion. */
  readonly seconds: number;
}

/** Told now and then; must be cheap. */
export type OnProgress = (done: number) => void;

const REPORT_EVERY = 64;
const isReceive = ({ opcode }: WorkCompletion): boolean => opcode === WcOpcode.RECV;

/** Serves one client until it ends. Returns what it wanted. */
export async function serveBench(end: BenchEnd): Promise<BenchPlan> {
  const plan = await receivePlan(end);
  const { size, total, test } = plan;
  const receive = { wrId: 0, sges: [{ mr: end.mr, offset: CONTROL_BYTES, length: size }] };
  const isSend = test.startsWith('send');
  const ahead = Math.min(total, RECEIVES - 1);
  if (isSend) for (let i = 0; i < ahead; i++) end.qp.postRecv(receive);
  sendControl(end, new Uint8Array(1));
  const answer = operation(end, size, WrOpcode.SEND);
  let received = 0;
  let pending = 1;
  const take = (completion: WorkCompletion): void => {
    if (!isReceive(completion)) {
      pending--;
      return;
    }
    received++;
    if (received + ahead <= total) end.qp.postRecv(receive);
    if (test !== 'send-rtt') return;
    pending++;
    end.qp.postSend(answer);
  };
  // A client that has its last echo goes, and need not stay to acknowledge it.
  await end.until(() => (isSend ? received === total : pending === 0), take);
  return plan;
}

/** Carries the measurement out; `warmup` operations of `plan.total` come before those that count. */
export async function runBench(
  end: BenchEnd,
  plan: BenchPlan,
  warmup: number,
  onProgress: OnProgress,
): Promise<Measured> {
  await announce(end, plan);
  if (!plan.test.startsWith('send')) await checkMemory(end, plan.size);
  if (isLatency(plan.test)) return measureLatency(end, plan, warmup, onProgress);
  return measureBandwidth(end, plan, warmup, onProgress);
}

async function announce(end: BenchEnd, plan: BenchPlan): Promise<void> {
  let open = 2;
  sendControl(end, writePlan(plan));
  await end.until(
    () => open === 0,
    () => open--,
  );
}

async function receivePlan(end: BenchEnd): Promise<BenchPlan> {
  let length: number | undefined;
  await end.until(
    () => length !== undefined,
    ({ byteLen }) => {
      length = byteLen;
    },
  );
  return readPlan(end.mr.bytes.subarray(0, length));
}

/** Sent from the end of the region: the front is where the other side's word comes in. */
function sendControl(end: BenchEnd, bytes: Uint8Array): void {
  const offset = end.mr.length - CONTROL_BYTES;
  end.mr.bytes.set(bytes, offset);
  const sges = [{ mr: end.mr, offset, length: bytes.length }];
  end.qp.postSend({ wrId: 0, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
}

function operation(end: BenchEnd, size: number, opcode: SendWorkRequest['opcode']): SendWorkRequest {
  const sges = [{ mr: end.mr, offset: CONTROL_BYTES, length: size }];
  const local = { wrId: 0, opcode, flags: SendFlags.SIGNALED, sges };
  return opcode === WrOpcode.SEND ? local : { ...local, ...end.remoteData };
}

function operationOf(end: BenchEnd, { test, size }: BenchPlan): SendWorkRequest {
  if (test.startsWith('send')) return operation(end, size, WrOpcode.SEND);
  return operation(end, size, test.startsWith('write') ? WrOpcode.RDMA_WRITE : WrOpcode.RDMA_READ);
}

/** Numbers about data that did not arrive are worth nothing: there and back once, with random bytes. */
async function checkMemory(end: BenchEnd, size: number): Promise<void> {
  const data = end.data(size);
  randomFillSync(data);
  const sent = Buffer.from(data);
  for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ] as const) {
    let done = false;
    if (opcode === WrOpcode.RDMA_READ) data.fill(0);
    end.qp.postSend(operation(end, size, opcode));
    await end.until(
      () => done,
      () => {
        done = true;
      },
    );
  }
  if (!sent.equals(data)) {
    throw new RdmaError(
      'ERR_RDMA_PROTOCOL',
      `${size} bytes that were written and read back came back changed`,
    );
  }
}

/** One operation at a time. */
async function measureLatency(
  end: BenchEnd,
  plan: BenchPlan,
  warmup: number,
  onProgress: OnProgress,
): Promise<Measured> {
  const { total, size, test } = plan;
  const request = operationOf(end, plan);
  const receive = { wrId: 0, sges: [{ mr: end.mr, offset: CONTROL_BYTES, length: size }] };
  const hasEcho = test === 'send-rtt';
  const durations = new DurationSample();
  let startedAt = 0;
  let open = 0;
  const isDone = (): boolean => open === 0;
  const take = (): void => {
    open--;
  };
  for (let i = 0; i < total; i++) {
    const at = performance.now();
    if (i === warmup) startedAt = at;
    open = 1;
    if (hasEcho) {
      open = 2;
      end.qp.postRecv(receive);
    }
    end.qp.postSend(request);
    await end.until(isDone, take);
    if (i >= warmup) durations.add(performance.now() - at);
    if (i % REPORT_EVERY === 0) onProgress(i);
  }
  return { durations, seconds: (performance.now() - startedAt) / 1000 };
}

/** As many at a time as the plan says. */
async function measureBandwidth(
  end: BenchEnd,
  plan: BenchPlan,
  warmup: number,
  onProgress: OnProgress,
): Promise<Measured> {
  const { total, depth } = plan;
  const request = operationOf(end, plan);
  let posted = 0;
  let done = 0;
  let startedAt = 0;
  const post = (): void => {
    while (posted < total && posted - done < depth) {
      posted++;
      end.qp.postSend(request);
    }
  };
  const take = (): void => {
    done++;
    if (done === warmup) startedAt = performance.now();
    if (done % REPORT_EVERY === 0) onProgress(done);
  };
  if (warmup === 0) startedAt = performance.now();
  await end.until(() => {
    post();
    return done === total;
  }, take);
  return { durations: new DurationSample(), seconds: (performance.now() - startedAt) / 1000 };
}
