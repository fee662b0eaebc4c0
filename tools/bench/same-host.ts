/**
 * Two processes of one host through memory (`io=shm`), beside what else they could use: UDP through the kernel, TCP, and
 * the shared memory of UCX. `--only same-host` runs all of them.
 */
import type { Benchmark, Goal, Subject } from './benchmark.js';
import { floorSubject, type SuiteContext, socketSubject, ucxSubject, verbsSubject } from './subjects.js';

const MIB = 1024 * 1024;
const SMALL_BYTES = 64;
const WARM_ROUND_TRIPS = 8000;
/** Through the event loop. Longer than the kernel leaves both ends on one processor, or a round would be of that alone: some 40 ms. */
const EVENTS_ROUND_TRIPS = 40_000;
const WARM_TRANSFERS = 4000;

/** The same subjects over devices that have memory between them. */
function throughMemory(context: SuiteContext): SuiteContext {
  const { server, client, memoryDevice: device } = context;
  return { ...context, server: { ...server, device }, client: { ...client, device } };
}

export const createSameHost = (context: SuiteContext): Benchmark[] => [
  roundTrip(context),
  bandwidth(context, 'write'),
  bandwidth(context, 'read'),
  bandwidth(context, 'send'),
  messageRate(context),
];

const extraOf = ({ dataPath }: SuiteContext): Pick<Subject, 'skipped'> =>
  dataPath.kind === 'native' ? {} : { skipped: dataPath.reason ?? 'it needs the native addon' };

function roundTrip(context: SuiteContext): Benchmark {
  const fast = { bytes: SMALL_BYTES, count: 100_000, batch: 100 };
  const slow = { bytes: SMALL_BYTES, count: EVENTS_ROUND_TRIPS, batch: 20, warmup: WARM_ROUND_TRIPS };
  const extra = extraOf(context);
  const memory = throughMemory(context);
  return {
    name: 'same-host-rtt',
    title: `round trip of ${SMALL_BYTES} bytes through memory: SEND there and back`,
    unit: 'µs',
    better: 'lower',
    ours: ['shm-poll', 'shm-promise'],
    subjects: [
      verbsSubject(memory, 'shm-poll', { workload: 'ping', progress: 'poll', ...fast }, extra),
      verbsSubject(memory, 'shm-promise', { workload: 'ping', progress: 'events', ...slow }, extra),
      verbsSubject(context, 'native-poll', { workload: 'ping', progress: 'poll', ...fast }, extra),
      verbsSubject(context, 'native-promise', { workload: 'ping', progress: 'events', ...slow }, extra),
      floorSubject(context, 'ping', fast),
      socketSubject(context, 'node-net', { workload: 'ping', ...slow }),
      ucxSubject(context, 'ping', fast, 'shm'),
    ],
    goals: [
      { subject: 'shm-poll', relation: '≤', factor: 0.7, other: 'udp-floor' },
      { subject: 'shm-promise', relation: '≤', factor: 0.5, other: 'node-net' },
    ],
  };
}

function bandwidth(context: SuiteContext, workload: 'write' | 'read' | 'send'): Benchmark {
  const bulk = { bytes: MIB, count: 2000, depth: 16 };
  const compiled = { ...bulk, warmup: WARM_TRANSFERS };
  const ours = { workload, progress: 'poll', ...compiled, depth: 8 } as const;
  const extra = extraOf(context);
  const goal: Goal = { subject: 'shm', relation: '≥', factor: 1.5, other: 'node-net' };
  return {
    name: `same-host-${workload}-bw`,
    title: `${workload.toUpperCase()} of 1 MiB messages through memory, one way`,
    unit: 'MB/s',
    better: 'higher',
    ours: ['shm'],
    subjects: [
      verbsSubject(throughMemory(context), 'shm', ours, extra),
      verbsSubject(context, 'native', ours, extra),
      socketSubject(context, 'node-net', { workload: workload === 'read' ? 'pull' : 'push', ...compiled }),
      ucxSubject(context, workload, bulk, 'shm'),
      floorSubject(context, 'flow', bulk),
    ],
    goals: [goal],
  };
}

function messageRate(context: SuiteContext): Benchmark {
  const many = { bytes: SMALL_BYTES, count: 512_000 };
  const ours = {
    workload: 'send',
    progress: 'poll',
    ...many,
    depth: 256,
    batch: 16,
    postBatch: 16,
  } as const;
  const extra = extraOf(context);
  return {
    name: 'same-host-rate',
    title: `messages of ${SMALL_BYTES} bytes through memory, one way, pipelined`,
    unit: 'messages/s',
    better: 'higher',
    ours: ['shm'],
    subjects: [
      verbsSubject(throughMemory(context), 'shm', ours, extra),
      verbsSubject(context, 'native', ours, extra),
      socketSubject(context, 'node-net', { workload: 'rate', ...many, depth: 1024, batch: 128 }),
      ucxSubject(context, 'rate', many, 'shm'),
    ],
    goals: [{ subject: 'shm', relation: '≥', factor: 2_000_000 }],
  };
}
