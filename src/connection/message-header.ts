/**
 * The header in front of every SEND of a connection. A message is cut into fragments that fit the peer's receives;
 * each fragment carries the whole header.
 *
 *     0  version (1)      u8      8  taken             u32   fragments of yours that I took out of my receives
 *     1  type             u8     12  total length      u32   bytes of the whole message
 *     2  flags            u16    16  offset            u32   where this fragment belongs in it
 *     4  sequence         u32    20  reserved (0)      u32
 *
 * All big-endian. `sequence` counts messages and `taken` counts fragments, both modulo 2^32. `taken` is the flow
 * control: a sender keeps no more fragments under way than the peer has receives for them.
 */
import { RdmaError } from '../verbs/errors.js';

export const HEADER_BYTES = 24;
const VERSION = 1;

/** What a message is for. Programs send DATA; the rest belongs to connections and to the message service. */
export const MessageType = {
  /** No message: only brings `taken` up to date. */
  CREDIT: 0,
  DATA: 1,
  /** "My RDMA write has landed in your buffer", with where and how much. */
  WRITE: 2,
  /** Nothing more will come: begin the orderly end. */
  QUIT: 3,
  WELCOME: 4,
  ECHO: 5,
  /** The answer to WRITE, with the hash of what was found there. */
  WRITE_ACK: 6,
  /** On encrypted connections: opens what an RDMA write of ours has put into your memory. */
  SEALED_WRITE: 7,
  /** On encrypted connections: asks for bytes of your memory. */
  SEALED_READ: 8,
  /** The answer to SEALED_READ. */
  SEALED_DATA: 9,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

const TYPE_NAMES = Object.keys(MessageType).map((name) => name.toLowerCase());
const HIGHEST_TYPE = TYPE_NAMES.length - 1;

export const messageTypeName = (type: number): string => TYPE_NAMES[type] ?? `type ${type}`;

/** Whether messages of this type belong to one-sided access on encrypted connections, and never to programs. */
export const isSealedMemory = (type: MessageType): boolean => type >= MessageType.SEALED_WRITE;

export interface MessageHeader {
  type: MessageType;
  sequence: number;
  taken: number;
  totalBytes: number;
  offset: number;
}

export function writeHeader(bytes: Uint8Array, at: number, header: Readonly<MessageHeader>): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  view.setUint8(0, VERSION);
  view.setUint8(1, header.type);
  view.setUint16(2, 0);
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
  const type = view.getUint8(1);
  if (version !== VERSION)
    throw violation(`its messages have version ${version}, this side knows ${VERSION}`);
  if (type > HIGHEST_TYPE) throw unknownType(type);
  const totalBytes = view.getUint32(12);
  const offset = view.getUint32(16);
  if (offset + length - HEADER_BYTES > totalBytes) throw violation('a fragment reaches beyond its message');
  return {
    type: type as MessageType,
    sequence: view.getUint32(4),
    taken: view.getUint32(8),
    totalBytes,
    offset,
  };
}

/** The peer broke the rules of messages. */
export const violation = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the peer broke the message protocol: ${what}`);

export const unknownType = (type: number): RdmaError =>
  violation(`it sent a message of the unknown type ${type}`);

/** Difference of two counters modulo 2^32. */
export const counterDistance = (from: number, to: number): number => (to - from) >>> 0;
