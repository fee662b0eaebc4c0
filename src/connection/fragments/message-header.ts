/**
 * The header in front of every SEND of a connection. docs/protocol.md says what the fields mean and when they are refused.
 *
 *     0  version (2)   u8      8  limit     u32   fragments that you may have sent on this link
 *     1  kind          u8     12  stream    u32   0 = messages
 *     2  flags         u8     16  tag       u16
 *     3  reserved (0)  u8     18  reserved  u16   (0)
 *     4  sequence      u32    20  value     u32   what the kind says
 *
 * All big-endian. `sequence` and `limit` count fragments over the life of the connection, modulo 2^32.
 *
 * Invariant: `readHeader` refuses every field that the kind does not use, so that a later version can give it a meaning.
 */
import { RdmaError } from '../../verbs/errors.js';

export const HEADER_BYTES = 24;
export const PROTOCOL_VERSION = 2;

/** What a fragment is for. Kinds are the library's own; a program tells its messages apart by their tag. */
export const MessageKind = {
  /** No fragment of its own: only brings `limit` up to date. Its payload is padding. */
  LIMIT: 0,
  /** A piece of a message of the program. `value`: bytes of the whole message. */
  DATA: 1,
  /** Bytes of a stream. `value`: bytes of the stream before them, modulo 2^32. */
  STREAM: 2,
  /** Ends a stream in both directions. `value`: an error code of the program. */
  RESET: 3,
  /** `value`: the cost of messages (stream 0), or bytes of a stream, that you may have sent, modulo 2^32. */
  STREAM_LIMIT: 4,
  /** `value`: streams that you may have opened. */
  OPEN_LIMIT: 5,
  /** No message and no stream data will come any more: begin the orderly end. */
  QUIT: 6,
  /** On encrypted connections: opens what an RDMA write of ours has put into your memory. `value`: as DATA. */
  SEALED_WRITE: 7,
  /** On encrypted connections: asks for bytes of your memory. `value`: as DATA. */
  SEALED_READ: 8,
  /** The answer to SEALED_READ. `value`: as DATA. */
  SEALED_DATA: 9,
  /** On encrypted connections: an RDMA write of yours, and all before it, was opened. `value`: as DATA. */
  SEALED_OPENED: 10,
  /** The sender gives up receives that it was told of. `value`: numbers of fragments behind this one that none will have. */
  YIELD: 11,
  /** As LIMIT, and asks for one: the receiver's program is there, and not its device alone. */
  ASK: 12,
  /** As LIMIT, and the last of who has quit: it has the acknowledgement of QUIT, and leaves. */
  BYE: 13,
  /** As LIMIT, and the last of who ends a brief connection without all that it had to say. `value`: why (close-codes.ts). */
  CLOSE: 14,
} as const;
export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

export const MessageFlag = {
  /** The last bytes of this direction of the stream. */
  FIN: 1,
  /** The receiver of the fragment opened the stream; otherwise its sender did. */
  YOURS: 2,
} as const;

/** Why a peer is refused. */
export const MessageFault = {
  TOO_SHORT: 'too_short',
  WRONG_VERSION: 'wrong_version',
  UNKNOWN_KIND: 'unknown_kind',
  UNKNOWN_FLAG: 'unknown_flag',
  RESERVED_BITS: 'reserved_bits',
  UNUSED_FIELD: 'unused_field',
  UNEXPECTED_PAYLOAD: 'unexpected_payload',
  EMPTY_FRAGMENT: 'empty_fragment',
  OUT_OF_SEQUENCE: 'out_of_sequence',
  BEYOND_LIMIT: 'beyond_limit',
  LIMIT_WENT_BACK: 'limit_went_back',
  MESSAGE_TOO_LARGE: 'message_too_large',
  BEYOND_MESSAGE: 'beyond_message',
  FRAGMENTS_DIFFER: 'fragments_differ',
  BEYOND_STREAM_LIMIT: 'beyond_stream_limit',
  WRONG_OFFSET: 'wrong_offset',
  UNKNOWN_STREAM: 'unknown_stream',
  TOO_MANY_STREAMS: 'too_many_streams',
  AFTER_END: 'after_end',
  NEVER_SENT: 'never_sent',
  SEALED_MEMORY: 'sealed_memory',
  TERMS: 'terms',
} as const;
export type MessageFault = (typeof MessageFault)[keyof typeof MessageFault];

export interface MessageHeader {
  kind: MessageKind;
  flags: number;
  sequence: number;
  limit: number;
  stream: number;
  tag: number;
  value: number;
}

/** Which fields a kind uses. */
interface Shape {
  readonly flags: number;
  readonly hasPayload: boolean;
  readonly hasTag: boolean;
  readonly hasValue: boolean;
  readonly stream: 'none' | 'any' | 'needed';
}

const { FIN, YOURS } = MessageFlag;
const BARE: Shape = { flags: 0, hasPayload: false, hasTag: false, hasValue: false, stream: 'none' };
const PIECE: Shape = { ...BARE, hasPayload: true, hasValue: true };
const SHAPES: readonly Shape[] = [
  { ...BARE, hasPayload: true },
  { ...PIECE, hasTag: true },
  { ...PIECE, flags: FIN | YOURS, stream: 'needed' },
  { ...BARE, flags: YOURS, hasValue: true, stream: 'needed' },
  { ...BARE, flags: YOURS, hasValue: true, stream: 'any' },
  { ...BARE, hasValue: true },
  BARE,
  PIECE,
  PIECE,
  PIECE,
  PIECE,
  { ...BARE, hasValue: true },
  BARE,
  BARE,
  { ...BARE, hasValue: true },
];

/** Whether fragments of this kind use up no number. */
export const isUnnumbered = (kind: MessageKind): boolean =>
  kind === MessageKind.LIMIT || (kind >= MessageKind.ASK && kind <= MessageKind.CLOSE);

/** Whether fragments of this kind belong to one-sided access on encrypted connections, and never to programs. */
export const isSealedMemory = (kind: MessageKind): boolean =>
  kind >= MessageKind.SEALED_WRITE && kind <= MessageKind.SEALED_OPENED;

export function writeHeader(bytes: Uint8Array, at: number, header: Readonly<MessageHeader>): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  view.setUint8(0, PROTOCOL_VERSION);
  view.setUint8(1, header.kind);
  view.setUint8(2, header.flags);
  view.setUint8(3, 0);
  view.setUint32(4, header.sequence);
  view.setUint32(8, header.limit);
  view.setUint32(12, header.stream);
  view.setUint16(16, header.tag);
  view.setUint16(18, 0);
  view.setUint32(20, header.value);
}

/**
 * Reads the header that begins at `at`, of a fragment with `payloadBytes` behind it.
 *
 * @throws MessageViolation when the peer sent something that is no fragment.
 */
export function readHeader(bytes: Uint8Array, at: number, payloadBytes: number): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const version = view.getUint8(0);
  if (version !== PROTOCOL_VERSION) {
    const sentence = `its messages have version ${version}, this side knows ${PROTOCOL_VERSION}`;
    throw violation(MessageFault.WRONG_VERSION, sentence);
  }
  const kind = view.getUint8(1);
  const shape = SHAPES[kind];
  if (shape === undefined) throw unknownKind(kind);
  if (view.getUint8(3) !== 0 || view.getUint16(18) !== 0)
    throw violation(MessageFault.RESERVED_BITS, 'reserved bits of a header are set');
  const header: MessageHeader = {
    kind: kind as MessageKind,
    flags: view.getUint8(2),
    sequence: view.getUint32(4),
    limit: view.getUint32(8),
    stream: view.getUint32(12),
    tag: view.getUint16(16),
    value: view.getUint32(20),
  };
  checkShape(header, shape, payloadBytes);
  return header;
}

function checkShape(header: MessageHeader, shape: Shape, payloadBytes: number): void {
  const { kind, flags, stream, tag, value } = header;
  if ((flags & ~shape.flags) !== 0 || (stream === 0 && (flags & YOURS) !== 0)) {
    throw violation(MessageFault.UNKNOWN_FLAG, `a fragment of kind ${kind} has the flags ${flags}`);
  }
  if (
    (stream !== 0 && shape.stream === 'none') ||
    (stream === 0 && shape.stream === 'needed') ||
    (tag !== 0 && !shape.hasTag) ||
    (value !== 0 && !shape.hasValue)
  ) {
    const sentence = `a fragment of kind ${kind} sets a field that it does not use, or names no stream`;
    throw violation(MessageFault.UNUSED_FIELD, sentence);
  }
  if (payloadBytes > 0 && !shape.hasPayload) {
    throw violation(MessageFault.UNEXPECTED_PAYLOAD, `a fragment of kind ${kind} has ${payloadBytes} bytes`);
  }
}

/** The peer broke the rules of messages; `reason` says which, for machines. */
export class MessageViolation extends RdmaError {
  readonly reason: MessageFault;

  constructor(reason: MessageFault, what: string) {
    super('ERR_RDMA_PROTOCOL', `the peer broke the message protocol (${reason}): ${what}`);
    this.reason = reason;
  }
}

export const violation = (reason: MessageFault, what: string): MessageViolation =>
  new MessageViolation(reason, what);

export const unknownKind = (kind: number): MessageViolation =>
  violation(MessageFault.UNKNOWN_KIND, `it sent a message of the unknown kind ${kind}`);
