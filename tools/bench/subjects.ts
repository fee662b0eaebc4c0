/** Makes subjects: pairs of our peers, and the tools of others. Everything about one machine is in the context. */
import { fileURLToPath } from 'node:url';
import type { Subject } from './benchmark.js';
import type { Command } from './child-group.js';
import type { DataPath } from './data-path.js';
import { libfabricMissing, runLibfabric } from './libfabric.js';
import { runPair } from './pair.js';
import type {
  ConnectConfig,
  DiskConfig,
  EchoConfig,
  HttpConfig,
  Load,
  PeerConfig,
  PeerResult,
  Role,
  SocketConfig,
  StreamConfig,
  TailConfig,
  VerbsConfig,
} from './peer-protocol.js';
import { runUcx, type UcxTest, type UcxTransport, ucxMissing } from './ucx.js';
import { type UdpFloor, udpFloorCommand } from './udp-floor.js';

export interface SuiteContext {
  /** Addresses and devices of the two sides; one machine has the same twice. */
  readonly server: { readonly host: string; readonly device: string };
  readonly client: { readonly host: string; readonly device: string };
  /** The name of a device that exchanges packets through memory. */
  readonly memoryDevice: string;
  /** Directory of development certificates. */
  readonly certificates: string;
  readonly dataPath: DataPath;
  readonly udpFloor: UdpFloor;
  /** Counts are divided by this. */
  readonly haste: number;
}

const DEADLINE_MILLIS = 20_000;
const UNKNOWN_LOAD = { depth: 1, batch: 1, warmup: 1 } as const;

type Sized = Partial<Load> & Pick<Load, 'bytes' | 'count'>;

/**
 * A quarter of the count comes first, or what the benchmark says, for compilers and caches to warm up. All are whole
 * batches, or the last batch would never be full.
 */
function loadOf(context: SuiteContext, sized: Sized): Load {
  const { batch } = { ...UNKNOWN_LOAD, ...sized };
  const whole = (count: number): number => Math.max(1, Math.round(count / batch)) * batch;
  const count = whole(sized.count / context.haste);
  return {
    ...UNKNOWN_LOAD,
    ...sized,
    count,
    warmup: whole((sized.warmup ?? sized.count / 4) / context.haste),
  };
}

type VerbsWork = Sized & Pick<VerbsConfig, 'workload' | 'progress'> & Partial<VerbsConfig>;

export function verbsSubject(
  context: SuiteContext,
  name: string,
  work: VerbsWork,
  extra: Pick<Subject, 'note' | 'skipped'> = {},
): Subject {
  const defaults = { postBatch: 1, mtu: 4096, icrc: true };
  const config = { ...defaults, ...work, ...loadOf(context, work) };
  return { name, ...extra, run: () => runPeers(context, 'verbs-peer', config) };
}

/** The value is the median of single round trips, where the client tells. */
export function tailSubject(context: SuiteContext, name: string, teller: Role, work: Sized): Subject {
  const defaults = { workload: 'ping', progress: 'poll', postBatch: 1, mtu: 4096, icrc: true } as const;
  const config = { ...defaults, ...loadOf(context, work), teller };
  return { name, run: () => runPeers<TailConfig>(context, 'tail-peer', config) };
}

export function socketSubject(
  context: SuiteContext,
  name: string,
  work: Sized & Pick<SocketConfig, 'workload'> & { readonly certificates?: string },
): Subject {
  return { name, run: () => runPeers(context, 'socket-peer', { ...work, ...loadOf(context, work) }) };
}

export function streamSubject(
  context: SuiteContext,
  name: string,
  work: Sized & Pick<StreamConfig, 'over' | 'isSealed'>,
  note?: string,
): Subject {
  const { certificates } = context;
  const { bytes, count, warmup } = loadOf(context, work);
  const config = { ...work, bytes, count, warmup, certificates };
  const run = () => runPeers<StreamConfig>(context, 'stream-peer', config);
  return { name, ...(note === undefined ? {} : { note }), run };
}

export function httpSubject(
  context: SuiteContext,
  name: string,
  work: Sized & Pick<HttpConfig, 'over'>,
  note?: string,
): Subject {
  const { certificates } = context;
  const config = { ...work, ...loadOf(context, work), certificates };
  const run = () => runPeers<HttpConfig>(context, 'http-peer', config);
  return { name, ...(note === undefined ? {} : { note }), run };
}

export function echoSubject(
  context: SuiteContext,
  name: string,
  work: Pick<EchoConfig, 'over' | 'bytes' | 'from' | 'to' | 'isWarmedUp'>,
  extra: Pick<Subject, 'note' | 'skipped'>,
  nodeFlags: readonly string[] = [],
): Subject {
  const { certificates } = context;
  const config = { ...work, certificates };
  return { name, ...extra, run: () => runPeers<EchoConfig>(context, 'echo-peer', config, nodeFlags) };
}

export function diskSubject(
  context: SuiteContext,
  name: string,
  work: Sized & Pick<DiskConfig, 'over'>,
  note?: string,
): Subject {
  const config = { ...work, ...loadOf(context, work) };
  const run = () => runPeers<DiskConfig>(context, 'disk-peer', config);
  return { name, ...(note === undefined ? {} : { note }), run };
}

export function dgramSubject(context: SuiteContext, work: Sized): Subject {
  return { name: 'node-dgram', run: () => runPeers(context, 'dgram-peer', loadOf(context, work)) };
}

export function connectSubject(
  context: SuiteContext,
  name: string,
  peer: 'connect-peer' | 'tls-connect-peer' | 'cm-connect-peer',
  count: number,
  warmup: number,
  extra: Pick<Subject, 'note'> & Pick<ConnectConfig, 'measure'> = {},
): Subject {
  const rounds = Math.max(2, Math.round(count / context.haste));
  const { measure, ...rest } = extra;
  const config = {
    ...{ count: rounds, warmup, certificates: context.certificates },
    ...(measure === undefined ? {} : { measure }),
  };
  return { name, ...rest, run: () => runPeers<ConnectConfig>(context, peer, config) };
}

export function floorSubject(context: SuiteContext, workload: 'ping' | 'flow', work: Sized): Subject {
  const { udpFloor, server, client } = context;
  const name = 'udp-floor';
  const notes = workload === 'ping' ? 'C, spinning' : 'C, spinning, segmented and coalesced by the kernel';
  if ('missing' in udpFloor) return { name, skipped: udpFloor.missing, run: never };
  const load = loadOf(context, work);
  const command = (role: 'server' | 'client', host: string): Command =>
    udpFloorCommand(udpFloor.program, role, workload, host, load, DEADLINE_MILLIS);
  return {
    name,
    note: notes,
    run: () => runPair(command('server', server.host), command('client', client.host), DEADLINE_MILLIS),
  };
}

export function ucxSubject(
  context: SuiteContext,
  test: UcxTest,
  work: Sized,
  transport: UcxTransport = 'tcp',
): Subject {
  const missing = ucxMissing();
  const load = loadOf(context, work);
  return {
    name: `ucx-${transport}`,
    ...(missing === undefined ? {} : { skipped: missing }),
    run: () => runUcx(test, load, context.server.host, DEADLINE_MILLIS, transport),
  };
}

export function libfabricSubject(context: SuiteContext, test: 'ping' | 'flow', work: Sized): Subject {
  const missing = libfabricMissing();
  const load = loadOf(context, work);
  return {
    name: 'libfabric-tcp',
    note: test === 'ping' ? 'mean: it reports no median' : 'one message under way at a time',
    ...(missing === undefined ? {} : { skipped: missing }),
    run: () => runLibfabric(test, load, context.server.host, DEADLINE_MILLIS),
  };
}

function runPeers<Config extends PeerConfig>(
  context: SuiteContext,
  peer: string,
  config: Omit<Config, keyof PeerConfig | 'device'>,
  nodeFlags: readonly string[] = [],
): Promise<PeerResult> {
  const path = fileURLToPath(new URL(`./peers/${peer}.js`, import.meta.url));
  const command = (role: 'server' | 'client'): Command => {
    const side = { role, ...context[role], deadlineMillis: DEADLINE_MILLIS };
    return { file: process.execPath, args: [...nodeFlags, path, JSON.stringify({ ...config, ...side })] };
  };
  return runPair(command('server'), command('client'), DEADLINE_MILLIS);
}

const never = (): Promise<PeerResult> => Promise.reject(new Error('this subject is skipped'));
