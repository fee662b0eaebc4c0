/** What a program may choose as a host, checked before anything is opened. */
import { randomUUID } from 'node:crypto';
import type { Device } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import {
  atLeastOne,
  checkOptions,
  filled,
  inside,
  integer,
  isPlain,
  MAX_MILLIS,
  type Rule,
  type Rules,
  signal,
  truth,
} from '../../verbs/option-check.js';
import { isNqn } from '../wire/text.js';
import type { ReconnectPolicy } from './reconnect-machine.js';

export interface DiscoverNvmeOptions {
  readonly device: Device;
  /** An address or a name of the target. */
  readonly host: string;
  /** Of rdma_cm. Default 4420. */
  readonly port?: number;
  /** UDP port of the target's device. Default 4791; others only towards soft devices that share a host. */
  readonly udpPort?: number;
  /** The name of this host. Default: one that is made anew each time. */
  readonly hostNqn?: string;
  /** A UUID. Default: one that is made anew each time. */
  readonly hostId?: string;
  /** For every step of the connecting, and for every command that is no read or write. Default 10 000. */
  readonly timeoutMillis?: number;
  /** Gives up the connecting. */
  readonly signal?: AbortSignal;
}

export interface ConnectNvmeOptions extends DiscoverNvmeOptions {
  /** The subsystem. */
  readonly nqn: string;
  /** I/O queues. Default 1; the target may grant fewer. */
  readonly queues?: number;
  /** Entries of an I/O queue: commands under way and one more. Default 32; the target may offer fewer. */
  readonly queueEntries?: number;
  /** Bytes that one command moves; larger reads and writes become several. Default 131 072. */
  readonly chunkBytes?: number;
  /** The target forgets a host that is silent for so long. Default 5000; 0: never. */
  readonly keepAliveMillis?: number;
  /** How long `close` waits until the target has made durable what was written. Default 5000. */
  readonly shutdownMillis?: number;
  /** What happens when the controller is lost. Default false: it ends. */
  readonly reconnect?: boolean | NvmeReconnectOptions;
}

export interface NvmeReconnectOptions {
  /** How long after a loss it is tried. Default 600 000, as Linux does. */
  readonly withinMillis?: number;
  /** How often after a loss. Default: as often as time allows. */
  readonly attempts?: number;
  /**
   * Before the first attempt; doubles with each that fails, up to `maxDelayMillis`. Default 1000. Targets that do not wait at Connect for
   * what is left of the former controller need as long as their keep-alive timer.
   */
  readonly delayMillis?: number;
  /** Default 10 000. */
  readonly maxDelayMillis?: number;
  /**
   * Writes that were under way when the controller was lost are sent again. Default false: they reject with ERR_RDMA_OUTCOME_UNKNOWN. For
   * programs that nobody else writes beside: another host's write that came between would be undone.
   */
  readonly repeatWrites?: boolean;
  /** Once it aborts, no more attempts: a loss is the end. */
  readonly signal?: AbortSignal;
}

const nqn: Rule = (value) =>
  typeof value === 'string' && isNqn(value) ? undefined : 'an NQN, such as nqn.2026-01.org.example:disk';
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

const DISCOVER: Rules<DiscoverNvmeOptions> = {
  device: (value) => (isPlain(value) && 'connectionManager' in value ? undefined : 'an open device'),
  host: filled,
  port: integer(1, 65_535),
  udpPort: integer(1, 65_535),
  hostNqn: nqn,
  hostId: (value) => (typeof value === 'string' && UUID.test(value) ? undefined : 'a UUID'),
  timeoutMillis: integer(1, MAX_MILLIS),
  signal,
};

const MIN_CHUNK_BYTES = 4096;
const MAX_CHUNK_BYTES = 1 << 20;

const RECONNECT: Rules<NvmeReconnectOptions> = {
  withinMillis: integer(1, MAX_MILLIS),
  attempts: atLeastOne,
  delayMillis: integer(0, MAX_MILLIS),
  maxDelayMillis: integer(1, MAX_MILLIS),
  repeatWrites: truth,
  signal,
};
const reconnectObject = inside(RECONNECT, 'reconnect');

const CONNECT: Rules<ConnectNvmeOptions> = {
  ...DISCOVER,
  nqn,
  queues: integer(1, 64),
  queueEntries: integer(2, 1024),
  chunkBytes: (value) =>
    Number.isInteger(value) &&
    (value as number) % MIN_CHUNK_BYTES === 0 &&
    (value as number) > 0 &&
    (value as number) <= MAX_CHUNK_BYTES
      ? undefined
      : `a multiple of ${MIN_CHUNK_BYTES} up to ${MAX_CHUNK_BYTES}`,
  keepAliveMillis: integer(0, MAX_MILLIS),
  shutdownMillis: integer(1, MAX_MILLIS),
  reconnect: (value) => (typeof value === 'boolean' ? undefined : reconnectObject(value)),
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkDiscover(options: unknown): asserts options is DiscoverNvmeOptions {
  checkOptions('discoverNvme', options, DISCOVER);
  checkNeeded('discoverNvme', options, ['device', 'host']);
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkConnect(options: unknown): asserts options is ConnectNvmeOptions {
  checkOptions('connectNvme', options, CONNECT);
  checkNeeded('connectNvme', options, ['device', 'host', 'nqn']);
}

function checkNeeded(
  what: string,
  options: Readonly<Record<string, unknown>>,
  names: readonly string[],
): void {
  for (const name of names) if (options[name] === undefined) throw usageError(`${what} needs ${name}`);
}

const WITHIN_MILLIS = 600_000;
const DELAY_MILLIS = 1000;
const MAX_DELAY_MILLIS = 10_000;

export function policyOf(reconnect: ConnectNvmeOptions['reconnect'] = false): ReconnectPolicy {
  const { withinMillis = WITHIN_MILLIS, attempts = Number.POSITIVE_INFINITY } = reconnectOf(reconnect) ?? {};
  const { delayMillis = DELAY_MILLIS, maxDelayMillis = MAX_DELAY_MILLIS } = reconnectOf(reconnect) ?? {};
  return { withinMillis: reconnect === false ? 0 : withinMillis, attempts, delayMillis, maxDelayMillis };
}

/** What a program has chosen of it. */
export const reconnectOf = (reconnect: ConnectNvmeOptions['reconnect']): NvmeReconnectOptions | undefined =>
  typeof reconnect === 'object' ? reconnect : undefined;

/** Who this host says that it is. */
export interface HostIdentity {
  readonly nqn: string;
  readonly id: Uint8Array;
}

export function identityOf({ hostNqn, hostId = randomUUID() }: DiscoverNvmeOptions): HostIdentity {
  return {
    nqn: hostNqn ?? `nqn.2014-08.org.nvmexpress:uuid:${hostId}`,
    id: new Uint8Array(Buffer.from(hostId.replaceAll('-', ''), 'hex')),
  };
}
