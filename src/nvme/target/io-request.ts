/**
 * Checks a command of an I/O queue and says what it asks for, in bytes of one namespace.
 *
 * Invariants: a request that passed lies within its namespace and within the largest transfer; nothing is allocated.
 */
import type { Command } from '../wire/command.js';
import { SGL_FLAGS } from '../wire/command.js';
import { IoOpcode } from '../wire/opcodes.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import { deviceDataStatus, hostDataStatus } from './data-place.js';
import { LIMITS } from './limits.js';
import type { Namespace, Subsystem } from './subsystem.js';

const TWO_32 = 0x1_0000_0000;
const FORCE_UNIT_ACCESS = 1 << 30;
const DEALLOCATE = 1 << 2;
export const TRIM_RANGE_BYTES = 16;
const ALL_NAMESPACES = 0xffff_ffff;

/** Filled anew by {@link checkIo}. */
export class IoRequest {
  opcode = 0;
  /** `null`: a flush of all of them. */
  namespace: Namespace | null = null;
  offsetBytes = 0;
  /** Of the data, or of the part to fill with zeros. */
  lengthBytes = 0;
  isDurable = false;
  isTrim = false;
  /** A comparison has found other bytes. */
  isDifferent = false;
  /** Once the host's ranges are here. */
  trimRanges: readonly TrimRange[] = [];
}

/** The status with which it is refused, or SUCCESS. `inCapsule`: bytes behind the command. */
export function checkIo(command: Command, inCapsule: number, subsystem: Subsystem, into: IoRequest): number {
  if (command.flags !== SGL_FLAGS) return Status.INVALID_FIELD | DO_NOT_RETRY;
  if (!subsystem.ioOpcodes.includes(command.opcode)) return Status.INVALID_OPCODE | DO_NOT_RETRY;
  into.opcode = command.opcode;
  into.isTrim = false;
  into.isDifferent = false;
  into.lengthBytes = 0;
  if (command.opcode === IoOpcode.FLUSH && command.nsid === ALL_NAMESPACES) {
    into.namespace = null;
    return Status.SUCCESS;
  }
  const namespace = subsystem.namespaces[command.nsid - 1];
  if (namespace === undefined) return Status.INVALID_NAMESPACE | DO_NOT_RETRY;
  into.namespace = namespace;
  const status = checkFields(command, inCapsule, namespace, into);
  return status === Status.SUCCESS ? status : status | DO_NOT_RETRY;
}

function checkFields(command: Command, inCapsule: number, namespace: Namespace, into: IoRequest): number {
  switch (command.opcode) {
    case IoOpcode.READ: {
      const status = checkBlocks(command, namespace, into);
      return status === Status.SUCCESS ? dataStatus(into, hostDataStatus(command, into.lengthBytes)) : status;
    }
    case IoOpcode.WRITE:
    case IoOpcode.COMPARE: {
      const status = checkBlocks(command, namespace, into);
      if (status !== Status.SUCCESS) return status;
      if (command.sgl.length !== into.lengthBytes) return Status.SGL_DATA_LENGTH_INVALID;
      return dataStatus(into, deviceDataStatus(command, into.lengthBytes, inCapsule));
    }
    case IoOpcode.WRITE_ZEROES:
      return checkBlocks(command, namespace, into);
    case IoOpcode.DATASET_MANAGEMENT:
      // Other attributes are hints, which nobody has to heed: their ranges are not even fetched.
      into.isTrim = (command.cdw11 & DEALLOCATE) !== 0;
      into.lengthBytes = into.isTrim ? ((command.cdw10 & 0xff) + 1) * TRIM_RANGE_BYTES : 0;
      return deviceDataStatus(command, into.lengthBytes, inCapsule);
    default:
      return Status.SUCCESS;
  }
}

const dataStatus = ({ lengthBytes }: IoRequest, place: number): number =>
  place === Status.SUCCESS && lengthBytes > LIMITS.maxTransferBytes ? Status.INVALID_FIELD : place;

function checkBlocks(
  { cdw10, cdw11, cdw12 }: Command,
  { blocks, blockBytes }: Namespace,
  into: IoRequest,
): number {
  const first = cdw11 * TWO_32 + cdw10;
  const count = (cdw12 & 0xffff) + 1;
  if (first >= blocks || count > blocks - first) return Status.LBA_OUT_OF_RANGE;
  into.offsetBytes = first * blockBytes;
  into.lengthBytes = count * blockBytes;
  into.isDurable = (cdw12 & FORCE_UNIT_ACCESS) !== 0;
  return Status.SUCCESS;
}

/** Part of a namespace, in bytes. */
export interface TrimRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The ranges of a trim, each block once, or `undefined` where one of them leaves the namespace. */
export function readTrimRanges(data: Uint8Array, { blocks, blockBytes }: Namespace): TrimRange[] | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const ranges: TrimRange[] = [];
  for (let at = 0; at + TRIM_RANGE_BYTES <= data.length; at += TRIM_RANGE_BYTES) {
    const count = view.getUint32(at + 4, true);
    const first = view.getUint32(at + 12, true) * TWO_32 + view.getUint32(at + 8, true);
    if (first > blocks || count > blocks - first) return undefined;
    if (count > 0) ranges.push({ offsetBytes: first * blockBytes, lengthBytes: count * blockBytes });
  }
  return merged(ranges);
}

/** However often a host names a block, it is cleared once: 256 ranges may each be the whole namespace. */
function merged(ranges: readonly TrimRange[]): TrimRange[] {
  const result: TrimRange[] = [];
  for (const range of ranges.toSorted((one, other) => one.offsetBytes - other.offsetBytes)) {
    const last = result.at(-1);
    if (last === undefined || range.offsetBytes > last.offsetBytes + last.lengthBytes) {
      result.push(range);
      continue;
    }
    const end = Math.max(last.offsetBytes + last.lengthBytes, range.offsetBytes + range.lengthBytes);
    result[result.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes: end - last.offsetBytes };
  }
  return result;
}
