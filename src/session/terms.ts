/**
 * What the two programs of a connection promise each other when they meet, beside the path between their queue pairs.
 * Plain data: numbers, texts and bigint addresses. The session carries the terms and ties them to itself, but decides
 * nothing by them. To add a term, add a field here; how it looks in JSON follows from its schema.
 */
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import { type RKey, toRKey } from '../verbs/brands.js';
import { integer, TOKEN_RULE } from './schema-rules.js';

const MAX_RECEIVE_SLOTS = 65_536;
/** The largest message of a reliable connection. */
const MAX_SLOT_BYTES = 2 ** 31;
/** Differences of counters modulo 2^32 stay below 2^31. */
const MAX_MESSAGE_BYTES = 2 ** 30;
export const MAX_WINDOW_BYTES = 2 ** 30 - 1;
/** An empty message costs 24 bytes, and one with a byte must fit as well. */
const MIN_MESSAGE_WINDOW_BYTES = 25;
const MAX_STREAMS = 2 ** 31 - 1;
/** What timers take. */
export const MAX_NOTICE_MILLIS = 2 ** 31 - 1;
const ADDRESS_SPACE_BYTES = 1n << 64n;
const ADDR_RULE = 'must be a text of 1 to 16 hexadecimal digits';
const ENCRYPTION_RULE = "must be 'aes-256-gcm' or left out";
const DEVICE_RULE = 'must be a text of 1 to 64 printable ASCII characters';

/** The buffer that the peer may write and read by itself. */
export interface LentBuffer {
  /** Virtual address; hexadecimal text without prefix in JSON. */
  readonly addr: bigint;
  readonly rkey: RKey;
  /** Bytes. */
  readonly length: number;
}

/** The receives that the peer may fill. */
export interface ReceiveTerms {
  readonly slots: number;
  /** Bytes of each. */
  readonly slotBytes: number;
}

/** What holds for messages over the life of the connection; the first session's terms count. */
export interface MessageTerms {
  /** Bytes of the longest message that the teller takes. */
  readonly maxBytes: number;
  /** What messages may cost before the teller says more. */
  readonly windowBytes: number;
}

/** What holds for streams; the first session's terms count. */
export interface StreamTerms {
  /** Streams that may be opened before the teller says more. */
  readonly open: number;
  /** Bytes that may be sent on each before the teller says more. */
  readonly windowBytes: number;
}

/** A teller that lets the session go once the path is proven, if the other end does so too. */
export interface BriefTerms {
  /** Within so many milliseconds the teller notices that the other end has become silent. */
  readonly noticeMillis: number;
}

export interface Terms {
  readonly receive: ReceiveTerms;
  readonly messages: MessageTerms;
  readonly streams: StreamTerms;
  /** `null` when the peer may reach no memory. */
  readonly buffer: LentBuffer | null;
  /** Fragments of the peer that the teller has received, modulo 2^32: 0 but when a connection recovers. */
  readonly received: number;
  /** Server only: what resumes the connection over a new session. */
  readonly resumeToken?: string | undefined;
  /** The teller insists that messages and memory be sealed. */
  readonly encryption?: 'aes-256-gcm' | undefined;
  readonly brief?: BriefTerms | undefined;
  /** Short name of the teller's device, for messages and logs. */
  readonly device: string;
}

const rkey: v.GenericSchema<number, RKey> = v.pipe(integer(0, 0xffffffff), v.transform(toRKey));

const buffer: v.GenericSchema<unknown, LentBuffer> = v.pipe(
  v.strictObject(
    {
      addr: v.pipe(
        v.string(ADDR_RULE),
        v.regex(/^[0-9a-f]{1,16}$/i, ADDR_RULE),
        v.transform((text) => BigInt(`0x${text}`)),
      ),
      rkey,
      length: integer(1, Number.MAX_SAFE_INTEGER),
    },
    'must be an object or null',
  ),
  v.check(
    ({ addr, length }) => addr + BigInt(length) <= ADDRESS_SPACE_BYTES,
    'must end inside the 64-bit address space',
  ),
);

/** Thousands of peers promise the same: what is equal to what the one before promised becomes that. */
const alike = <Promised extends object>(): v.TransformAction<Promised, Promised> => {
  let last: Promised | undefined;
  return v.transform((promised) => {
    if (last === undefined || !isDeepStrictEqual(last, promised)) last = promised;
    return last;
  });
};

const receive: v.GenericSchema<unknown, ReceiveTerms> = v.pipe(
  v.strictObject(
    { slots: integer(1, MAX_RECEIVE_SLOTS), slotBytes: integer(1, MAX_SLOT_BYTES) },
    'must be an object',
  ),
  alike(),
);

const messages: v.GenericSchema<unknown, MessageTerms> = v.pipe(
  v.strictObject(
    {
      maxBytes: integer(0, MAX_MESSAGE_BYTES),
      windowBytes: integer(MIN_MESSAGE_WINDOW_BYTES, MAX_WINDOW_BYTES),
    },
    'must be an object',
  ),
  alike(),
);

const streams: v.GenericSchema<unknown, StreamTerms> = v.pipe(
  v.strictObject(
    { open: integer(0, MAX_STREAMS), windowBytes: integer(1, MAX_WINDOW_BYTES) },
    'must be an object',
  ),
  alike(),
);

const brief: v.GenericSchema<unknown, BriefTerms> = v.pipe(
  v.strictObject({ noticeMillis: integer(1, MAX_NOTICE_MILLIS) }, 'must be an object'),
  alike(),
);

/** From JSON. */
export const termsSchema: v.GenericSchema<unknown, Terms> = v.strictObject(
  {
    receive,
    messages,
    streams,
    buffer: v.nullable(buffer),
    received: integer(0, 0xffffffff),
    resumeToken: v.optional(v.pipe(v.string(TOKEN_RULE), v.regex(/^[0-9a-f]{64}$/, TOKEN_RULE))),
    encryption: v.optional(v.picklist(['aes-256-gcm'], ENCRYPTION_RULE)),
    brief: v.optional(brief),
    device: v.pipe(v.string(DEVICE_RULE), v.regex(/^[\x20-\x7e]{1,64}$/, DEVICE_RULE)),
  },
  'must be an object',
);

/** A replacer for `JSON.stringify`: addresses are the only bigints of a frame. */
export const addressesAsHex = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString(16) : value;
