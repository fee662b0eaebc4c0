/**
 * `npm run verbs-cost [-- --json]`: what posting and polling cost from JavaScript over the same calls from C. Both sides
 * use a device that does nothing (no-op-verbs.c), so that the difference is the price of the language boundary. Each
 * number is the best of ten runs of a million calls, in CPU time.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { toRKey } from '../../src/verbs/brands.js';
import { createCompletions } from '../../src/verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../src/verbs/work-request.js';
import { compileNoOp } from './no-op-library.js';

const ROUNDS = 1_000_000;
const SLEEPS = 100_000;
const REPEATS = 10;
/** A request that completes only when the program sleeps. */
const LATE = 777;

/** CPU time of this process: other load on the machine does not count. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

interface Cost {
  /** Nanoseconds of one signaled WRITE posted and its completion polled. */
  readonly postAndPoll: number;
  /** Nanoseconds of a poll that finds nothing. */
  readonly emptyPoll: number;
  /** Nanoseconds of one signaled WRITE posted, and of the sleep until its completion wakes. */
  readonly sleep: number;
}

function fromC(folder: string): Cost {
  const program = join(folder, 'from-c');
  const problem = compileNoOp(program, 'program');
  if (problem !== undefined) throw new Error(problem);
  const { stdout } = spawnSync(program, { encoding: 'utf8' });
  const [postAndPoll = Number.NaN, emptyPoll = Number.NaN, sleep = Number.NaN] = stdout
    .split(' ')
    .map(Number);
  return { postAndPoll, emptyPoll, sleep };
}

async function fromJavaScript(folder: string): Promise<Cost> {
  const library = join(folder, 'libnoop.so');
  const problem = compileNoOp(library, 'library');
  if (problem !== undefined) throw new Error(problem);
  process.env['QUEUEPAIR_LIBIBVERBS'] = library;
  const device = await openDevice('noop0');
  const capacity = { maxSendSge: 1, maxRecvSge: 1 };
  const endpoint = await openEndpoint(device, { capacity, cqCapacity: 16, memory: 64, rdAtomic: 1 });
  const { qp, sendCq: cq, memory: mr } = endpoint;
  await endpoint.connect(endpoint.address);
  const request = {
    wrId: 1,
    opcode: WrOpcode.RDMA_WRITE,
    flags: SendFlags.SIGNALED,
    sges: [{ mr, offset: 0, length: 64 }],
    remoteAddr: 4096,
    rkey: toRKey(7),
  };
  const completions = createCompletions(16);
  let postAndPoll = Number.POSITIVE_INFINITY;
  let emptyPoll = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const start = cpuMicros();
    for (let i = 0; i < ROUNDS; i++) {
      request.wrId = i & 255;
      request.remoteAddr = 4096 + i;
      qp.postSend(request);
      cq.poll(completions);
    }
    const middle = cpuMicros();
    for (let i = 0; i < ROUNDS; i++) cq.poll(completions);
    postAndPoll = Math.min(postAndPoll, ((middle - start) * 1000) / ROUNDS);
    emptyPoll = Math.min(emptyPoll, ((cpuMicros() - middle) * 1000) / ROUNDS);
  }
  const sleep = await sleeping(endpoint, { ...request, wrId: LATE });
  await endpoint.close();
  await device.close();
  return { postAndPoll, emptyPoll, sleep };
}

async function sleeping(endpoint: Endpoint, request: SendWorkRequest): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  let taken = 0;
  let wanted = 0;
  const isThere = (): boolean => taken >= wanted;
  const take = (): void => void taken++;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const start = cpuMicros();
    for (let i = 0; i < SLEEPS; i++) {
      wanted++;
      endpoint.qp.postSend(request);
      const waiting = endpoint.until(isThere, take);
      if (waiting !== undefined) await waiting;
    }
    best = Math.min(best, ((cpuMicros() - start) * 1000) / SLEEPS);
  }
  return best;
}

const folder = mkdtempSync(join(tmpdir(), 'queuepair-verbs-cost-'));
try {
  const c = fromC(folder);
  const js = await fromJavaScript(folder);
  const rows = [
    ['post and poll', c.postAndPoll, js.postAndPoll, 2],
    ['empty poll', c.emptyPoll, js.emptyPoll, 1],
    ['sleep', c.sleep, js.sleep, 1],
  ] as const;
  for (const [name, fromCNanos, fromJsNanos, calls] of rows) {
    const overPerCall = (fromJsNanos - fromCNanos) / calls;
    if (process.argv.includes('--json')) {
      process.stdout.write(`${JSON.stringify({ name, unit: 'ns', fromCNanos, fromJsNanos, overPerCall })}\n`);
    } else {
      process.stdout.write(
        `${name.padEnd(14)} C ${fromCNanos.toFixed(1)} ns, JavaScript ${fromJsNanos.toFixed(1)} ns: ` +
          `${overPerCall.toFixed(1)} ns more a call\n`,
      );
    }
  }
} catch (error) {
  process.stderr.write(`verbs-cost: ${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}
