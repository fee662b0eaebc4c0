/**
 * The benchmarks. Counts are chosen so that a round of one subject takes about half a second on a machine where a
 * loopback round trip takes 5 µs from C and 60 µs from node:net.
 */
import { tierUpFlag } from '../../src/cli/tier-up.js';
import type { Benchmark, Goal, Subject } from './benchmark.js';
import type { EchoConfig } from './peer-protocol.js';
import { createSameHost } from './same-host.js';
import {
  connectSubject,
  dgramSubject,
  diskSubject,
  echoSubject,
  floorSubject,
  httpSubject,
  libfabricSubject,
  type SuiteContext,
  socketSubject,
  streamSubject,
  tailSubject,
  ucxSubject,
  verbsSubject,
} from './subjects.js';

const MIB = 1024 * 1024;
const SMALL_BYTES = 64;
/**
 * Until then V8 compiles on the processors that the two sides need; docs/performance.md has figures of that. Programs
 * in C need less.
 */
const WARM_ROUND_TRIPS = 8000;
/** Through the event loop. Longer than the kernel leaves both ends on one processor, or a round would be of that alone: some 40 ms. */
const EVENTS_ROUND_TRIPS = 40_000;
/** Until it compiles no more than now and then: what makes the 99th percentile of a program that has run for a while. */
const LATE_POLLED_ROUND_TRIPS = 250_000;
const LATE_ROUND_TRIPS = 40_000;
const WARM_TRANSFERS = 4000;
const WARM_MESSAGES = 100_000;
const WARM_CONNECTS = 100;
const WARM_CM_CONNECTS = 400;

export const createSuite = (context: SuiteContext): Benchmark[] => [
  roundTrip(context, 'send-rtt', SMALL_BYTES),
  roundTrip(context, 'send-rtt-4k', 4096),
  tail(context),
  bandwidth(context, 'write-bw', 'write'),
  bandwidth(context, 'read-bw', 'read'),
  bandwidth(context, 'send-bw', 'send'),
  streamBandwidth(context),
  cold(context),
  http(context, 'stream-http-64', SMALL_BYTES, { count: 4000, batch: 20, warmup: 8000 }),
  http(context, 'stream-http-1m', MIB, { count: 400, batch: 4, warmup: 800 }),
  messageRate(context),
  serverCost(context),
  connecting(context),
  connectRate(context),
  disk(context, 'nvme-4k', 4096, 1, { count: 4000, warmup: WARM_ROUND_TRIPS }),
  disk(context, 'nvme-4k-deep', 4096, 32, { count: 20_000, warmup: WARM_ROUND_TRIPS }),
  disk(context, 'nvme-1m', MIB, 4, { count: 400, warmup: 200 }),
  wireCost(context),
  ...createSameHost(context),
];

function roundTrip(context: SuiteContext, name: string, bytes: number): Benchmark {
  const fast = { bytes, count: 100_000, batch: 100 };
  const slow = { bytes, count: EVENTS_ROUND_TRIPS, batch: 20, warmup: WARM_ROUND_TRIPS };
  const fastLate = { ...fast, warmup: LATE_POLLED_ROUND_TRIPS };
  const slowLate = { ...slow, warmup: LATE_ROUND_TRIPS };
  const { dataPath, certificates } = context;
  const pollSkipped = dataPath.kind === 'native' ? {} : { skipped: dataPath.reason ?? 'it cannot be polled' };
  const tcpPeers = ['node-net', 'node-tls', 'ucx-tcp', 'libfabric-tcp'];
  return {
    name,
    title: `round trip of ${bytes} bytes: SEND there and back`,
    unit: 'µs',
    better: 'lower',
    ours: ['queuepair-poll', 'queuepair-promise', 'queuepair-poll-late', 'queuepair-promise-late'],
    subjects: [
      verbsSubject(context, 'queuepair-poll', { workload: 'ping', progress: 'poll', ...fast }, pollSkipped),
      verbsSubject(context, 'queuepair-promise', { workload: 'ping', progress: 'events', ...slow }),
      verbsSubject(
        context,
        'queuepair-poll-late',
        { workload: 'ping', progress: 'poll', ...fastLate },
        pollSkipped,
      ),
      verbsSubject(context, 'queuepair-promise-late', { workload: 'ping', progress: 'events', ...slowLate }),
      floorSubject(context, 'ping', fast),
      socketSubject(context, 'node-net', { workload: 'ping', ...slow }),
      socketSubject(context, 'node-net-late', { workload: 'ping', ...slowLate }),
      dgramSubject(context, slow),
      socketSubject(context, 'node-tls', { workload: 'ping', ...slow, certificates }),
      ucxSubject(context, 'ping', fast),
      libfabricSubject(context, 'ping', { ...fast, count: 50_000 }),
    ],
    goals: [
      {
        subject: 'queuepair-poll',
        relation: '≤',
        factor: bytes === SMALL_BYTES ? 1.7 : 1.5,
        other: 'udp-floor',
      },
      { subject: 'queuepair-poll', of: 'p99', relation: '≤', factor: 2.5, other: 'udp-floor' },
      { subject: 'queuepair-poll-late', of: 'p99', relation: '≤', factor: 2.5, other: 'udp-floor' },
      ...tcpPeers.map((other): Goal => ({ subject: 'queuepair-poll', relation: '≤', factor: 1, other })),
      { subject: 'queuepair-promise', relation: '≤', factor: 0.5, other: 'node-net' },
      { subject: 'queuepair-promise', of: 'p99', relation: '≤', factor: 1, other: 'node-net' },
      { subject: 'queuepair-promise-late', of: 'p99', relation: '≤', factor: 1, other: 'node-net-late' },
    ],
  };
}

/** Single round trips, not batches of them, and what held up the loops of client and server meanwhile. */
function tail(context: SuiteContext): Benchmark {
  const load = { bytes: SMALL_BYTES, count: 200_000, batch: 1 };
  const late = { ...load, warmup: 400_000 };
  const { dataPath } = context;
  const skipped = dataPath.kind === 'native' ? {} : { skipped: dataPath.reason ?? 'it cannot be polled' };
  return {
    name: 'tail',
    title: `round trips of ${SMALL_BYTES} bytes, polled, and µs that each side was held up a thousand of them`,
    unit: 'µs',
    better: 'lower',
    ours: ['client'],
    subjects: [
      { ...tailSubject(context, 'client', 'client', load), ...skipped },
      { ...tailSubject(context, 'server', 'server', load), ...skipped },
      { ...tailSubject(context, 'client-late', 'client', late), ...skipped },
      { ...tailSubject(context, 'server-late', 'server', late), ...skipped },
      floorSubject(context, 'ping', load),
    ],
    goals: [],
  };
}

function bandwidth(context: SuiteContext, name: string, workload: 'write' | 'read' | 'send'): Benchmark {
  const bulk = { bytes: MIB, count: 2000, depth: 16 };
  const compiled = { ...bulk, warmup: WARM_TRANSFERS };
  return {
    name,
    title: `${workload.toUpperCase()} of 1 MiB messages, one way, ICRC on`,
    unit: 'MB/s',
    better: 'higher',
    ours: ['queuepair'],
    subjects: [
      verbsSubject(context, 'queuepair', { workload, ...oursOf(context, { ...compiled, depth: 8 }, 100) }),
      socketSubject(context, 'node-net', { workload: workload === 'read' ? 'pull' : 'push', ...compiled }),
      ucxSubject(context, workload, bulk),
      libfabricSubject(context, 'flow', { ...bulk, count: 1000 }),
      floorSubject(context, 'flow', bulk),
    ],
    goals: [
      { subject: 'queuepair', relation: '≥', factor: 0.8, other: 'udp-floor' },
      ...['node-net', 'ucx-tcp', 'libfabric-tcp'].map(
        (other): Goal => ({ subject: 'queuepair', relation: '≥', factor: 1, other }),
      ),
    ],
  };
}

function streamBandwidth(context: SuiteContext): Benchmark {
  const chunks = { bytes: 64 * 1024, count: 6000, warmup: 6000 };
  return {
    name: 'stream-bw',
    title: 'a stream of 64 KiB chunks, one way, with the drain of each',
    unit: 'MB/s',
    better: 'higher',
    ours: ['queuepair', 'queuepair-sealed'],
    subjects: [
      streamSubject(context, 'queuepair', { over: 'connection', ...chunks }),
      streamSubject(context, 'queuepair-sealed', { over: 'connection', isSealed: true, ...chunks }),
      streamSubject(context, 'node-net', { over: 'net', ...chunks }),
      streamSubject(context, 'node-tls', { over: 'tls', ...chunks }),
    ],
    goals: [{ subject: 'queuepair', relation: '≥', factor: 1, other: 'node-tls' }],
  };
}

/** Of the messages of a process: those that are measured. */
type Span = Pick<EchoConfig, 'bytes' | 'from' | 'to' | 'isWarmedUp'>;

/** The code of a fresh process runs in V8's interpreter first, and is compiled on the processors that both sides need. */
function cold(context: SuiteContext): Benchmark {
  const fresh: Span = { bytes: SMALL_BYTES, from: 200, to: 1500 };
  const first: Span = { ...fresh, from: 0, to: fresh.from };
  const noteOf = ({ from, to }: Span): string => `messages ${from} to ${to}`;
  const subject = (name: string, over: 'connection' | 'net' | 'tls', part: Span): Subject =>
    echoSubject(context, name, { over, ...part }, { note: noteOf(part) });
  const flag = tierUpFlag(process.versions.node);
  const early = flag === undefined ? { skipped: 'V8 compiles soon by itself here' } : { note: flag };
  return {
    name: 'cold',
    title: `messages of ${SMALL_BYTES} bytes, echoed and awaited one by one, in fresh processes`,
    unit: 'µs',
    better: 'lower',
    ours: ['queuepair', 'queuepair-early', 'queuepair-warmed-up'],
    subjects: [
      subject('queuepair', 'connection', fresh),
      echoSubject(
        context,
        'queuepair-early',
        { over: 'connection', ...fresh },
        early,
        flag === undefined ? [] : [flag],
      ),
      subject('queuepair-first', 'connection', first),
      subject('queuepair-warmed-up', 'connection', { ...fresh, isWarmedUp: true }),
      subject('queuepair-warmed-up-first', 'connection', { ...first, isWarmedUp: true }),
      subject('queuepair-warm', 'connection', {
        ...fresh,
        from: WARM_ROUND_TRIPS,
        to: WARM_ROUND_TRIPS + fresh.to,
      }),
      subject('node-net', 'net', fresh),
      subject('node-tls', 'tls', fresh),
    ],
    goals: [
      { subject: 'queuepair', relation: '≤', factor: 2, other: 'queuepair-warm' },
      { subject: 'queuepair-early', relation: '≤', factor: 2, other: 'queuepair-warm' },
    ],
  };
}

function http(
  context: SuiteContext,
  name: string,
  bytes: number,
  load: { readonly count: number; readonly batch: number; readonly warmup: number },
): Benchmark {
  const work = { bytes, ...load };
  return {
    name,
    title: `HTTP over a socket that is kept: GET, and an answer of ${bytes} bytes`,
    unit: 'µs',
    better: 'lower',
    ours: ['queuepair-net', 'queuepair-net-sealed'],
    subjects: [
      httpSubject(context, 'queuepair-net', { over: 'queuepair', ...work }),
      httpSubject(context, 'queuepair-net-sealed', { over: 'queuepair-sealed', ...work }),
      httpSubject(context, 'node-net', { over: 'net', ...work }),
      httpSubject(context, 'node-tls', { over: 'tls', ...work }),
      httpSubject(context, 'unix', { over: 'unix', ...work }),
    ],
    goals: [{ subject: 'queuepair-net', relation: '≤', factor: 1, other: 'node-tls' }],
  };
}

function messageRate(context: SuiteContext): Benchmark {
  const many = { bytes: SMALL_BYTES, count: 512_000 };
  const ours = oursOf(context, { ...many, depth: 256, batch: 16 }, 20_480);
  return {
    name: 'msg-rate',
    title: 'messages of 64 bytes, one way, pipelined',
    unit: 'messages/s',
    better: 'higher',
    ours: ['queuepair'],
    subjects: [
      verbsSubject(context, 'queuepair', { workload: 'send', postBatch: 16, ...ours }),
      socketSubject(context, 'node-net', { workload: 'rate', ...many, depth: 1024, batch: 128 }),
      ucxSubject(context, 'rate', many),
    ],
    goals: [{ subject: 'queuepair', of: 'worst', relation: '≥', factor: 1_000_000 }],
  };
}

function serverCost(context: SuiteContext): Benchmark {
  const echo = oursOf(
    context,
    { bytes: SMALL_BYTES, count: 100_000, depth: 8, batch: 8, warmup: WARM_MESSAGES },
    8000,
  );
  const note =
    context.dataPath.kind === 'native'
      ? 'sum of the steps, the device working inside of them'
      : 'all processor time of the process, most of it in the event loop';
  return {
    name: 'server-cost',
    title: 'what one message of 64 bytes costs the echo server',
    unit: 'µs',
    better: 'lower',
    ours: ['queuepair'],
    subjects: [verbsSubject(context, 'queuepair', { workload: 'cost', ...echo }, { note })],
    goals: [{ subject: 'queuepair', relation: '≤', factor: 2.5 }],
  };
}

function connecting(context: SuiteContext): Benchmark {
  return {
    name: 'connect',
    title: 'a cold connection until both sides are ready; certificates on both sides, nothing resumed',
    unit: 'ms',
    better: 'lower',
    ours: ['queuepair'],
    subjects: [
      connectSubject(context, 'queuepair', 'connect-peer', 40, WARM_CONNECTS),
      connectSubject(context, 'bare-tls', 'tls-connect-peer', 40, WARM_CONNECTS),
    ],
    goals: [{ subject: 'queuepair', relation: '≤', factor: 2, other: 'bare-tls' }],
  };
}

function connectRate(context: SuiteContext): Benchmark {
  const measure = 'rate';
  return {
    name: 'cm-connect',
    title: 'connections a second, each opened and closed before the next: rdma_cm, and a session',
    unit: 'connections/s',
    better: 'higher',
    ours: ['rdma-cm'],
    subjects: [
      connectSubject(context, 'rdma-cm', 'cm-connect-peer', 400, WARM_CM_CONNECTS, {
        note: 'nobody is authenticated, PSNs in the clear',
      }),
      connectSubject(context, 'session', 'connect-peer', 40, WARM_CONNECTS, {
        measure,
        note: 'TLS 1.3, certificates on both sides, the path proven',
      }),
    ],
    goals: [],
  };
}

function disk(
  context: SuiteContext,
  name: string,
  bytes: number,
  depth: number,
  counts: { readonly count: number; readonly warmup: number },
): Benchmark {
  const isBulk = bytes >= MIB;
  const work = { bytes, depth, ...counts };
  return {
    name,
    title: `reads of ${isBulk ? '1 MiB' : '4 KiB'} of a disk in memory, ${depth} at a time`,
    unit: isBulk ? 'MB/s' : 'reads/s',
    better: 'higher',
    ours: ['queuepair-nvme'],
    subjects: [
      diskSubject(context, 'queuepair-nvme', { over: 'nvme', ...work }, 'our host on our target'),
      diskSubject(context, 'node-net', { over: 'net', ...work }, 'a plain block server, 16 bytes a request'),
    ],
    goals: [],
  };
}

function wireCost(context: SuiteContext): Benchmark {
  const native = context.dataPath.kind === 'native';
  const subjects: Subject[] = [];
  for (const port of ['native', 'dgram'] as const) {
    for (const icrc of [true, false]) {
      for (const mtu of [4096, 1024]) {
        const name = `${port}-icrc-${icrc ? 'on' : 'off'}-${mtu}`;
        const isPolled = port === 'native';
        const load = isPolled ? { count: 1000, warmup: WARM_TRANSFERS } : { count: 60 };
        const progress = isPolled ? 'poll' : 'events';
        const reason = native ? 'it always computes the ICRC' : (context.dataPath.reason ?? 'no native port');
        const skipped = isPolled && !(native && icrc) ? { skipped: reason } : {};
        subjects.push(
          verbsSubject(
            context,
            name,
            { workload: 'write', bytes: MIB, depth: 8, progress, mtu, icrc, port, ...load },
            skipped,
          ),
        );
      }
    }
  }
  return {
    name: 'wire-cost',
    title: 'WRITE of 1 MiB messages by UDP port, ICRC and path MTU',
    unit: 'MB/s',
    better: 'higher',
    ours: ['native-icrc-on-4096', 'dgram-icrc-on-4096'],
    subjects,
    goals: [],
  };
}

/** Polls where that is possible. Over node:dgram it waits for events, and does fewer messages in the same time. */
function oursOf<Work extends { readonly count: number }>(
  { dataPath }: SuiteContext,
  work: Work,
  dgramCount: number,
): Work & { readonly progress: 'poll' | 'events' } {
  if (dataPath.kind === 'native') return { ...work, progress: 'poll' };
  return { ...work, count: dgramCount, warmup: Math.ceil(dgramCount / 4), progress: 'events' };
}
