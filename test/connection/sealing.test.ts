/** What is sealed opens once, in its place, and not at all when a bit of it was changed. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageKind } from '../../src/connection/fragments/message-header.js';
import { Opener, Sealer, TAG_BYTES } from '../../src/connection/fragments/sealing.js';
import { SealedMemory } from '../../src/connection/memory/sealed-memory.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { readFrom, writeTo } from '../../testkit/transfers.js';

const newKeys = () => ({ key: randomBytes(32), iv: randomBytes(12) });

function sealAll(sealer: Sealer, pieces: readonly Uint8Array[]) {
  return pieces.map((plain, i) => {
    const header = Buffer.from(`header ${i}`);
    const sealed = new Uint8Array(plain.length + TAG_BYTES);
    sealer.seal(header, plain, sealed);
    return { header, plain, sealed };
  });
}

test('pieces open in their order, also over changes of the key', () => {
  const keys = newKeys();
  const opener = new Opener(keys, 4);
  for (const { header, plain, sealed } of sealAll(
    new Sealer(keys, 4),
    Array.from({ length: 21 }, (_, i) => randomBytes(i * 100)),
  )) {
    assert.deepEqual(opener.open(header, sealed), plain);
    assert.equal(
      Buffer.from(sealed).includes(Buffer.from(plain.subarray(0, 16))) && plain.length >= 16,
      false,
    );
  }
});

test('a side that changes its key at another time is not understood', () => {
  const keys = newKeys();
  const opener = new Opener(keys, 5);
  const pieces = sealAll(
    new Sealer(keys, 4),
    Array.from({ length: 5 }, () => randomBytes(10)),
  );
  const opened = pieces.map(({ header, sealed }) => opener.open(header, sealed) !== undefined);
  assert.deepEqual(opened, [true, true, true, true, false]);
});

test('no bit of header, bytes or tag can be changed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (plain, where) => {
      const keys = newKeys();
      const [piece] = sealAll(new Sealer(keys), [plain]);
      assert.ok(piece);
      const all = Buffer.concat([piece.header, piece.sealed]);
      const bit = where % (all.length * 8);
      all.writeUInt8(all.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const { length } = piece.header;
      assert.equal(new Opener(keys).open(all.subarray(0, length), all.subarray(length)), undefined);
    }),
  );
});

test('a piece that is repeated, left out or out of its turn does not open', () => {
  const keys = newKeys();
  const pieces = sealAll(
    new Sealer(keys),
    Array.from({ length: 3 }, () => randomBytes(20)),
  );
  for (const order of [
    [0, 0],
    [1, 0],
    [0, 2],
  ]) {
    const opener = new Opener(keys);
    const opened = order.map((i) => {
      const piece = pieces[i];
      assert.ok(piece);
      return opener.open(piece.header, piece.sealed) !== undefined;
    });
    assert.equal(opened.at(-1), false, `order ${order}`);
  }
});

/** Two ends over one piece of memory; `tamper` is an attacker between the write and its announcement. */
function memoryPair(tamper: (memory: Uint8Array) => void = () => {}) {
  const memory = new Uint8Array(1000);
  const [client, server] = [newKeys(), newKeys()];
  const find = (addr: bigint, length: number) =>
    addr + BigInt(length) > 1000n ? undefined : memory.subarray(Number(addr), Number(addr) + length);
  const announced: Uint8Array[] = [];
  const served: SealedMemory = new SealedMemory({
    keys: { own: server, peer: client },
    maxMessageBytes: 1000,
    peerMaxMessageBytes: 1000,
    send: async (type, data) => own.onMessage(type, Buffer.from(data)),
    write: async () => assert.fail('the server writes nothing'),
    find,
  });
  const own: SealedMemory = new SealedMemory({
    keys: { own: client, peer: server },
    maxMessageBytes: 104,
    peerMaxMessageBytes: 104,
    send: async (type, data) => {
      announced.push(data);
      served.onMessage(type, Buffer.from(data));
    },
    write: async ({ remote }, data) => {
      memory.set(data, Number(remote.addr));
      tamper(memory);
    },
    find: () => undefined,
  });
  return { memory, own, served, announced };
}

test('a sealed write is opened in place when it is announced, and read back in pieces', async () => {
  let onTheWire = Buffer.alloc(0);
  const { memory, own } = memoryPair((bytes) => {
    onTheWire = Buffer.from(bytes);
  });
  const data = randomBytes(777);
  await own.write(writeTo(100n, data));
  assert.deepEqual(Buffer.from(memory.subarray(100, 877)), data);
  assert.equal(onTheWire.includes(data.subarray(0, 16)), false);
  const back = new Uint8Array(777);
  await own.read(readFrom(100n, back));
  assert.deepEqual(Buffer.from(back), data);
});

test('bytes that were changed in the memory before their announcement are wiped, not taken', async () => {
  const { memory, own } = memoryPair((bytes) => {
    bytes[150] = (bytes[150] ?? 0) ^ 1;
  });
  await assert.rejects(own.write(writeTo(100n, randomBytes(100))), (error: RdmaError) => {
    assert.equal(error.code, 'ERR_RDMA_OUTCOME_UNKNOWN');
    assert.equal((error.cause as RdmaError).code, 'ERR_RDMA_INTEGRITY');
    return true;
  });
  assert.deepEqual(memory, new Uint8Array(1000));
});

test('writes are announced in the order in which they were asked for, whichever is there first', async () => {
  const announced: number[] = [];
  const open: { settle: (error?: Error) => void }[] = [];
  const own: SealedMemory = new SealedMemory({
    keys: { own: newKeys(), peer: newKeys() },
    maxMessageBytes: 1000,
    peerMaxMessageBytes: 1000,
    send: async (_kind, data) => {
      announced.push(Number(Buffer.from(data).readBigUInt64BE(0)));
      own.onMessage(MessageKind.SEALED_OPENED, Buffer.from(data.subarray(0, 8)));
    },
    write: () =>
      new Promise((resolve, reject) => {
        open.push({ settle: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
    find: () => undefined,
  });
  const writes = [10n, 20n, 30n].map((addr) => own.write(writeTo(addr, randomBytes(8))));
  await Promise.resolve();
  const lost = new Error('lost');
  const second = assert.rejects(writes[1] as Promise<void>, lost);
  open[2]?.settle();
  open[1]?.settle(lost);
  await second;
  assert.deepEqual(announced, []);
  open[0]?.settle();
  await Promise.all([writes[0], writes[2]]);
  assert.deepEqual(announced, [1, 3]);
});

test('an announcement that is repeated, or reaches outside, breaks the rules', async () => {
  const { own, served, announced } = memoryPair();
  await own.write(writeTo(0n, randomBytes(10)));
  const [first] = announced;
  assert.ok(first);
  assert.throws(
    () => served.onMessage(MessageKind.SEALED_WRITE, Buffer.from(first)),
    /announced a sealed write twice/,
  );
  const outside = Buffer.from(first);
  outside.writeBigUInt64BE(9n, 0);
  outside.writeBigUInt64BE(995n, 8);
  assert.throws(() => served.onMessage(MessageKind.SEALED_WRITE, outside), /outside of what it may write/);
  await assert.rejects(own.read(readFrom(995n, new Uint8Array(10))), /may not read/);
});

test('memory that nobody asked for is refused, and reads end when the connection does', async () => {
  const { own } = memoryPair();
  assert.throws(() => own.onMessage(MessageKind.SEALED_DATA, Buffer.alloc(20)), /nobody asked for/);
  const silent = new SealedMemory({
    keys: { own: newKeys(), peer: newKeys() },
    maxMessageBytes: 1000,
    peerMaxMessageBytes: 1000,
    send: async () => {},
    write: async () => {},
    find: () => undefined,
  });
  const read = silent.read(readFrom(0n, new Uint8Array(100_000)));
  const error = new Error('over');
  silent.fail(error as never);
  await assert.rejects(read, error);
});
