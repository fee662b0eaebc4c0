/** Sealed memory of two ends that are joined without a network: what is bounded, what ends, and which rights are asked for. */
import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';
import { MessageKind } from '../../src/connection/fragments/message-header.js';
import { SealedMemory, type SealedMemoryOptions } from '../../src/connection/memory/sealed-memory.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { readFrom, writeTo } from '../../testkit/transfers.js';

const keysOf = (first: number) => ({ key: Buffer.alloc(32, first), iv: Buffer.alloc(12, first + 1) });
const OWN = keysOf(1);
const PEER = keysOf(3);
const BASE = 0x1000n;
const MEMORY_BYTES = 1024;
/** Sixteen bytes of memory in each answer. */
const MAX_MESSAGE_BYTES = 20;

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

class End {
  readonly memory: Buffer = Buffer.alloc(MEMORY_BYTES);
  readonly asked: string[] = [];
  readonly sent: Buffer[] = [];
  readonly sealed: SealedMemory;
  peer: End | undefined;

  constructor(keys: SealedMemoryOptions['keys']) {
    this.sealed = new SealedMemory({
      keys,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      peerMaxMessageBytes: 128,
      send: async (kind: MessageKind, data) => {
        this.sent.push(Buffer.from(data));
        await turns(1);
        try {
          this.peer?.sealed.onMessage(kind, Buffer.from(data));
        } catch (error) {
          // As a connection whose peer refuses what it sent: it ends.
          this.sealed.fail(error as RdmaError);
          throw error;
        }
      },
      write: async ({ remote }, data) => {
        this.peer?.memory.set(data, Number(remote.addr - BASE));
      },
      find: (addr, length, right) => {
        this.asked.push(right);
        return this.memory.subarray(Number(addr - BASE), Number(addr - BASE) + length);
      },
    });
  }
}

function joined(): [End, End] {
  const one = new End({ own: OWN, peer: PEER });
  const other = new End({ own: PEER, peer: OWN });
  one.peer = other;
  other.peer = one;
  return [one, other];
}

test('reads are answered as long as there are any, with the right to read, and writes ask for that to write', async () => {
  const [one, other] = joined();
  for (let i = 0; i < MEMORY_BYTES; i++) other.memory[i] = i;
  for (let round = 0; round < 3; round++) {
    const into = new Uint8Array(MEMORY_BYTES);
    await one.sealed.read(readFrom(BASE, into));
    assert.deepEqual(Buffer.from(into), other.memory);
  }
  assert.deepEqual(new Set(other.asked), new Set(['read']));
  other.asked.length = 0;
  await one.sealed.write(writeTo(BASE + 8n, Buffer.from('words')));
  assert.equal(other.memory.subarray(8, 13).toString(), 'words');
  assert.deepEqual(other.asked, ['write']);
});

test('eight requests are under way at most; a connection that ends rejects them and those that wait', async () => {
  const alone = new End({ own: OWN, peer: PEER });
  let outcome = 'still waits';
  for (let i = 0; i < 40; i++)
    void alone.sealed.read(readFrom(BASE, new Uint8Array(8))).catch(() => undefined);
  void alone.sealed.read(readFrom(BASE, new Uint8Array(MEMORY_BYTES))).catch((error: RdmaError) => {
    outcome = error.code;
  });
  await turns(5);
  assert.equal(alone.sent.length, 8);
  alone.sealed.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link is gone'));
  await turns(5);
  assert.equal(outcome, 'ERR_RDMA_CONNECTION_LOST');
});

test('write n is sealed with the initial nonce XOR n; address and length are authenticated', async () => {
  const alone = new End({ own: OWN, peer: PEER });
  const moved: Buffer[] = [];
  alone.peer = {
    memory: { set: (data: Uint8Array) => moved.push(Buffer.from(data)) },
    sealed: { onMessage() {} },
  } as unknown as End;
  for (const text of ['first', 'second']) {
    const writing = alone.sealed.write(writeTo(BASE + 16n, Buffer.from(text)));
    await turns(5);
    const opened = Buffer.alloc(8);
    opened.writeBigUInt64BE(BigInt(moved.length));
    alone.sealed.onMessage(MessageKind.SEALED_OPENED, opened);
    await writing;
  }
  assert.equal(moved.length, 2);
  for (const [i, text] of ['first', 'second'].entries()) {
    const announcement = alone.sent[i] as Buffer;
    assert.equal(announcement.readBigUInt64BE(0), BigInt(i + 1));
    const nonce = Buffer.from(OWN.iv);
    nonce[11] = (nonce[11] as number) ^ (i + 1);
    const decipher = createDecipheriv('aes-256-gcm', OWN.key, nonce, { authTagLength: 16 });
    const named = Buffer.alloc(16);
    named.writeBigUInt64BE(BASE + 16n, 0);
    named.writeBigUInt64BE(BigInt(text.length), 8);
    decipher.setAAD(named);
    decipher.setAuthTag(announcement.subarray(24));
    assert.equal(decipher.update(moved[i] as Buffer).toString(), text);
    decipher.final();
  }
});

/** An end whose writes go through at once and whose peer says nothing by itself. */
function aloneEnd(): End {
  const alone = new End({ own: OWN, peer: PEER });
  alone.peer = { memory: { set() {} }, sealed: { onMessage() {} } } as unknown as End;
  return alone;
}

function opened(counter: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeBigUInt64BE(BigInt(counter));
  return data;
}

test('what overlaps a write waits until the peer has opened it; what does not goes at once', async () => {
  const alone = aloneEnd();
  const { sealed, sent } = alone;
  const done: string[] = [];
  const begin = (name: string, running: Promise<void>) =>
    void running.then(
      () => done.push(name),
      (error: RdmaError) => done.push(`${name}: ${error.code}`),
    );
  const shut = writeTo(BASE + 24n, new Uint8Array(8));
  begin('first', sealed.write(writeTo(BASE, new Uint8Array(16))));
  begin('beside', sealed.write(writeTo(BASE + 16n, new Uint8Array(8))));
  begin('over', sealed.write(writeTo(BASE + 15n, new Uint8Array(2))));
  begin('read', sealed.read(readFrom(BASE + 8n, new Uint8Array(4))));
  begin('behind', sealed.write(writeTo(BASE + 20n, new Uint8Array(8))));
  begin('shut', sealed.write(shut));
  await turns(5);
  assert.deepEqual(done, []);
  assert.deepEqual(
    sent.map((data) => Number(data.readBigUInt64BE(8) - BASE)),
    [0, 16],
    'two are announced',
  );
  shut.giveUp();
  sealed.onMessage(MessageKind.SEALED_OPENED, opened(1));
  await turns(5);
  assert.deepEqual(done, ['shut: ERR_RDMA_ABORTED', 'first']);
  assert.equal(sent.length, 3, 'the read asks, the write over both waits');
  sealed.onMessage(MessageKind.SEALED_OPENED, opened(2));
  await turns(5);
  assert.equal(sent.length, 5);
  sealed.onMessage(MessageKind.SEALED_OPENED, opened(4));
  await turns(5);
  assert.deepEqual(done.slice(2), ['beside', 'over', 'behind']);
  sealed.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link is gone'));
  await turns(5);
  assert.deepEqual(done.slice(5), ['read: ERR_RDMA_CONNECTION_LOST']);
});

test('a write waits for the reads of its bytes, and reads share them', async () => {
  const alone = aloneEnd();
  const { sealed, sent } = alone;
  const reads = [0, 4].map((at) => sealed.read(readFrom(BASE + BigInt(at), new Uint8Array(8))));
  const writing = sealed.write(writeTo(BASE, new Uint8Array(8)));
  await turns(5);
  assert.equal(sent.length, 2);
  for (const request of sent.slice()) {
    sealed.onMessage(MessageKind.SEALED_DATA, Buffer.concat([request.subarray(0, 4), Buffer.alloc(8)]));
  }
  await Promise.all(reads);
  await turns(5);
  assert.equal(sent.length, 3);
  sealed.onMessage(MessageKind.SEALED_OPENED, opened(1));
  await writing;
});

test('whatever waits for the peer or for memory ends with the connection', async () => {
  const alone = aloneEnd();
  const { sealed } = alone;
  let moved = 0;
  alone.peer = { memory: { set: () => moved++ }, sealed: { onMessage() {} } } as unknown as End;
  const running = [0, 0, 4].map((at) => sealed.write(writeTo(BASE + BigInt(at), new Uint8Array(8))));
  const reading = sealed.read(readFrom(BASE, new Uint8Array(8)));
  const outcomes = Promise.all(
    [...running, reading].map((one) => one.catch((error: RdmaError) => error.code)),
  );
  await turns(5);
  sealed.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link is gone'));
  assert.deepEqual(await outcomes, [
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'ERR_RDMA_CONNECTION_LOST',
    'ERR_RDMA_CONNECTION_LOST',
    'ERR_RDMA_CONNECTION_LOST',
  ]);
  assert.equal(moved, 1, 'what waited for memory writes nothing any more');
  await assert.rejects(sealed.write(writeTo(BASE, new Uint8Array(8))), { code: 'ERR_RDMA_CONNECTION_LOST' });
});

test('a peer that opened what nobody announced, or opens it twice, breaks the rules', async () => {
  const { sealed } = aloneEnd();
  const broken = { code: 'ERR_RDMA_PROTOCOL' };
  const say = (data: Buffer) => () => sealed.onMessage(MessageKind.SEALED_OPENED, data);
  assert.throws(say(opened(0)), broken);
  assert.throws(say(opened(1)), broken);
  const writing = sealed.write(writeTo(BASE, new Uint8Array(8)));
  await turns(5);
  assert.throws(say(opened(2)), broken);
  assert.throws(say(Buffer.concat([opened(1), Buffer.alloc(1)])), broken);
  say(opened(1))();
  await writing;
  assert.throws(say(opened(1)), broken);
});

test('a read that is given up asks for nothing more, and lets those behind it go on', async () => {
  const alone = aloneEnd();
  const { sealed, sent } = alone;
  const given = readFrom(BASE, new Uint8Array(MEMORY_BYTES));
  const ended = assert.rejects(sealed.read(given), { code: 'ERR_RDMA_ABORTED' });
  const behind = sealed.read(readFrom(BASE, new Uint8Array(16)));
  await turns(5);
  assert.equal(sent.length, 8);
  given.giveUp();
  const answer = (request: Buffer): void =>
    sealed.onMessage(MessageKind.SEALED_DATA, Buffer.concat([request.subarray(0, 4), Buffer.alloc(16)]));
  for (const request of sent.splice(0)) {
    answer(request);
    await turns(2);
  }
  await ended;
  assert.equal(sent.length, 1);
  answer(sent[0] as Buffer);
  await behind;
});

test('what is opened while the peer is being told is told next', async () => {
  const memory = Buffer.alloc(32);
  const alone = aloneEnd();
  alone.peer = { memory, sealed: { onMessage() {} } } as unknown as End;
  const told: { readonly counter: bigint; readonly done: () => void }[] = [];
  const owner = new SealedMemory({
    keys: { own: PEER, peer: OWN },
    maxMessageBytes: MAX_MESSAGE_BYTES,
    peerMaxMessageBytes: 128,
    send: (kind, data) => {
      assert.equal(kind, MessageKind.SEALED_OPENED);
      return new Promise((done) => told.push({ counter: Buffer.from(data).readBigUInt64BE(), done }));
    },
    write: async () => assert.fail('the owner writes nothing'),
    find: (addr, length) => memory.subarray(Number(addr - BASE), Number(addr - BASE) + length),
  });
  const writing = [0, 8, 16].map((at) => alone.sealed.write(writeTo(BASE + BigInt(at), new Uint8Array(8))));
  await turns(5);
  for (const announcement of alone.sent) owner.onMessage(MessageKind.SEALED_WRITE, announcement);
  assert.deepEqual(
    told.map(({ counter }) => counter),
    [1n],
  );
  told[0]?.done();
  await turns(2);
  assert.deepEqual(
    told.map(({ counter }) => counter),
    [1n, 3n],
  );
  told[1]?.done();
  await turns(2);
  assert.equal(told.length, 2);
  alone.sealed.onMessage(MessageKind.SEALED_OPENED, opened(3));
  await Promise.all(writing);
});

test('a write that was announced is unknown when the connection ends, unless it may be carried out twice', async () => {
  const alone = aloneEnd();
  const { sealed } = alone;
  const end = new RdmaError('ERR_RDMA_CLOSED', 'the connection is closed');
  const outcomes = [false, true].map((repeatable, i) =>
    sealed
      .write(writeTo(BASE + BigInt(8 * i), new Uint8Array(8), repeatable))
      .catch((error: RdmaError) => error),
  );
  await turns(5);
  assert.equal(alone.sent.length, 2);
  sealed.fail(end);
  const [once, again] = (await Promise.all(outcomes)) as RdmaError[];
  assert.equal(once?.code, 'ERR_RDMA_OUTCOME_UNKNOWN');
  assert.equal(once?.cause, end);
  assert.equal(again, end);
});

test('a peer that asks for more than its own messages hold gets nothing, and no memory is taken for it', async () => {
  const alone = aloneEnd();
  const ask = (length: number): void => {
    const request = Buffer.alloc(16);
    request.writeBigUInt64BE(BASE, 4);
    request.writeUInt32BE(length, 12);
    alone.sealed.onMessage(MessageKind.SEALED_READ, request);
  };
  ask(124);
  for (const length of [125, 2 ** 20, 2 ** 32 - 1])
    assert.throws(() => ask(length), { code: 'ERR_RDMA_PROTOCOL' });
  assert.deepEqual(
    alone.sent.map(({ length }) => length),
    [128],
  );
  assert.equal(alone.asked.length, 1);
});
