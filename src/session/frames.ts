/**
 * The frames of the control channel: a big-endian u32 with the length of the body, then at most 4 KiB of JSON,
 * `{"v":1,"type":…}`. One strict schema for each type: an unknown field, type or version is refused. To add a frame,
 * add a schema to `FRAME_SCHEMAS`; every type below follows from it.
 *
 * Invariants: parsing never throws; what it says about a refused frame names the field and the rule but never the
 * value, so that no PSN or key can reach a log.
 */
import { isIPv6 } from 'node:net';
import * as v from 'valibot';
import { PSN_MASK, type Psn, QPN_MASK, type Qpn, toPsn, toQpn } from '../verbs/brands.js';
import { usageError } from '../verbs/errors.js';
import { PATH_MTUS } from '../verbs/mtu.js';
import type { RefusalKind } from '../verbs/refusal-kind.js';
import { cleanText } from './clean-text.js';
import { integer, TOKEN_RULE, text } from './schema-rules.js';
import { PROOF_MESSAGES, type ToldPath } from './session-data.js';
import { addressesAsHex, termsSchema } from './terms.js';
import { hasUniqueKeys } from './unique-keys.js';

export const FRAME_VERSION = 1;
export const FRAME_PREFIX_BYTES = 4;
export const MAX_FRAME_BODY_BYTES = 4096;

const MAX_CODE_CHARS = 64;
const MAX_MESSAGE_CHARS = 512;
const MAX_REASON_CHARS = 256;

const psn: v.GenericSchema<number, Psn> = v.pipe(integer(0, PSN_MASK), v.transform(toPsn));
const qpn: v.GenericSchema<number, Qpn> = v.pipe(integer(0, QPN_MASK), v.transform(toQpn));

const isGid = (value: string): boolean => isIPv6(value) && !value.includes('%');
const GID_RULE = 'must be an IPv6 address in text';

const path: v.GenericSchema<unknown, ToldPath> = v.strictObject(
  {
    qpn,
    gid: v.pipe(v.string(GID_RULE), v.check(isGid, GID_RULE)),
    lid: integer(0, 0xffff),
    udpPort: integer(1, 0xffff),
    mtu: v.picklist(PATH_MTUS, `must be one of ${PATH_MTUS.join(', ')}`),
    rdAtomic: integer(0, 255),
  },
  'must be an object',
);

const FRAME_SCHEMAS = {
  psn: v.strictObject({
    type: v.literal('psn'),
    /** The first PSN that the sender of this frame will send. */
    psn,
  }),
  parameters: v.strictObject({
    type: v.literal('parameters'),
    path,
    terms: termsSchema,
    /** Ties all of it to this TLS connection. */
    binding: v.optional(v.pipe(v.string(TOKEN_RULE), v.regex(/^[0-9a-f]{64}$/, TOKEN_RULE))),
  }),
  /** The sender's queue pair is in RTS and its receives are posted. */
  ready: v.strictObject({ type: v.literal('ready') }),
  /** A small and a full packet of the sender's queue pair came through, and so did their acknowledgements. */
  proven: v.strictObject({ type: v.literal('proven') }),
  /** During a proof that takes its time: so many of the peer's messages of it are here. */
  arrived: v.strictObject({ type: v.literal('arrived'), messages: integer(0, PROOF_MESSAGES) }),
  /** Client only, before its PSN: this session takes up a connection whose own session was lost. */
  resume: v.strictObject({
    type: v.literal('resume'),
    token: v.pipe(v.string(TOKEN_RULE), v.regex(/^[0-9a-f]{64}$/, TOKEN_RULE)),
  }),
  /** The sender's last: the connection goes on without the session, when both ends have said so. */
  leave: v.strictObject({ type: v.literal('leave') }),
  /** Asks for a `pong`, to see that the peer is alive. */
  ping: v.strictObject({ type: v.literal('ping') }),
  pong: v.strictObject({ type: v.literal('pong') }),
  /** The sender ends the session because of a fault; the code is the kind of the refusal. */
  error: v.strictObject({
    type: v.literal('error'),
    code: text(MAX_CODE_CHARS),
    message: text(MAX_MESSAGE_CHARS),
  }),
  /** The sender ends the session in order. */
  bye: v.strictObject({
    type: v.literal('bye'),
    reason: v.optional(text(MAX_REASON_CHARS)),
    /** Number of the fragment that the sender expected next: it takes none from that one on. */
    received: v.optional(integer(0, 0xffffffff)),
  }),
} as const;

type Schemas = typeof FRAME_SCHEMAS;
export type FrameType = keyof Schemas;
export type FrameOf<Type extends FrameType> = Readonly<v.InferOutput<Schemas[Type]>>;
export type Frame = { [Type in FrameType]: FrameOf<Type> }[FrameType];

/** Why bytes are not a frame. */
export const FrameFault = {
  FRAME_TOO_LARGE: 'frame_too_large',
  NOT_JSON: 'not_json',
  NOT_VALID: 'not_valid',
  WRONG_VERSION: 'wrong_version',
  UNKNOWN_TYPE: 'unknown_type',
} as const;
export type FrameFault = (typeof FrameFault)[keyof typeof FrameFault];

export interface FrameViolation {
  readonly reason: FrameFault;
  readonly message: string;
}

export type DecodedFrame =
  | { readonly ok: true; readonly frame: Frame }
  | { readonly ok: false; readonly violation: FrameViolation };

export function violation(reason: FrameFault, message: string): DecodedFrame {
  return { ok: false, violation: { reason, message } };
}

/**
 * Prefix and body of a frame, ready to send.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a frame that the peer would refuse.
 */
export function encodeFrame(frame: Frame): Buffer {
  const bare = Object.keys(frame).length === 1 ? BARE_BYTES.get(frame.type) : undefined;
  if (bare !== undefined) return bare;
  const fields = JSON.stringify(frame, addressesAsHex);
  const result = v.safeParse(FRAME_SCHEMAS[frame.type], JSON.parse(fields), { abortEarly: true });
  if (!result.success) throw usageError(`cannot send this ${describeIssue(frame.type, result.issues[0])}`);
  const body = Buffer.from(withVersion(fields), 'utf8');
  if (body.length > MAX_FRAME_BODY_BYTES) {
    throw usageError(
      `a "${frame.type}" frame of ${body.length} bytes is too large; ${MAX_FRAME_BODY_BYTES} fit`,
    );
  }
  return withPrefix(body);
}

function withVersion(fields: string): string {
  return `{"v":${FRAME_VERSION},${fields.slice(1)}`;
}

function withPrefix(body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + body.length);
  bytes.writeUInt32BE(body.length, 0);
  bytes.set(body, FRAME_PREFIX_BYTES);
  return bytes;
}

/** Frames that are their type and nothing else: half of those of a handshake, and always the same. By type, and by body. */
const BARE_BYTES = new Map<string, Buffer>();
const BARE_FRAMES = new Map<string, Frame>();
for (const type of ['ready', 'proven', 'leave', 'ping', 'pong'] as const) {
  const frame = Object.freeze({ type });
  const body = withVersion(JSON.stringify(frame));
  BARE_BYTES.set(type, withPrefix(Buffer.from(body)));
  BARE_FRAMES.set(body, frame);
}

/** An `error` frame that is always valid, whatever the texts hold. */
export const errorFrame = (code: RefusalKind, message: string): Frame => ({
  type: 'error',
  code,
  message: cleanText(message, MAX_MESSAGE_CHARS),
});

/** A `bye` frame that is always valid, whatever the reason holds. */
export const byeFrame = (reason?: string, received?: number): Frame => ({
  type: 'bye',
  ...(reason === undefined ? {} : { reason: cleanText(reason, MAX_REASON_CHARS) }),
  ...(received === undefined ? {} : { received }),
});

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The frame in one body, without its prefix. */
export function parseFrameBody(body: Uint8Array): DecodedFrame {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(body);
    const bare = BARE_FRAMES.get(text);
    if (bare !== undefined) return { ok: true, frame: bare };
    value = JSON.parse(text);
  } catch {
    return violation(FrameFault.NOT_JSON, 'a control frame must be JSON in UTF-8');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return violation(FrameFault.NOT_VALID, 'a control frame must be a JSON object');
  }
  if (!hasUniqueKeys(text, value)) {
    return violation(FrameFault.NOT_VALID, 'a control frame must not name a field twice');
  }
  const { v: version, ...fields } = value as Record<string, unknown>;
  if (version !== FRAME_VERSION) {
    return violation(
      FrameFault.WRONG_VERSION,
      `this side speaks version ${FRAME_VERSION} of the control frames`,
    );
  }
  const { type } = fields;
  if (typeof type !== 'string' || !Object.hasOwn(FRAME_SCHEMAS, type)) {
    return violation(FrameFault.UNKNOWN_TYPE, `"${cleanText(String(type), 32)}" is not a control frame`);
  }
  return parseFields(type as FrameType, fields);
}

function parseFields(type: FrameType, fields: Record<string, unknown>): DecodedFrame {
  const result = v.safeParse(FRAME_SCHEMAS[type], fields, { abortEarly: true });
  if (result.success) return { ok: true, frame: result.output };
  return violation(FrameFault.NOT_VALID, describeIssue(type, result.issues[0]));
}

function describeIssue(type: FrameType, issue: v.BaseIssue<unknown>): string {
  const path = issue.path?.map((item) => String(item.key)).join('.') ?? '';
  const field = cleanText(path, 48);
  if (issue.expected === 'never') return `"${type}" frame: it has an unknown field "${field}"`;
  if (issue.received === 'undefined') return `"${type}" frame: "${field}" is missing`;
  return `"${type}" frame: "${field}" ${issue.message}`;
}
