/** The worked frames of docs/protocol.md, which are computed anew here, are what the code sends and takes. */
import assert from 'node:assert/strict';
import { createCipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { closeCodeOf, closeKindOf } from '../../src/connection/fragments/close-codes.js';
import {
  type MessageHeader,
  MessageKind,
  MessageViolation,
  readHeader,
  writeHeader,
} from '../../src/connection/fragments/message-header.js';
import { Outbox } from '../../src/connection/fragments/outbox.js';
import { LIMIT_RECEIVES } from '../../src/connection/fragments/receive-window.js';
import { Opener, Sealer } from '../../src/connection/fragments/sealing.js';
import { WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import { SealedMemory } from '../../src/connection/memory/sealed-memory.js';
import { MessageInbox } from '../../src/connection/messages/message-inbox.js';
import { MessageReceiver } from '../../src/connection/messages/message-receiver.js';
import { MessageSender } from '../../src/connection/messages/message-sender.js';
import { StreamTable } from '../../src/connection/streams/stream-table.js';
import { FrameDecoder } from '../../src/session/frame-decoder.js';
import { encodeFrame, type FrameOf } from '../../src/session/frames.js';
import type { SessionPath } from '../../src/session/session-data.js';
import { bindParameters, deriveKeys, type KeyExporter } from '../../src/session/session-secrets.js';
import { ALPN_PROTOCOL } from '../../src/session/tls-protocol.js';
import { toPsn, toQpn } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { REFUSAL_KINDS } from '../../src/verbs/refusal-kind.js';
import { writeTo } from '../../testkit/transfers.js';
import { sendMemoryOf, WatchedMemory, WatchedQp } from '../../tools/fuzz/targets/messages/watched-queues.js';
import { startServer, testCertificates } from '../session/support.js';
import { packageRoot } from '../tooling/temporary-project.js';

const text = readFileSync(join(packageRoot(), 'docs/protocol.md'), 'utf8');

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(/[` ]/g, ''), 'hex');

/** The cells of the rows of the table that begins with this head. */
function table(head: string): string[][] {
  const [, after] = text.split(`${head}\n`);
  assert(after !== undefined, `the document has a table ${head}`);
  const rows: string[][] = [];
  for (const line of after.split('\n').slice(1)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  }
  assert(rows.length > 0, head);
  return rows;
}

function named(name: string): string {
  const [, value] = new RegExp(`^\\| ${name} \\| \`(.*)\` \\|$`, 'm').exec(text) ?? [];
  assert(value !== undefined, `the document has a value "${name}"`);
  return value;
}

const secret = (name: string): Buffer => bytesOf(named(name));

/** Session frames: prefix and body, as they are sent. */
const frames = [...text.matchAll(/^```frame\n(.*)\n([\s\S]*?)\n```$/gm)].map(
  ([, prefix = '', body = '']) => ({
    prefix: bytesOf(prefix),
    body: Buffer.from(body.replaceAll(/\n */g, '')),
  }),
);

const decoded = (bytes: Uint8Array) => [...new FrameDecoder().push(bytes)];

test('session frames are encoded and decoded as the document has them', () => {
  const types = frames.map(({ prefix, body }) => {
    const bytes = Buffer.concat([prefix, body]);
    assert.equal(prefix.readUInt32BE(0), body.length, body.toString());
    const [result, ...more] = decoded(bytes);
    assert(result?.ok && more.length === 0, body.toString());
    assert.equal(encodeFrame(result.frame).toString(), bytes.toString());
    return result.frame.type;
  });
  assert.deepEqual(types, [
    'psn',
    'parameters',
    'ready',
    'proven',
    'leave',
    'arrived',
    'resume',
    'error',
    'bye',
    'bye',
  ]);
});

test('session frames that the document refuses are refused by that name', () => {
  for (const [body = '', reason] of table('| body | refused as |')) {
    const bytes = Buffer.from(`    ${body.slice(1, -1)}`);
    bytes.writeUInt32BE(bytes.length - 4, 0);
    const [result] = decoded(bytes);
    assert(result?.ok === false, body);
    assert.equal(`\`${result.violation.reason}\``, reason, body);
  }
});

test('the document names the codes of errors, and gives each the number that CLOSE tells', () => {
  const [, list = ''] = /^Codes: ([\s\S]*?)\.$/m.exec(text) ?? [];
  const codes = [...list.matchAll(/`([\w-]+)` (\d+)/g)].map(([, kind, number]) => [kind, Number(number)]);
  assert.deepEqual(
    codes,
    REFUSAL_KINDS.map((refusal) => [
      refusal,
      closeCodeOf(new RdmaError('ERR_RDMA_REFUSED', 'no', { refusal })),
    ]),
  );
  for (const [kind, number] of codes) assert.equal(closeKindOf(Number(number)), kind);
  assert.equal(closeKindOf(codes.length + 1), 'other');
  assert.equal(closeKindOf(0xffffffff), 'other');
});

// --- secrets ----------------------------------------------------------------------------------------------------------

type Hash = 'sha256' | 'sha384';

const digest = (hash: Hash, data: Uint8Array): Buffer => createHash(hash).update(data).digest();

/** HKDF-Expand-Label of RFC 8446, 7.1. */
function expandLabel(
  hash: Hash,
  key: Uint8Array,
  label: string,
  context: Buffer,
  lengthBytes: number,
): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const head = Buffer.from([lengthBytes >> 8, lengthBytes & 0xff, name.length]);
  const info = Buffer.concat([head, name, Buffer.from([context.length]), context]);
  let block = Buffer.alloc(0);
  let out = Buffer.alloc(0);
  for (let i = 1; out.length < lengthBytes; i++) {
    block = createHmac(hash, key)
      .update(Buffer.concat([block, info, Buffer.from([i])]))
      .digest();
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, lengthBytes);
}

/** The exporter of RFC 8446, 7.5. */
function exported(hash: Hash, secretBytes: Buffer, label: string, context: Uint8Array, lengthBytes: number) {
  const empty = digest(hash, Buffer.alloc(0));
  const derived = expandLabel(hash, secretBytes, label, empty, empty.length);
  return expandLabel(hash, derived, 'exporter', digest(hash, context), lengthBytes);
}

const exporterSecret = secret('exporter secret');
const ofServer: KeyExporter = {
  role: 'server',
  sessionsBefore: 0,
  exportKeyingMaterial: (lengthBytes, label, context = new Uint8Array(0)) =>
    exported('sha256', exporterSecret, label, context, lengthBytes),
};
const ofClient: KeyExporter = { ...ofServer, role: 'client' };

function workedParameters(): FrameOf<'parameters'> {
  for (const { prefix, body } of frames) {
    const [result] = decoded(Buffer.concat([prefix, body]));
    if (result?.ok && result.frame.type === 'parameters') return result.frame;
  }
  assert.fail('the document has a parameters frame');
}

test('the binding is what the document computes', () => {
  const parameters = workedParameters();
  const context = digest(
    'sha256',
    Buffer.from(`server 0 11259361 ${named('canonical parameters of the server')}`),
  );
  assert.deepEqual(context, secret("context of the server's binding"));
  const binding = exported('sha256', exporterSecret, 'EXPORTER-queuepair-parameters', context, 32);
  assert.equal(binding.toString('hex'), named("server's binding"));
  assert.equal(binding.toString('hex'), parameters.binding);
  assert.equal(bindParameters(ofServer, 'server', toPsn(11259361), parameters), parameters.binding);
});

test('keys are what the document computes, and each end uses the right ones', () => {
  const context = Buffer.from(named('context of keys'));
  const end = (psn: number, qpn: number): SessionPath => ({
    ...workedParameters().path,
    psn: toPsn(psn),
    qpn: toQpn(qpn),
  });
  const [server, client] = [end(11259361, 132), end(1193047, 133)];
  for (const purpose of ['messages', 'memory']) {
    const [servers, clients] = ['server', 'client'].map((sender) => {
      const bytes = exported(
        'sha256',
        exporterSecret,
        `EXPORTER-queuepair-${purpose}-${sender}`,
        context,
        44,
      );
      assert.deepEqual(bytes, secret(`${purpose}, ${sender}: key and initial nonce`));
      return { key: bytes.subarray(0, 32), iv: bytes.subarray(32) };
    });
    assert.deepEqual(deriveKeys(ofServer, purpose, { own: server, peer: client }), {
      own: servers,
      peer: clients,
    });
    assert.deepEqual(deriveKeys(ofClient, purpose, { own: client, peer: server }), {
      own: clients,
      peer: servers,
    });
  }
});

test('the exporter of a TLS connection is the one that the document means', async () => {
  const certificates = await testCertificates();
  const context = Buffer.from('any context');
  let atServer: Uint8Array | undefined;
  await using server = await startServer(certificates, {
    onChannel: (channel) => {
      atServer = channel.exportKeyingMaterial(44, 'EXPORTER-queuepair-test', context);
      void channel.close();
    },
  });
  const lines: string[] = [];
  const { ca, client } = certificates;
  const socket = connect({
    host: '127.0.0.1',
    port: server.port,
    ca: ca.certPem,
    cert: client.certPem,
    key: client.keyPem,
    ALPNProtocols: [ALPN_PROTOCOL],
  });
  socket.on('keylog', (line: Buffer) => lines.push(line.toString()));
  await once(socket, 'secureConnect');
  const hash = socket.getCipher().standardName?.endsWith('SHA384') === true ? 'sha384' : 'sha256';
  socket.resume();
  socket.end();
  await once(socket, 'close');
  const [, secretHex = ''] = /^EXPORTER_SECRET \w+ (\w+)/m.exec(lines.join('')) ?? [];
  const wanted = exported(hash, Buffer.from(secretHex, 'hex'), 'EXPORTER-queuepair-test', context, 44);
  assert.deepEqual(atServer, wanted);
});

// --- messages ---------------------------------------------------------------------------------------------------------

const HEADERS = '| kind | flags | sequence | limit | stream | tag | value | payload bytes | header |';
const FLAGS: Readonly<Record<string, number>> = { '–': 0, FIN: 1, YOURS: 2, 'FIN YOURS': 3 };

test('headers are encoded and decoded as the document has them', () => {
  const kinds = new Set<number>();
  for (const [kindName = '', flagNames = '', ...cells] of table(HEADERS)) {
    const kind = Object.entries(MessageKind).find(([name]) => name === kindName)?.[1];
    const flags = FLAGS[flagNames];
    assert(kind !== undefined && flags !== undefined, `${kindName} ${flagNames}`);
    const [sequence = 0, limit = 0, stream = 0, tag = 0, value = 0, payloadBytes = 0] = cells.map(Number);
    const wanted = bytesOf(cells.at(-1) ?? '');
    const header: MessageHeader = { kind, flags, sequence, limit, stream, tag, value };
    const bytes = Buffer.alloc(24, 0xa5);
    writeHeader(bytes, 0, header);
    assert.equal(bytes.toString('hex'), wanted.toString('hex'), kindName);
    assert.deepEqual(readHeader(wanted, 0, payloadBytes), header);
    kinds.add(kind);
  }
  assert.equal(kinds.size, Object.keys(MessageKind).length, 'there is one of each kind');
});

test('the document gives each kind its number', () => {
  const kinds = table('| kind | name | flags | stream | tag | value | payload |');
  assert.deepEqual(Object.fromEntries(kinds.map(([kind, name]) => [name, Number(kind)])), { ...MessageKind });
});

const SLOTS = 2;
const SLOT_BYTES = 128;
const TERMS = { maxMessageBytes: 64, messageWindowBytes: 100, streams: 1, streamWindowBytes: 16 };

/** A receiver as the document has it; returns what hands it a fragment. */
function receiver(isBrief: boolean): (fragment: Uint8Array) => void {
  const outbox = new Outbox();
  const { streams: open, streamWindowBytes: windowBytes, maxMessageBytes, messageWindowBytes } = TERMS;
  const streams = new StreamTable({ outbox, streams: open, windowBytes });
  const inbox = new MessageInbox({ maxMessageBytes, windowBytes: messageWindowBytes, tell() {} });
  const end: MessageReceiver = new MessageReceiver({
    slots: SLOTS,
    slotBytes: SLOT_BYTES,
    maxMessageBytes,
    inbox,
    streams,
    onPeerLimit: (limit) => sender.onPeerLimit(limit),
    onMessageLimit: (limit) => sender.onMessageLimit(limit),
    onReceiveGiven() {},
    onQuit() {},
    onAsk() {},
    onBye() {},
    onClose() {},
    onSealedMemory: () => assert.fail('nothing is sealed'),
    onRefused: assert.ifError,
  });
  const sender = new MessageSender({
    memory: sendMemoryOf(new WatchedMemory(SLOTS * SLOT_BYTES)),
    slots: SLOTS,
    slotBytes: SLOT_BYTES,
    window: end.window,
    outbox,
    streams,
  });
  const slots = SLOTS + LIMIT_RECEIVES;
  const qp = new WatchedQp(slots, SLOT_BYTES);
  const mr = new WatchedMemory(slots * SLOT_BYTES);
  const tracker = new WorkTracker(qp, { onRefused: assert.ifError });
  const peer = { peerSlots: SLOTS, peerSlotBytes: SLOT_BYTES, peerReceived: 0, terms: TERMS, sealer: null };
  end.attach(qp, mr, 0, null, isBrief);
  sender.attach({ tracker, ...peer });
  return (fragment) => {
    const slot = qp.receives.shift() ?? assert.fail('no receive is posted');
    mr.bytes.set(fragment, slot * SLOT_BYTES);
    end.onFragment(slot, fragment.length);
  };
}

const fragmentsOf = (cell: string): Buffer[] =>
  cell.split('<br>').map((fragment) => {
    const [, header = '', payloadBytes = '0'] = /^`([^`]*)`(?: \+ (\d+))?$/.exec(fragment) ?? [];
    return Buffer.concat([bytesOf(header), Buffer.alloc(Number(payloadBytes))]);
  });

const VIOLATIONS = [
  { head: '| fragments | refused as |', isBrief: false },
  { head: '| fragments of a brief connection | refused as |', isBrief: true },
];

test('fragments that the document refuses are refused by that name, and those before them are taken', () => {
  const rows = VIOLATIONS.flatMap(({ head, isBrief }) => table(head).map((cells) => ({ cells, isBrief })));
  for (const {
    cells: [cell = '', reason = ''],
    isBrief,
  } of rows) {
    const take = receiver(isBrief);
    const fragments = fragmentsOf(cell);
    const last = fragments.pop() ?? assert.fail(cell);
    for (const fragment of fragments) take(fragment);
    assert.throws(
      () => take(last),
      (error) => error instanceof MessageViolation && `\`${error.reason}\`` === reason,
      `${reason}: ${cell}`,
    );
  }
});

test('what describes a piece of memory has the bytes of the document', () => {
  for (const [addr = '', rkey, length, encoded = ''] of table('| address | rkey | length | encoded |')) {
    const remote = new RemoteBuffer(BigInt(addr.slice(1, -1)), Number(rkey), Number(length));
    assert.deepEqual(Buffer.from(remote.encode()), bytesOf(encoded));
    assert.deepEqual(RemoteBuffer.decode(bytesOf(encoded)), remote);
  }
});

// --- sealing ----------------------------------------------------------------------------------------------------------

const keysOf = (name: string) => {
  const bytes = secret(name);
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32) };
};

function gcm(key: Buffer, nonce: Buffer, associated: Uint8Array, plain: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associated);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** `iv` with a number in its last bytes. */
function nonceOf(iv: Buffer, number: number): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ number) >>> 0, 8);
  return nonce;
}

test('fragments are sealed as the document computes it', () => {
  const keys = keysOf('messages, client: key and initial nonce');
  const [header, plain] = [secret('header of a fragment, number 0'), secret('its payload')];
  const wanted = secret('sealed payload and tag');
  assert.deepEqual(gcm(keys.key, secret('its nonce'), header, plain), wanted);
  assert.deepEqual(nonceOf(keys.iv, 1), secret('nonce of number 1'));
  const next = Buffer.from(hkdfSync('sha256', keys.key, '', 'queuepair next key', 44));
  assert.deepEqual(next, secret('next key and initial nonce'));

  // Two pieces to a key here, so that the third shows the next one.
  const sealer = new Sealer(keys, 2);
  const opener = new Opener(keys, 2);
  const nexts = { key: next.subarray(0, 32), iv: next.subarray(32) };
  const pieces = [
    wanted,
    gcm(keys.key, nonceOf(keys.iv, 1), header, plain),
    gcm(nexts.key, nexts.iv, header, plain),
  ];
  for (const piece of pieces) {
    const sealed = Buffer.alloc(piece.length);
    sealer.seal(header, plain, sealed);
    assert.deepEqual(sealed, piece);
    assert.deepEqual(opener.open(header, piece), plain);
  }
  assert.equal(opener.open(header, wanted), undefined, 'a repeated piece does not open');
});

test('writes are sealed and announced as the document computes it', async () => {
  const [server, client] = ['server', 'client'].map((end) => keysOf(`memory, ${end}: key and initial nonce`));
  assert(server !== undefined && client !== undefined);
  const plain = secret('bytes of a write, number 1');
  const [wanted, announcement] = [
    secret('sealed bytes in the memory'),
    secret('SEALED_WRITE for address `0x1000`'),
  ];
  assert.deepEqual(nonceOf(client.iv, 1), secret('nonce of the write'));
  const tagged = gcm(client.key, nonceOf(client.iv, 1), announcement.subarray(8, 24), plain);
  assert.deepEqual(tagged, Buffer.concat([wanted, announcement.subarray(24)]));

  const memory = Buffer.alloc(plain.length);
  const sent: Buffer[] = [];
  const writer = new SealedMemory({
    keys: { own: client, peer: server },
    maxMessageBytes: 1000,
    peerMaxMessageBytes: 1000,
    send: async (kind, data) => {
      assert.equal(kind, MessageKind.SEALED_WRITE);
      sent.push(Buffer.from(data));
    },
    write: async (_remote, data) => void memory.set(data),
    find: () => undefined,
  });
  const writing = writer.write(writeTo(0x1000n, plain));
  while (sent.length === 0) await new Promise(setImmediate);
  assert.deepEqual(sent, [announcement]);
  assert.deepEqual(memory, wanted);

  const owner = new SealedMemory({
    keys: { own: server, peer: client },
    maxMessageBytes: 1000,
    peerMaxMessageBytes: 1000,
    send: async (kind, data) => {
      assert.equal(kind, MessageKind.SEALED_OPENED);
      assert.deepEqual(Buffer.from(data), secret('SEALED_OPENED for it'));
      writer.onMessage(kind, Buffer.from(data));
    },
    write: async () => assert.fail('the owner writes nothing'),
    find: (addr, length) => (addr === 0x1000n && length === plain.length ? memory : undefined),
  });
  owner.onMessage(MessageKind.SEALED_WRITE, announcement);
  assert.deepEqual(memory, plain);
  await writing;
  assert.throws(
    () => owner.onMessage(MessageKind.SEALED_WRITE, announcement),
    (error) => error instanceof MessageViolation && error.reason === 'sealed_memory',
  );
});
