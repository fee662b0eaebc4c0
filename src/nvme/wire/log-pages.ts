/** Log pages that a target answers with, little endian. */
import { AdminOpcode, IoOpcode } from './opcodes.js';
import { NQN_FIELD_BYTES, readNqn, writeText } from './text.js';

export const EFFECTS_BYTES = 4096;
export const HEALTH_BYTES = 512;
/** Entries that an error log has room for; there are none in it. */
export const ERROR_ENTRIES = 64;
export const ERROR_LOG_BYTES = ERROR_ENTRIES * 64;
export const FIRMWARE_BYTES = 512;
export const DISCOVERY_HEADER_BYTES = 1024;
export const DISCOVERY_ENTRY_BYTES = 1024;

const SUPPORTED = 1 << 0;
const CHANGES_CONTENT = 1 << 1;
const IO_COMMANDS_AT = 1024;

/** Which commands exist, and which change data. */
export function effectsPage(ioOpcodes: readonly number[]): Uint8Array {
  const page = new Uint8Array(EFFECTS_BYTES);
  const view = new DataView(page.buffer);
  for (const opcode of Object.values(AdminOpcode)) view.setUint32(4 * opcode, SUPPORTED, true);
  for (const opcode of ioOpcodes) {
    const changes = opcode !== IoOpcode.READ && opcode !== IoOpcode.FLUSH;
    view.setUint32(IO_COMMANDS_AT + 4 * opcode, SUPPORTED | (changes ? CHANGES_CONTENT : 0), true);
  }
  return page;
}

const SPARE_PERCENT = 100;
/** Room temperature, in Kelvin: a program has none, and tools warn of 0 K. */
const TEMPERATURE_KELVIN = 296;

export interface HealthCounts {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly reads: number;
  readonly writes: number;
}

const DATA_UNIT_BYTES = 512_000;

export function healthPage({ bytesRead, bytesWritten, reads, writes }: HealthCounts): Uint8Array {
  const page = new Uint8Array(HEALTH_BYTES);
  const view = new DataView(page.buffer);
  view.setUint16(1, TEMPERATURE_KELVIN, true);
  view.setUint8(3, SPARE_PERCENT);
  view.setBigUint64(32, BigInt(Math.ceil(bytesRead / DATA_UNIT_BYTES)), true);
  view.setBigUint64(48, BigInt(Math.ceil(bytesWritten / DATA_UNIT_BYTES)), true);
  view.setBigUint64(64, BigInt(reads), true);
  view.setBigUint64(80, BigInt(writes), true);
  return page;
}

/** One slot, which holds what runs. */
export function firmwarePage(firmware: string): Uint8Array {
  const page = new Uint8Array(FIRMWARE_BYTES);
  page[0] = 1;
  writeText(page, 8, 8, firmware, 0x20);
  return page;
}

/** Where a subsystem is. */
export interface DiscoveryEntry {
  readonly nqn: string;
  readonly host: string;
  readonly port: number;
  readonly isDiscovery: boolean;
}

const TRANSPORT_RDMA = 1;
const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;
const SUBSYSTEM_NVM = 2;
const SUBSYSTEM_THIS_DISCOVERY = 3;
const SECURITY_NOT_SPECIFIED = 0;
const ADMIN_QUEUE_ENTRIES = 32;
const RDMA_CONNECTED = 1;
const RDMA_PROVIDER_NOT_SPECIFIED = 1;
const RDMA_CM = 1;

export function discoveryPage(generation: number, entries: readonly DiscoveryEntry[]): Uint8Array {
  const page = new Uint8Array(DISCOVERY_HEADER_BYTES + entries.length * DISCOVERY_ENTRY_BYTES);
  const view = new DataView(page.buffer);
  view.setUint32(0, generation, true);
  view.setUint32(8, entries.length, true);
  for (const [i, entry] of entries.entries())
    writeEntry(page, DISCOVERY_HEADER_BYTES + i * DISCOVERY_ENTRY_BYTES, entry);
  return page;
}

function writeEntry(page: Uint8Array, at: number, { nqn, host, port, isDiscovery }: DiscoveryEntry): void {
  const view = new DataView(page.buffer, at, DISCOVERY_ENTRY_BYTES);
  view.setUint8(0, TRANSPORT_RDMA);
  view.setUint8(1, host.includes(':') ? FAMILY_IPV6 : FAMILY_IPV4);
  view.setUint8(2, isDiscovery ? SUBSYSTEM_THIS_DISCOVERY : SUBSYSTEM_NVM);
  view.setUint8(3, SECURITY_NOT_SPECIFIED);
  view.setUint16(4, 1, true);
  view.setUint16(6, 0xffff, true);
  view.setUint16(8, ADMIN_QUEUE_ENTRIES, true);
  writeText(page, at + 32, 32, String(port));
  writeText(page, at + 256, NQN_FIELD_BYTES, nqn);
  writeText(page, at + 512, NQN_FIELD_BYTES, host);
  view.setUint8(768, RDMA_CONNECTED);
  view.setUint8(769, RDMA_PROVIDER_NOT_SPECIFIED);
  view.setUint8(770, RDMA_CM);
}

/** What a discovery page says of one subsystem; one of another transport than RDMA is left out. */
export interface DiscoveredSubsystem {
  readonly nqn: string;
  readonly host: string;
  readonly port: number;
  readonly isDiscovery: boolean;
}

/** How many records a page says that it has. */
export const discoveryRecords = (page: Uint8Array): number =>
  new DataView(page.buffer, page.byteOffset, page.length).getUint32(8, true);

export function readDiscoveryPage(page: Uint8Array): DiscoveredSubsystem[] {
  const found: DiscoveredSubsystem[] = [];
  for (
    let at = DISCOVERY_HEADER_BYTES;
    at + DISCOVERY_ENTRY_BYTES <= page.length;
    at += DISCOVERY_ENTRY_BYTES
  ) {
    const nqn = readNqn(page, at + 256);
    const host = readNqn(page, at + 512);
    const port = Number(readPort(page, at + 32));
    if (page[at] !== TRANSPORT_RDMA || nqn === undefined || host === undefined || !(port > 0)) continue;
    found.push({ nqn, host, port, isDiscovery: page[at + 2] !== SUBSYSTEM_NVM });
  }
  return found;
}

const readPort = (page: Uint8Array, at: number): string =>
  String.fromCharCode(...page.subarray(at, at + 32)).replace(/[\0 ]+$/, '');
