/**
 * The messages of a copy (docs/copy.md): one JSON object each, told apart by the tag of the message. A peer's message is read
 * strictly: an unknown tag, field or value is a fault with a name, and nothing else happens.
 *
 * Invariants: reading never throws; what was read holds nothing but safe integers in their ranges and texts of bounded length.
 */
import * as v from 'valibot';

export const COPY_VERSION = 1;
/** Of one message: the longest path fits even when JSON has six bytes for each of its characters. */
export const MAX_COPY_MESSAGE_BYTES = 32 * 1024;
/** Entries that the sender may have announced and the receiver has not settled. */
export const MAX_UNSETTLED = 16;
export const MAX_PATH_BYTES = 4096;
export const MAX_SLOTS = 1024;
export const MAX_SLOT_BYTES = 16 * 1024 * 1024;
const MAX_REASON_CHARS = 300;
const MAX_ID = 2 ** 32 - 1;

const whole = (min: number, max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(min), v.maxValue(max));
const size = whole(0, Number.MAX_SAFE_INTEGER);
const id = whole(1, MAX_ID);
const text = (max: number) => v.pipe(v.string(), v.maxLength(max));
const path = text(MAX_PATH_BYTES);
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const slots = whole(1, MAX_SLOTS);
const slotBytes = whole(1, MAX_SLOT_BYTES);
const reason = text(MAX_REASON_CHARS);

/** In the order of their tags. */
const SCHEMAS = {
  /** The client asks for a copy of what is at `path`, or to put something there. */
  open: v.strictObject({
    v: v.literal(COPY_VERSION),
    want: v.picklist(['get', 'put']),
    path,
    slots,
    slotBytes,
  }),
  opened: v.strictObject({
    found: v.picklist(['nothing', 'file', 'directory']),
    slots,
    slotBytes,
  }),
  refused: v.strictObject({ reason }),
  /** Of the sender: what will come, for a bar of progress. */
  total: v.strictObject({ files: size, bytes: size }),
  /** A directory, which is settled at once, or a file, whose bytes follow. `path` is empty for what was asked for itself. */
  entry: v.strictObject({
    id,
    kind: v.picklist(['file', 'directory']),
    path,
    size,
    mode: whole(0, 0o777),
    mtimeMillis: whole(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  }),
  /** Bytes that the sender has written into a slot of the receiver. */
  piece: v.strictObject({
    id,
    offset: size,
    length: whole(1, MAX_SLOT_BYTES),
    slot: whole(0, MAX_SLOTS - 1),
  }),
  /** Zeros. */
  hole: v.strictObject({ id, offset: size, length: whole(1, Number.MAX_SAFE_INTEGER) }),
  /** All of a file was sent; its hash. */
  done: v.strictObject({ id, sha256 }),
  /** The rest of a file does not come. */
  gone: v.strictObject({ id, reason }),
  /** Something that is neither a file nor a directory, or cannot be read. */
  skipped: v.strictObject({ path, reason }),
  end: v.strictObject({}),
  /** Of the receiver: how much of the file it has, and the hash of that. */
  have: v.strictObject({ id, bytes: size, sha256 }),
  /** The slot may be written again. */
  taken: v.strictObject({ slot: whole(0, MAX_SLOTS - 1) }),
  stored: v.strictObject({ id }),
  failed: v.strictObject({ id, reason }),
  /** All is stored, and the times of directories are set. */
  ended: v.strictObject({}),
} as const;

type Schemas = typeof SCHEMAS;
export type CopyMessageType = keyof Schemas;
type Fields<Type extends CopyMessageType> = Readonly<v.InferOutput<Schemas[Type]>>;
export type CopyMessageOf<Type extends CopyMessageType> = { readonly type: Type } & Fields<Type>;
export type CopyMessage = { [Type in CopyMessageType]: CopyMessageOf<Type> }[CopyMessageType];
export type CopyEntry = CopyMessageOf<'entry'>;

const TYPES = Object.keys(SCHEMAS) as CopyMessageType[];
/** Beyond those of the demo service. */
const FIRST_TAG = 0x4300;

export const CopyFault = {
  UNKNOWN_TAG: 'unknown-tag',
  TOO_LONG: 'too-long',
  NOT_JSON: 'not-json',
  NOT_VALID: 'not-valid',
  /** A message that the state does not allow. */
  OUT_OF_TURN: 'out-of-turn',
  TOO_MANY_ENTRIES: 'too-many-entries',
  WRONG_ID: 'wrong-id',
  WRONG_PATH: 'wrong-path',
  WRONG_OFFSET: 'wrong-offset',
  WRONG_LENGTH: 'wrong-length',
  WRONG_SLOT: 'wrong-slot',
  INCOMPLETE: 'incomplete',
} as const;
export type CopyFault = (typeof CopyFault)[keyof typeof CopyFault];

export const isCopyTag = (tag: number): boolean => tag >= FIRST_TAG && tag < FIRST_TAG + TYPES.length;

export function writeCopyMessage({ type, ...fields }: CopyMessage): { tag: number; text: string } {
  return { tag: FIRST_TAG + TYPES.indexOf(type), text: JSON.stringify(fields) };
}

export function readCopyMessage(tag: number, data: Uint8Array): CopyMessage | CopyFault {
  const type = TYPES[tag - FIRST_TAG];
  if (type === undefined) return CopyFault.UNKNOWN_TAG;
  if (data.length > MAX_COPY_MESSAGE_BYTES) return CopyFault.TOO_LONG;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString());
  } catch {
    return CopyFault.NOT_JSON;
  }
  const result = v.safeParse(SCHEMAS[type], value);
  if (!result.success) return CopyFault.NOT_VALID;
  return { type, ...result.output } as CopyMessage;
}

/** What a peer may be told, and can read. */
export const shortReason = (text: string): string => text.slice(0, MAX_REASON_CHARS);
