/** What IDENTIFY answers: pages of 4096 bytes, little endian, zero but for what is written here. */
import { NVME_VERSION } from './opcodes.js';
import { NQN_FIELD_BYTES, writePaddedText, writeText } from './text.js';

export const IDENTIFY_BYTES = 4096;
/** Blocks are counted from 0 in dwords of this many entries. */
const MAX_LISTED_NAMESPACES = 1024;

/** Bits of what a controller offers beyond the necessary. */
export const OptionalCommand = { DATASET_MANAGEMENT: 1 << 2, WRITE_ZEROES: 1 << 3 } as const;

/** SGLs, keyed ones, and offsets for data in capsules. */
const SGL_SUPPORT = 0x00100005;
/** The effects log, and offsets into longer pages. */
const LOG_PAGE_ATTRIBUTES = 0x06;
const SQ_ENTRY_SIZE = 0x66;
const CQ_ENTRY_SIZE = 0x44;
const CAPSULE_UNIT_BYTES = 16;
const CONTROLLER_TYPE_IO = 1;
const CONTROLLER_TYPE_DISCOVERY = 2;
/** 128 bits of host ID, and "traffic restarts the keep-alive timer" (TBKAS). */
const CONTROLLER_ATTRIBUTES = 0x41;

export interface ControllerIdentity {
  readonly serialNumber: string;
  readonly model: string;
  readonly firmware: string;
  readonly controllerId: number;
  readonly subsystemNqn: string;
  readonly isDiscovery: boolean;
  /** log2 of the largest transfer in pages of 4 KiB. */
  readonly maxTransferShift: number;
  /** Events that it may hold, less 1. */
  readonly asyncEventLimit: number;
  /** Unit of the keep-alive timer: 100 ms each. */
  readonly keepAliveUnits: number;
  readonly maxCommands: number;
  /** The highest number of a namespace. */
  readonly namespaces: number;
  /** Of {@link OptionalCommand}. */
  readonly optionalCommands: number;
  /** Behind the 64 bytes of a command. */
  readonly inCapsuleBytes: number;
}

export function writeIdentifyController(page: Uint8Array, identity: ControllerIdentity): void {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  const { isDiscovery } = identity;
  writePaddedText(page, 4, 20, identity.serialNumber);
  writePaddedText(page, 24, 40, identity.model);
  writePaddedText(page, 64, 8, identity.firmware);
  view.setUint8(77, identity.maxTransferShift);
  view.setUint16(78, identity.controllerId, true);
  view.setUint32(80, NVME_VERSION, true);
  view.setUint32(96, CONTROLLER_ATTRIBUTES, true);
  view.setUint8(111, isDiscovery ? CONTROLLER_TYPE_DISCOVERY : CONTROLLER_TYPE_IO);
  view.setUint8(259, identity.asyncEventLimit);
  view.setUint8(261, LOG_PAGE_ATTRIBUTES);
  view.setUint16(320, identity.keepAliveUnits, true);
  view.setUint8(512, SQ_ENTRY_SIZE);
  view.setUint8(513, CQ_ENTRY_SIZE);
  view.setUint16(514, identity.maxCommands, true);
  view.setUint32(516, identity.namespaces, true);
  view.setUint16(520, identity.optionalCommands, true);
  view.setUint8(525, isDiscovery ? 0 : 1);
  view.setUint32(536, SGL_SUPPORT, true);
  writeText(page, 768, NQN_FIELD_BYTES, identity.subsystemNqn);
  view.setUint32(1792, (64 + identity.inCapsuleBytes) / CAPSULE_UNIT_BYTES, true);
  view.setUint32(1796, 1, true);
  view.setUint8(1803, 1);
}

export interface NamespaceIdentity {
  readonly blocks: number;
  readonly blockBytes: number;
  /** Freed blocks read as zeros, and the space is really given back. */
  readonly isThin: boolean;
  /** 16 bytes that name the namespace in the whole world. */
  readonly uuid: Uint8Array;
}

export function writeIdentifyNamespace(
  page: Uint8Array,
  { blocks, blockBytes, isThin, uuid }: NamespaceIdentity,
): void {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  for (const at of [0, 8, 16]) {
    view.setUint32(at, blocks >>> 0, true);
    view.setUint32(at + 4, Math.floor(blocks / 0x1_0000_0000), true);
  }
  view.setUint8(24, isThin ? 1 : 0);
  view.setUint8(30, 1);
  page.set(uuid, 104);
  view.setUint8(130, 31 - Math.clz32(blockBytes));
}

/** The numbers of namespaces above `after`, ascending. */
export function writeNamespaceList(page: Uint8Array, count: number, after: number): void {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  for (let i = 0; i < MAX_LISTED_NAMESPACES && after + 1 + i <= count; i++) {
    view.setUint32(4 * i, after + 1 + i, true);
  }
}

const DESCRIPTOR_UUID = 3;

/** Its UUID, by which a host knows it again. */
export function writeNamespaceDescriptors(page: Uint8Array, uuid: Uint8Array): void {
  page[0] = DESCRIPTOR_UUID;
  page[1] = uuid.length;
  page.set(uuid, 4);
}
