/** What a program may choose for a target, checked before anything is opened. */
import type { Device } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import {
  checkEach,
  checkOptions,
  filled,
  integer,
  isPlain,
  nameOf,
  type Rule,
  type Rules,
} from '../../verbs/option-check.js';
import { measureFault, type NvmeBackend } from '../backend.js';
import { DISCOVERY_NQN } from '../wire/opcodes.js';
import { isNqn } from '../wire/text.js';
import { LIMITS, type TargetLimits } from './limits.js';

export interface NvmeSubsystemOptions {
  /** Number 1 comes first. */
  readonly namespaces: readonly NvmeBackend[];
  /** NQNs of the hosts that may come. Default: every host, which proves its name to nobody (docs/nvme.md). */
  readonly allowedHosts?: readonly string[];
}

export interface ServeNvmeOptions {
  readonly device: Device;
  /** An address of the device. Default, as 0.0.0.0 and :: are: all of them. */
  readonly host?: string;
  /** Of rdma_cm. Default 4420; 0: the device chooses. */
  readonly port?: number;
  /** By name (NQN): `nqn.2026-01.org.example:disk`. */
  readonly subsystems: Readonly<Record<string, NvmeSubsystemOptions>>;
  /** Entries of an I/O queue at most. Default 128. */
  readonly queueEntries?: number;
  /** I/O queues of one host at most. Default 16. */
  readonly ioQueues?: number;
  /** Hosts at a time, each with a controller. Default 64. */
  readonly controllers?: number;
  /** Queues of all hosts together. Default 256. */
  readonly queues?: number;
}

const object: Rule = (value) => (isPlain(value) ? undefined : 'an object');

const RULES: Rules<ServeNvmeOptions> = {
  device: (value) => (isPlain(value) && 'connectionManager' in value ? undefined : 'an open device'),
  host: filled,
  port: integer(0, 65_535),
  subsystems: object,
  queueEntries: integer(2, 1024),
  ioQueues: integer(1, 256),
  controllers: integer(1, 4096),
  queues: integer(2, 65_536),
};

const SUBSYSTEM_RULES: Rules<NvmeSubsystemOptions> = {
  namespaces: (value) => (Array.isArray(value) ? undefined : 'an array of backends'),
  allowedHosts: (value) =>
    Array.isArray(value) && value.every((name) => typeof name === 'string' && isNqn(name))
      ? undefined
      : 'an array of NQNs',
};

const MAX_NAMESPACES = 1024;
const METHODS = ['read', 'write', 'flush'] as const;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT with the option's name and what it must be. */
export function checkServe(options: unknown): asserts options is ServeNvmeOptions {
  checkOptions('serveNvme', options, RULES);
  if (options['device'] === undefined) throw usageError('serveNvme needs device: an open device');
  const { subsystems } = options;
  if (!isPlain(subsystems) || Object.keys(subsystems).length === 0) {
    throw usageError('serveNvme needs subsystems: an object with at least one NQN and its namespaces');
  }
  for (const [nqn, subsystem] of Object.entries(subsystems)) checkSubsystem(nqn, subsystem);
}

function checkSubsystem(nqn: string, subsystem: unknown): void {
  const where = `subsystems['${nqn.slice(0, 60)}']`;
  if (!isNqn(nqn) || nqn === DISCOVERY_NQN) {
    throw usageError(`${where} must be named by an NQN, such as nqn.2026-01.org.example:disk`);
  }
  if (!isPlain(subsystem)) throw usageError(`${where} must be an object, not ${nameOf(subsystem)}`);
  checkEach(subsystem, SUBSYSTEM_RULES, `${where}.`);
  const { namespaces } = subsystem;
  if (!Array.isArray(namespaces) || namespaces.length === 0 || namespaces.length > MAX_NAMESPACES) {
    throw usageError(`${where}.namespaces must be an array of 1 to ${MAX_NAMESPACES} backends`);
  }
  for (const [i, backend] of (namespaces as unknown[]).entries())
    checkBackend(`${where}.namespaces[${i}]`, backend);
}

function checkBackend(where: string, backend: unknown): void {
  if (typeof backend !== 'object' || backend === null) {
    throw usageError(`${where} must be a backend, not ${nameOf(backend)}: see memoryBackend and fileBackend`);
  }
  const candidate = backend as Partial<NvmeBackend>;
  for (const method of METHODS) {
    if (typeof candidate[method] !== 'function') throw usageError(`${where}.${method} must be a function`);
  }
  const { sizeBytes = Number.NaN, blockBytes = Number.NaN } = candidate;
  const fault = measureFault({ sizeBytes, blockBytes });
  if (fault !== undefined) throw usageError(`${where}.${fault}`);
}

export const limitsOf = (options: ServeNvmeOptions): TargetLimits => ({
  queueEntries: options.queueEntries ?? LIMITS.queueEntries,
  ioQueues: options.ioQueues ?? LIMITS.ioQueues,
  controllers: options.controllers ?? LIMITS.controllers,
  queues: options.queues ?? LIMITS.queues,
});
