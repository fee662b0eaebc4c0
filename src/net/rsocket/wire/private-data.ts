/**
 * The private data with which both ends of an rsocket say where the other may write, the same in request and reply:
 *
 *     0      version, 1
 *     1      flags: 1 = table entries in this side's memory are big endian, 2 = knows iomap
 *     2-3    credits: messages that the peer may send
 *     4-6    zero
 *     7      entries of this side's iomap table: up to 128, or 0x80 | entries / 256
 *     8-15   address of the table, 16-19 its rkey, 20-23 its entries
 *     24-31  address of the first receive buffer, 32-35 its rkey, 36-39 its length
 *
 * All of it is big endian, whatever the flags say. Zeros follow, as much as the message has room.
 *
 * Invariants: reading takes any bytes, never throws, and gives terms that can be used, or the reason why not. Addresses of
 * terms are safe integers, and so are those of all entries of the tables behind them.
 */
import { RsocketFault } from '../rsocket-fault.js';
import { IOMAP_ENTRY_BYTES } from './iomap-entry.js';
import { SGL_ENTRY_BYTES } from './sgl-entry.js';
import { isAddressRange, readAddress, writeAddress } from './wide-number.js';

export const PRIVATE_DATA_BYTES = 40;
const VERSION = 1;
const FLAG_BIG_ENDIAN = 1;
const FLAG_IOMAP = 2;
const MIN_TABLE_ENTRIES = 2;
const SMALL_IOMAP = 128;

/** What one end tells the other of its memory. */
export interface RsocketTerms {
  /** The byte order of entries that the other end writes into this one's tables. */
  readonly isBigEndian: boolean;
  readonly knowsIomap: boolean;
  readonly credits: number;
  readonly iomapEntries: number;
  readonly tableAddr: number;
  readonly tableRkey: number;
  readonly tableEntries: number;
  readonly bufferAddr: number;
  readonly bufferRkey: number;
  readonly bufferBytes: number;
}

export function readPrivateData(bytes: Uint8Array): RsocketTerms | RsocketFault {
  if (bytes.length < PRIVATE_DATA_BYTES) return RsocketFault.SHORT_PRIVATE_DATA;
  if (bytes[0] !== VERSION) return RsocketFault.BAD_VERSION;
  const view = new DataView(bytes.buffer, bytes.byteOffset, PRIVATE_DATA_BYTES);
  const flags = view.getUint8(1);
  const terms: RsocketTerms = {
    isBigEndian: (flags & FLAG_BIG_ENDIAN) !== 0,
    knowsIomap: (flags & FLAG_IOMAP) !== 0,
    credits: view.getUint16(2),
    iomapEntries: iomapEntriesOf(view.getUint8(7)),
    tableAddr: readAddress(view, 8, false),
    tableRkey: view.getUint32(16),
    tableEntries: view.getUint32(20),
    bufferAddr: readAddress(view, 24, false),
    bufferRkey: view.getUint32(32),
    bufferBytes: view.getUint32(36),
  };
  return faultOf(terms) ?? terms;
}

export function writePrivateData(terms: RsocketTerms): Uint8Array {
  const bytes = new Uint8Array(PRIVATE_DATA_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, (terms.isBigEndian ? FLAG_BIG_ENDIAN : 0) | (terms.knowsIomap ? FLAG_IOMAP : 0));
  view.setUint16(2, terms.credits);
  view.setUint8(7, iomapByteOf(terms.iomapEntries));
  writeAddress(view, 8, terms.tableAddr, false);
  view.setUint32(16, terms.tableRkey);
  view.setUint32(20, terms.tableEntries);
  writeAddress(view, 24, terms.bufferAddr, false);
  view.setUint32(32, terms.bufferRkey);
  view.setUint32(36, terms.bufferBytes);
  return bytes;
}

/** The entries that a peer is told of, which are no more than there are. */
export const toldIomapEntries = (entries: number): number => iomapEntriesOf(iomapByteOf(entries));

function faultOf(terms: RsocketTerms): RsocketFault | undefined {
  const { tableAddr, tableEntries, iomapEntries, bufferAddr, bufferBytes } = terms;
  if (tableEntries < MIN_TABLE_ENTRIES) return RsocketFault.TABLE_TOO_SMALL;
  const tableBytes = tableEntries * SGL_ENTRY_BYTES + iomapEntries * IOMAP_ENTRY_BYTES;
  if (!isAddressRange(tableAddr, tableBytes)) return RsocketFault.TABLE_OUT_OF_RANGE;
  if (bufferBytes === 0) return RsocketFault.EMPTY_BUFFER;
  if (!isAddressRange(bufferAddr, bufferBytes)) return RsocketFault.BUFFER_OUT_OF_RANGE;
  return undefined;
}

const iomapEntriesOf = (byte: number): number => (byte <= SMALL_IOMAP ? byte : (byte & 0x7f) << 8);

const iomapByteOf = (entries: number): number =>
  entries <= SMALL_IOMAP ? entries : entries < 256 ? SMALL_IOMAP : 0x80 | (entries >>> 8);
