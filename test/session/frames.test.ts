import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanText } from '../../src/session/clean-text.js';
import {
  byeFrame,
  encodeFrame,
  errorFrame,
  type Frame,
  MAX_FRAME_BODY_BYTES,
  parseFrameBody,
} from '../../src/session/frames.js';
import { toPsn } from '../../src/verbs/brands.js';
import { PARAMETERS, PSN_A } from './support.js';

const TOKEN = '0123456789abcdef'.repeat(4);
const BAD_TOKENS = ['', TOKEN.slice(1), `${TOKEN}0`, TOKEN.toUpperCase(), 'g'.repeat(64), 1];

const parse = (value: unknown) => parseFrameBody(Buffer.from(JSON.stringify(value)));
const { buffer } = PARAMETERS.terms;
/** As they are in JSON. */
const parameters = {
  v: 1,
  type: 'parameters',
  path: PARAMETERS.path,
  terms: { ...PARAMETERS.terms, buffer: { ...buffer, addr: '7f00deadbeef' } },
};

/** The parameters with other fields, each at its place. */
function changed(fields: Readonly<Record<string, unknown>>): object {
  const path: Record<string, unknown> = { ...parameters.path };
  const terms: Record<string, unknown> = { ...parameters.terms };
  for (const [name, value] of Object.entries(fields)) (name in path ? path : terms)[name] = value;
  return { ...parameters, path, terms };
}

function refused(value: unknown): string {
  const result = parse(value);
  assert.ok(!result.ok, `accepted ${JSON.stringify(value)}`);
  return `${result.violation.reason}: ${result.violation.message}`;
}

test('every frame type comes back from its bytes as it was', () => {
  const frames: Frame[] = [
    { type: 'psn', psn: PSN_A },
    { type: 'psn', psn: toPsn(0) },
    { type: 'psn', psn: toPsn(0xffffff) },
    { type: 'parameters', ...PARAMETERS },
    {
      type: 'parameters',
      path: { ...PARAMETERS.path, gid: '2001:db8::1' },
      terms: { ...PARAMETERS.terms, buffer: null },
    },
    {
      type: 'parameters',
      ...PARAMETERS,
      terms: { ...PARAMETERS.terms, received: 0xffffffff, resumeToken: TOKEN },
    },
    { type: 'ready' },
    { type: 'proven' },
    { type: 'arrived', messages: 2 },
    { type: 'resume', token: TOKEN },
    { type: 'ping' },
    { type: 'pong' },
    { type: 'error', code: 'protocol', message: 'no' },
    { type: 'bye' },
    { type: 'bye', reason: 'done' },
    { type: 'bye', received: 0 },
    { type: 'bye', reason: 'done', received: 0xffffffff },
  ];
  for (const frame of frames) {
    const bytes = encodeFrame(frame);
    assert.equal(bytes.readUInt32BE(0), bytes.length - 4);
    assert.deepEqual(parseFrameBody(bytes.subarray(4)), { ok: true, frame });
  }
});

test('a PSN frame is these bytes on the wire', () => {
  const bytes = encodeFrame({ type: 'psn', psn: toPsn(0x2807d5) });
  assert.equal(bytes.subarray(0, 4).toString('hex'), '00000022');
  assert.equal(bytes.subarray(4).toString(), '{"v":1,"type":"psn","psn":2623445}');
});

test('a frame that is its type alone is made and read without a schema, and nothing else passes for one', () => {
  for (const type of ['ready', 'proven', 'ping', 'pong'] as const) {
    const bytes = encodeFrame({ type });
    assert.equal(encodeFrame({ type }), bytes);
    const [once, again] = [parseFrameBody(bytes.subarray(4)), parseFrameBody(bytes.subarray(4))];
    assert.deepEqual(once, { ok: true, frame: { type } });
    assert.equal(once.ok && again.ok && once.frame === again.frame, true);
    assert.throws(() => encodeFrame({ type, more: 1 } as never), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
    assert.equal(parseFrameBody(Buffer.from(type)).ok, false);
    assert.equal(parseFrameBody(Buffer.from(`{"v":2,"type":"${type}"}`)).ok, false);
  }
});

test('what is not JSON in UTF-8 is not_json', () => {
  for (const body of ['', '{', 'psn', '{"v":1,}', '\ufeff{"v":1,"type":"ready"}']) {
    const result = parseFrameBody(Buffer.from(body));
    assert.equal(result.ok ? 'accepted' : result.violation.reason, 'not_json', JSON.stringify(body));
  }
  const badUtf8 = Buffer.from('7b2276223a312c2274797065223a22ff227d', 'hex');
  const result = parseFrameBody(badUtf8);
  assert.equal(result.ok ? 'accepted' : result.violation.reason, 'not_json');
  const nested = parseFrameBody(Buffer.from('['.repeat(MAX_FRAME_BODY_BYTES)));
  assert.equal(nested.ok ? 'accepted' : nested.violation.reason, 'not_json');
});

test('JSON that is not an object is not_valid', () => {
  for (const value of [null, 1, 'psn', [], [{ v: 1 }]]) assert.match(refused(value), /^not_valid/);
});

test('another version, or none, is wrong_version, whatever else the frame holds', () => {
  for (const v of [0, 2, '1', null, undefined, 1.5, [1]]) {
    assert.match(refused({ v, type: 'ready' }), /^wrong_version/);
    assert.match(refused({ v, type: 'from the future' }), /^wrong_version/);
  }
});

test('a type that does not exist is unknown_type, and names of Object.prototype are no types', () => {
  for (const type of ['hello', 'PSN', '', undefined, 1, 'toString', '__proto__', 'constructor']) {
    assert.match(refused({ v: 1, type }), /^unknown_type/);
  }
});

test('a field too many is not_valid, also one that Object.prototype has', () => {
  assert.match(
    refused({ v: 1, type: 'ready', extra: 1 }),
    /^not_valid: "ready" frame: .*unknown field "extra"/,
  );
  assert.match(refused({ v: 1, type: 'ready', toString: 1 }), /unknown field "toString"/);
  const proto = parseFrameBody(Buffer.from('{"v":1,"type":"ready","__proto__":{"psn":1}}'));
  assert.equal(proto.ok ? 'accepted' : proto.violation.reason, 'not_valid');
});

test('a field that is named twice is refused, wherever it stands and however it is written', () => {
  for (const body of [
    '{"v":1,"type":"psn","psn":1,"psn":2}',
    '{"v":1,"v":1,"type":"ready"}',
    '{"v":1,"type":"bye","reason":"a:b","re\\u0061son":"c"}',
    '{"v":1,"type":"error","code":"x","message":"\\":","type":"error"}',
    '{"v":1,"type":"ready","x":[{"a":1,"a":1}]}',
  ]) {
    const result = parseFrameBody(Buffer.from(body));
    assert.equal(
      result.ok ? 'accepted' : result.violation.message,
      'a control frame must not name a field twice',
    );
  }
  const colons = '{ "v" : 1, "type" : "bye", "reason" : "a:b\\":\\\\" }';
  assert.ok(parseFrameBody(Buffer.from(colons)).ok, 'colons in texts are no fields');
});

test('a field too few is not_valid and named', () => {
  for (const part of ['path', 'terms'] as const) {
    for (const field of Object.keys(PARAMETERS[part])) {
      const rest = Object.fromEntries(Object.entries(parameters[part]).filter(([name]) => name !== field));
      const message = refused({ ...parameters, [part]: rest });
      assert.match(message, new RegExp(`^not_valid: .*"${part}.${field}" is missing`));
    }
  }
});

const BAD_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  qpn: [-1, 0x1000000, 1.5, '5', null],
  gid: ['127.0.0.1', 'fe80::1%eth0', '::1::', '', 'x'.repeat(4000), 1],
  lid: [-1, 0x10000, 0.5],
  udpPort: [0, 65_536, -4791],
  mtu: [0, 1000, 8192, '1024', 1],
  rdAtomic: [-1, 256],
  receive: [
    null,
    {},
    { slots: 0, slotBytes: 1 },
    { slots: 1, slotBytes: 0 },
    { slots: 65_537, slotBytes: 1 },
    { slots: 1, slotBytes: 2 ** 31 + 1 },
    { slots: 1, slotBytes: 1, more: 1 },
    { slots: 4, slotBytes: 1, free: 4 },
  ],
  messages: [
    null,
    {},
    { maxBytes: 2 ** 30 + 1, windowBytes: 25 },
    { maxBytes: -1, windowBytes: 25 },
    { maxBytes: 0, windowBytes: 24 },
    { maxBytes: 0, windowBytes: 2 ** 30 },
    { maxBytes: 0, windowBytes: 25, more: 1 },
  ],
  streams: [
    null,
    { open: 2 ** 31, windowBytes: 1 },
    { open: 0, windowBytes: 0 },
    { open: 0.5, windowBytes: 1 },
    { open: 0, windowBytes: 1, more: 1 },
  ],
  buffer: [
    1,
    {},
    { addr: '', rkey: 1, length: 1 },
    { addr: '0x10', rkey: 1, length: 1 },
    { addr: '11112222333344445', rkey: 1, length: 1 },
    { addr: 'zz', rkey: 1, length: 1 },
    { addr: '10', rkey: 0x100000000, length: 1 },
    { addr: '10', rkey: 1, length: 0 },
    { addr: '10', rkey: 1, length: 2 ** 53 },
    { addr: 'ffffffffffffffff', rkey: 1, length: 2 },
  ],
  received: [-1, 0x100000000, 0.5, '0'],
  resumeToken: [null, ...BAD_TOKENS],
  device: ['', 'x'.repeat(65), 'ünit', 'a\u001b[31mb', 'a\nb'],
};

test('each field of the parameters has its bounds', () => {
  for (const [field, values] of Object.entries(BAD_FIELDS)) {
    for (const value of values) assert.match(refused(changed({ [field]: value })), /^not_valid/);
  }
});

test('the bounds themselves are inside', () => {
  const edges = [
    { qpn: 0, lid: 0xffff, udpPort: 1, rdAtomic: 255, mtu: 256 },
    {
      qpn: 0xffffff,
      udpPort: 65_535,
      receive: { slots: 65_536, slotBytes: 2 ** 31 },
      rdAtomic: 0,
      mtu: 4096,
    },
    { buffer: { addr: 'FFFFFFFFFFFFFFFF', rkey: 0xffffffff, length: 1 } },
    { buffer: { addr: '0', rkey: 0, length: Number.MAX_SAFE_INTEGER } },
    { messages: { maxBytes: 2 ** 30, windowBytes: 25 } },
    { streams: { open: 2 ** 31 - 1, windowBytes: 1 } },
  ];
  for (const edge of edges) assert.ok(parse(changed(edge)).ok, JSON.stringify(edge));
});

test('a PSN of more than 24 bits is refused, and the answer does not repeat it', () => {
  const secret = 0x1abcdef;
  for (const psn of [secret, -secret, secret + 0.5, String(secret), [secret], { secret }]) {
    const message = refused({ v: 1, type: 'psn', psn });
    assert.match(message, /^not_valid: "psn" frame: "psn" must be an integer from 0 to 16777215$/);
    assert.doesNotMatch(message, /28036591|1abcdef/i);
  }
});

test('a token that does not have its form is refused, and the answer does not repeat it', () => {
  for (const token of BAD_TOKENS) {
    const message = refused({ v: 1, type: 'resume', token });
    assert.equal(
      message,
      'not_valid: "resume" frame: "token" must be a text of 64 lower-case hexadecimal digits',
    );
  }
});

test('a frame that the peer would refuse is not sent', () => {
  const tooLong = { ...PARAMETERS, terms: { ...PARAMETERS.terms, device: 'x'.repeat(65) } };
  assert.throws(() => encodeFrame({ type: 'parameters', ...tooLong }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => encodeFrame({ type: 'error', code: 'c', message: 'm'.repeat(5000) }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
  });
});

test('error and bye frames fit and are valid whatever their texts hold', () => {
  const texts = [
    '\u0000\u001b[2J',
    '💥'.repeat(3000),
    '\ud800',
    '\u202egnp.exe',
    'x\ny',
    '"\\'.repeat(2000),
    '',
  ];
  for (const text of texts) {
    for (const frame of [errorFrame('protocol', text), byeFrame(text)]) {
      const bytes = encodeFrame(frame);
      assert.ok(bytes.length <= MAX_FRAME_BODY_BYTES + 4);
      assert.ok(parseFrameBody(bytes.subarray(4)).ok);
      assert.doesNotMatch(bytes.toString('utf8', 4), /[\p{Cc}\u202e\ufffd]/u);
    }
  }
});

test('clean text is one printable line of bounded length', () => {
  assert.equal(cleanText('a\r\n\tb\u0000c', 99), 'a b c');
  assert.equal(cleanText('\u001b[31mred\u001b[0m', 99), '[31mred [0m');
  assert.equal(cleanText('\u202eevil\u2066\u200b', 99), 'evil');
  assert.equal(cleanText('\u2028line\u2029', 99), 'line');
  assert.equal(cleanText('abcdef', 6), 'abcdef');
  assert.equal(cleanText('abcdefg', 6), 'abcde…');
  assert.equal(cleanText('abc💥efg', 5), 'abc…');
});
