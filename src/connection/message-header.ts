/**
 * The header in front of every SEND of a connection. A message is cut into fragments that fit the peer's receives;
 * each fragment carries the whole header.
 *
 *     0  version (2)      u8      8  taken             u32   fragments of yours that I took out of my receives
 *     1  kind             u8     12  total length      u32   bytes of the whole message
 *     2  tag              u16    16  offset            u32   where this fragment belongs in it
 *     4  sequence         u32    20  reserved (0)      u32
 *
 * All big-endian. `sequence` counts messages and `taken` counts fragments, both modulo 2^32. `taken` is the flow
 * control: a sender keeps no more fragments under way than the peer has receives for them.
 */
import { RdmaError } from '../verbs/errors.js';

export const HEADER_BYTES = 24;
const VERSION = 2;

/** What a message is for. Kinds are the library's own; a program tells its messages apart by their tag. */
export const MessageKind = {
  /** No message: only brings `taken` up to date. */
  CREDIT: 0,
  /** A message of the program. */
  DATA: 1,
  /** Nothing more will come: begin the orderly end. */
  QUIT: 2,
  /** On encrypted connections: opens what an RDMA write of ours has put into your memory. */
  SEALED_WRITE: 3,
  /** On encrypted connections: asks for bytes of your memory. */
  SEALED_READ: 4,
  /** The answer to SEALED_READ. */
  SEALED_DATA: 5,
} as const;
export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

const HIGHEST_KIND = MessageKind.SEALED_DATA;

/** Whether messages of this kind belong to one-sided access on encrypted connections, and never to programs. */
export const isSealedMemory = (kind: MessageKind): boolean => kind >= MessageKind.SEALED_WRITE;

export interface MessageHeader {
  kind: MessageKind;
  /** Of the program, 0 in all but DATA. */
  tag: number;
  sequence: number;
  taken: number;
  totalBytes: number;
  offset: number;
}

export function writeHeader(bytes: Uint8Array, at: number, header: Readonly<MessageHeader>): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  view.setUint8(0, VERSION);
  view.setUint8(1, header.kind);
  view.setUint16(2, header.tag);
  view.setUint32(4, header.sequence);
  view.setUint32(8, header.taken);
  view.setUint32(12, header.totalBytes);
  view.setUint32(16, header.offset);
  view.setUint32(20, 0);
}

/**
 * Reads the header of a fragment of `length` bytes that begins at `at`.
 *
 * @throws RdmaError ERR_RDMA_PROTOCOL when the peer sent something that is no fragment.
 */
export function readHeader(bytes: Uint8Array, at: number, length: number): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const version = view.getUint8(0);
  const kind = view.getUint8(1);
  const tag = view.getUint16(2);
  if (version !== VERSION)
    throw violation(`its messages have version ${version}, this side knows ${VERSION}`);
  if (kind > HIGHEST_KIND) throw unknownKind(kind);
  if (tag !== 0 && kind !== MessageKind.DATA) throw violation(`a message of kind ${kind} has a tag`);
  if (view.getUint32(20) !== 0) throw violation('reserved bytes of a header are not zero');
  const totalBytes = view.getUint32(12);
  const offset = view.getUint32(16);
  if (offset + length - HEADER_BYTES > totalBytes) throw violation('a fragment reaches beyond its message');
  return {
    kind: kind as MessageKind,
    tag,
    sequence: view.getUint32(4),
    taken: view.getUint32(8),
    totalBytes,
    offset,
  };
}

/** The peer broke the rules of messages. */
export const violation = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the peer broke the message protocol: ${what}`);

export const unknownKind = (kind: number): RdmaError =>
  violation(`it sent a message of the unknown kind ${kind}`);

/** Difference of two counters modulo 2^32. */
export const counterDistance = (from: number, to: number): number => (to - from) >>> 0;
