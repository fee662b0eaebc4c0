/** What IDENTIFY answers: pages of 4096 bytes, little endian, zero but for what is written here. */
import { ERROR_ENTRIES } from './log-pages.js';
import { NVME_VERSION } from './opcodes.js';
import { NQN_FIELD_BYTES, writePaddedText, writeText } from './text.js';

export const IDENTIFY_BYTES = 4096;
/** What one page has room for. */
const MAX_LISTED_NAMESPACES = 1024;

/** Bits of what a controller offers beyond the necessary. */
export const OptionalCommand = { COMPARE: 1 << 0, DATASET_MANAGEMENT: 1 << 2, WRITE_ZEROES: 1 << 3 } as const;

/** SGLs, keyed ones, and offsets for data in capsules. */
const SGL_SUPPORT = 0x00100005;
/** The effects log, and offsets into longer pages. */
const LOG_PAGE_ATTRIBUTES = 0x06;
const SQ_ENTRY_SIZE = 0x66;
const CQ_ENTRY_SIZE = 0x44;
const CAPSULE_UNIT_BYTES = 16;
/** A subsystem has a controller for every host. */
const SEVERAL_CONTROLLERS = 1 << 1;
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
  view.setUint8(76, isDiscovery ? 0 : SEVERAL_CONTROLLERS);
  view.setUint8(77, identity.maxTransferShift);
  view.setUint16(78, identity.controllerId, true);
  view.setUint32(80, NVME_VERSION, true);
  view.setUint32(96, CONTROLLER_ATTRIBUTES, true);
  view.setUint8(111, isDiscovery ? CONTROLLER_TYPE_DISCOVERY : CONTROLLER_TYPE_IO);
  view.setUint8(259, identity.asyncEventLimit);
  view.setUint8(261, LOG_PAGE_ATTRIBUTES);
  view.setUint8(262, ERROR_ENTRIES - 1);
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

/** What a host reads of a controller. */
export interface ControllerPage {
  readonly serialNumber: string;
  readonly model: string;
  readonly firmware: string;
  readonly controllerId: number;
  /** Bytes of one command at most; 0: no bound. */
  readonly maxTransferBytes: number;
  readonly optionalCommands: number;
  readonly hasKeyedSgls: boolean;
  readonly inCapsuleBytes: number;
  readonly isInCapsuleOffsetZero: boolean;
}

const KEYED_SGLS = 1 << 2;
const PAGE_BYTES = 4096;

export function readIdentifyController(page: Uint8Array): ControllerPage {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  const text = (at: number, length: number): string => {
    const codes = page.subarray(at, at + length).filter((code) => code >= 0x20 && code < 0x7f);
    return String.fromCharCode(...codes).trimEnd();
  };
  const shift = view.getUint8(77);
  const capsule = view.getUint32(1792, true) * CAPSULE_UNIT_BYTES;
  return {
    serialNumber: text(4, 20),
    model: text(24, 40),
    firmware: text(64, 8),
    controllerId: view.getUint16(78, true),
    maxTransferBytes: shift === 0 || shift > 20 ? 0 : PAGE_BYTES * 2 ** shift,
    optionalCommands: view.getUint16(520, true),
    hasKeyedSgls: (view.getUint32(536, true) & KEYED_SGLS) !== 0,
    inCapsuleBytes: Math.max(0, capsule - 64),
    isInCapsuleOffsetZero: view.getUint16(1800, true) === 0,
  };
}

/** What a host reads of a namespace. */
export interface NamespacePage {
  readonly blocks: number;
  readonly blockBytes: number;
  /** NGUID and EUI64, in hexadecimal digits: zeros where the target gives none. */
  readonly guid: string;
}

/** `undefined` where there is no namespace, or one with blocks that this code does not use. */
export function readIdentifyNamespace(page: Uint8Array): NamespacePage | undefined {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  const blocks = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  const format = view.getUint32(128 + 4 * (view.getUint8(26) & 0x0f), true);
  const shift = (format >>> 16) & 0xff;
  const metadataBytes = format & 0xffff;
  if (blocks === 0 || shift < 9 || shift > 16 || metadataBytes !== 0) return undefined;
  const guid = Array.from(page.subarray(104, 128), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { blocks, blockBytes: 2 ** shift, guid };
}

export function readNamespaceList(page: Uint8Array): number[] {
  const view = new DataView(page.buffer, page.byteOffset, IDENTIFY_BYTES);
  const ids: number[] = [];
  for (let i = 0; i < MAX_LISTED_NAMESPACES; i++) {
    const id = view.getUint32(4 * i, true);
    if (id === 0) break;
    ids.push(id);
  }
  return ids;
}
