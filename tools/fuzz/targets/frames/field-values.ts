/**
 * For every field of every control frame, values that must be accepted and values that must be refused: a second
 * opinion on the schemas of src/session/frames.ts, written from their documentation.
 */
import type { FrameType } from '../../../../src/session/frames.js';

export interface FieldValues {
  /** The first one is the usual. */
  readonly right: readonly unknown[];
  readonly wrong: readonly unknown[];
  readonly optional?: boolean;
}

const NO_NUMBER = ['1', null, true, [], {}, [1]];
const NO_TEXT = [1, null, true, [], {}, ['x']];

const integer = (min: number, max: number, usual: number): FieldValues => ({
  right: [usual, min, max, min + 1, max - 1],
  wrong: [min - 1, max + 1, usual + 0.5, -1, 1e300, -1e300, 2 ** 53, ...NO_NUMBER],
});

const text = (max: number): FieldValues => ({
  right: ['storage', '', 'x'.repeat(max), '\u0000\u001b[31m\u202e', '\ud800', '"},{"', '\\', 'é'.repeat(9)],
  wrong: ['x'.repeat(max + 1), 'y'.repeat(max * 3), ...NO_TEXT],
});

const TOKEN: FieldValues = {
  right: ['0123456789abcdef'.repeat(4), '0'.repeat(64), 'f'.repeat(64)],
  wrong: ['', '0'.repeat(63), '0'.repeat(65), 'F'.repeat(64), `${'0'.repeat(63)}\n`, ...NO_TEXT],
};

const BUFFER: FieldValues = {
  right: [
    { addr: '7f0000001000', rkey: 0xdeadbeef, length: 65_536 },
    null,
    { addr: '0', rkey: 0, length: 1 },
    { addr: 'ffffffffffffffff', rkey: 1, length: 1 },
    { addr: 'FFFFFFFFFFFFFFFE', rkey: 0xffffffff, length: 2 },
    { addr: 'ffe0000000000000', rkey: 9, length: 2 ** 53 - 1 },
  ],
  wrong: [
    { addr: 'ffffffffffffffff', rkey: 1, length: 2 },
    { addr: 'ffe0000000000002', rkey: 1, length: 2 ** 53 - 1 },
    { addr: '', rkey: 1, length: 1 },
    { addr: '10000000000000000', rkey: 1, length: 1 },
    { addr: '0x10', rkey: 1, length: 1 },
    { addr: '-1', rkey: 1, length: 1 },
    { addr: 16, rkey: 1, length: 1 },
    { addr: '10', rkey: 2 ** 32, length: 1 },
    { addr: '10', rkey: -1, length: 1 },
    { addr: '10', rkey: 1, length: 0 },
    { addr: '10', rkey: 1, length: 2 ** 53 },
    { addr: '10', rkey: 1 },
    { addr: '10', length: 1 },
    { addr: '10', rkey: 1, length: 1, more: 1 },
    [],
    7,
    'null',
    false,
  ],
};

const BRIEF: FieldValues = {
  right: [{ noticeMillis: 12_000 }, { noticeMillis: 1 }, { noticeMillis: 2 ** 31 - 1 }],
  wrong: [
    { noticeMillis: 0 },
    { noticeMillis: 2 ** 31 },
    { noticeMillis: '1' },
    {},
    { noticeMillis: 1, more: 1 },
    true,
    null,
  ],
  optional: true,
};

const RECEIVE: FieldValues = {
  right: [
    { slots: 64, slotBytes: 65_536 },
    { slots: 1, slotBytes: 1 },
    { slots: 65_536, slotBytes: 2 ** 31 },
  ],
  wrong: [
    { slots: 0, slotBytes: 1 },
    { slots: 65_537, slotBytes: 1 },
    { slots: 1, slotBytes: 0 },
    { slots: 1, slotBytes: 2 ** 31 + 1 },
    { slots: 1.5, slotBytes: 1 },
    { slots: 1 },
    { slotBytes: 1 },
    { slots: 1, slotBytes: 1, more: 1 },
    { slots: 4, slotBytes: 1, free: 4 },
    null,
    [],
    3,
  ],
};

const MESSAGES: FieldValues = {
  right: [
    { maxBytes: 16 * 1024 * 1024, windowBytes: 1024 * 1024 },
    { maxBytes: 0, windowBytes: 25 },
    { maxBytes: 2 ** 30, windowBytes: 2 ** 30 - 1 },
  ],
  wrong: [
    { maxBytes: -1, windowBytes: 25 },
    { maxBytes: 2 ** 30 + 1, windowBytes: 25 },
    { maxBytes: 1, windowBytes: 24 },
    { maxBytes: 1, windowBytes: 2 ** 30 },
    { maxBytes: 1 },
    { maxBytes: 1, windowBytes: 25, more: 1 },
    null,
    3,
  ],
};

const STREAMS: FieldValues = {
  right: [
    { open: 0, windowBytes: 65_536 },
    { open: 2 ** 31 - 1, windowBytes: 1 },
    { open: 1, windowBytes: 2 ** 30 - 1 },
  ],
  wrong: [
    { open: -1, windowBytes: 1 },
    { open: 2 ** 31, windowBytes: 1 },
    { open: 0, windowBytes: 0 },
    { open: 0, windowBytes: 2 ** 30 },
    { windowBytes: 1 },
    { open: 0, windowBytes: 1, more: 1 },
    null,
    [],
  ],
};

const GID: FieldValues = {
  right: ['::ffff:192.0.2.7', '::', '2001:db8::7', 'FE80::1', '1:2:3:4:5:6:7:8', '::ffff:0:0'],
  wrong: ['', '192.0.2.7', 'fe80::1%eth0', ':::', '1:2:3:4:5:6:7:8:9', '::g', ' ::1', '::1\n', ...NO_TEXT],
};

const PATH_MTU: FieldValues = {
  right: [1024, 256, 512, 2048, 4096],
  wrong: [0, 1, 255, 257, 1500, 8192, -256, 1024.5, ...NO_NUMBER],
};

const DEVICE: FieldValues = {
  right: ['soft:192.0.2.7', 'x', '~'.repeat(64), ' '],
  wrong: ['', 'x'.repeat(65), 'a\nb', 'é', '\u007f', '\u0000', ...NO_TEXT],
};

/** An object in which at most one field is not the usual one, or not right. */
function object(fields: Readonly<Record<string, FieldValues>>): FieldValues {
  const entries = Object.entries(fields);
  const needed = entries.filter(([, { optional }]) => optional !== true);
  const usual = Object.fromEntries(needed.map(([name, { right }]) => [name, right[0]]));
  const withOne = (which: 'right' | 'wrong'): object[] =>
    entries.flatMap(([name, values]) => values[which].map((value) => ({ ...usual, [name]: value })));
  const without = needed.map(([missing]) =>
    Object.fromEntries(Object.entries(usual).filter(([name]) => name !== missing)),
  );
  return {
    right: [usual, ...withOne('right')],
    wrong: [...withOne('wrong'), ...without, { ...usual, more: 1 }, [], {}, null, 7, 'path'],
  };
}

export const FRAME_FIELDS: Readonly<Record<FrameType, Readonly<Record<string, FieldValues>>>> = {
  psn: { psn: integer(0, 0xffffff, 0x123456) },
  parameters: {
    path: object({
      qpn: integer(0, 0xffffff, 0x654321),
      gid: GID,
      lid: integer(0, 0xffff, 0),
      udpPort: integer(1, 0xffff, 4791),
      mtu: PATH_MTU,
      rdAtomic: integer(0, 255, 16),
    }),
    terms: object({
      receive: RECEIVE,
      messages: MESSAGES,
      streams: STREAMS,
      buffer: BUFFER,
      received: integer(0, 0xffffffff, 0),
      resumeToken: { ...TOKEN, optional: true },
      encryption: {
        right: ['aes-256-gcm'],
        wrong: ['', 'aes-128-gcm', 'AES-256-GCM', 'none', ...NO_TEXT],
        optional: true,
      },
      brief: BRIEF,
      device: DEVICE,
    }),
    binding: { ...TOKEN, optional: true },
  },
  ready: {},
  proven: {},
  arrived: { messages: integer(0, 2, 1) },
  resume: { token: TOKEN },
  leave: {},
  ping: {},
  pong: {},
  error: { code: text(64), message: text(512) },
  bye: {
    reason: { ...text(256), optional: true },
    received: { ...integer(0, 0xffffffff, 7), optional: true },
  },
};
