/** What is served: subsystems by name, each with its namespaces and the hosts that may come. */
import { createHash } from 'node:crypto';
import { fillsReads, type NvmeBackend } from '../backend.js';
import { OptionalCommand } from '../wire/identify.js';
import { DISCOVERY_NQN, IoOpcode } from '../wire/opcodes.js';

export interface Namespace {
  readonly backend: NvmeBackend;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly uuid: Uint8Array;
  /** Whether a read that succeeds has surely filled all that was asked for. */
  readonly fillsReads: boolean;
}

export interface Subsystem {
  readonly nqn: string;
  readonly isDiscovery: boolean;
  readonly serialNumber: string;
  /** Number 1 comes first. */
  readonly namespaces: readonly Namespace[];
  /** `null`: every host. */
  readonly allowedHosts: ReadonlySet<string> | null;
  readonly optionalCommands: number;
  readonly ioOpcodes: readonly number[];
}

const UUID_BYTES = 16;
const SERIAL_DIGITS = 20;

/** Names that stay the same when the program is started again, so that hosts find their namespace there. */
const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** As RFC 9562 marks one whose content its maker chooses (version 8). */
function uuidOf(text: string): Uint8Array {
  const uuid = new Uint8Array(digestOf(text).subarray(0, UUID_BYTES));
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}

export function makeSubsystem(
  nqn: string,
  backends: readonly NvmeBackend[],
  allowedHosts: readonly string[] | undefined,
): Subsystem {
  const namespaces = backends.map(
    (backend, i): Namespace => ({
      backend,
      blocks: backend.sizeBytes / backend.blockBytes,
      blockBytes: backend.blockBytes,
      uuid: uuidOf(`${nqn}/${i + 1}`),
      fillsReads: fillsReads(backend),
    }),
  );
  const canZero = backends.every((backend) => backend.writeZeroes !== undefined);
  const canTrim = backends.every((backend) => backend.trim !== undefined);
  return {
    nqn,
    isDiscovery: false,
    serialNumber: digestOf(nqn).toString('hex').slice(0, SERIAL_DIGITS),
    namespaces,
    allowedHosts: allowedHosts === undefined ? null : new Set(allowedHosts),
    optionalCommands:
      OptionalCommand.COMPARE |
      (canZero ? OptionalCommand.WRITE_ZEROES : 0) |
      (canTrim ? OptionalCommand.DATASET_MANAGEMENT : 0),
    ioOpcodes: [
      ...[IoOpcode.FLUSH, IoOpcode.WRITE, IoOpcode.READ, IoOpcode.COMPARE],
      ...(canZero ? [IoOpcode.WRITE_ZEROES] : []),
      ...(canTrim ? [IoOpcode.DATASET_MANAGEMENT] : []),
    ],
  };
}

export const DISCOVERY_SUBSYSTEM: Subsystem = {
  nqn: DISCOVERY_NQN,
  isDiscovery: true,
  serialNumber: 'discovery',
  namespaces: [],
  allowedHosts: null,
  optionalCommands: 0,
  ioOpcodes: [],
};

export const isAllowed = ({ allowedHosts }: Subsystem, hostNqn: string): boolean =>
  allowedHosts === null || allowedHosts.has(hostNqn);
