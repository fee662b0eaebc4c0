/** Sealed memory of two ends that are joined without a network: what is bounded, what ends, and which rights are asked for. */
import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';
import type { MessageKind } from '../../src/connection/message-header.js';
import { RemoteBuffer } from '../../src/connection/remote-buffer.js';
import { SealedMemory, type SealedMemoryOptions } from '../../src/connection/sealed-memory.js';
import { RdmaError } from '../../src/verbs/errors.js';

const keysOf = (first: number) => ({ key: Buffer.alloc(32, first), iv: Buffer.alloc(12, first + 1) });
const OWN = keysOf(1);
const PEER = keysOf(3);
const BASE = 0x1000n;
const MEMORY_BYTES = 1024;
/** Sixteen bytes of memory in each answer. */
const MAX_MESSAGE_BYTES = 20;

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
      send: async (kind: MessageKind, data) => {
        this.sent.push(Buffer.from(data));
        try {
          this.peer?.sealed.onMessage(kind, Buffer.from(data));
        } catch (error) {
          // As a connection whose peer refuses what it sent: it ends.
          this.sealed.fail(error as RdmaError);
          throw error;
        }
      },
      write: async (remote, data) => {
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

const whole = new RemoteBuffer(BASE, 1, MEMORY_BYTES);
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

test('reads are answered as long as there are any, with the right to read, and writes ask for that to write', async () => {
  const [one, other] = joined();
  for (let i = 0; i < MEMORY_BYTES; i++) other.memory[i] = i;
  for (let round = 0; round < 3; round++) {
    const into = new Uint8Array(MEMORY_BYTES);
    await one.sealed.read(whole, into);
    assert.deepEqual(Buffer.from(into), other.memory);
  }
  assert.deepEqual(new Set(other.asked), new Set(['read']));
  other.asked.length = 0;
  await one.sealed.write(whole.at(8, 5), Buffer.from('words'), false);
  assert.equal(other.memory.subarray(8, 13).toString(), 'words');
  assert.deepEqual(other.asked, ['write']);
});

test('eight requests are under way at most; a connection that ends rejects them and those that wait', async () => {
  const alone = new End({ own: OWN, peer: PEER });
  let outcome = 'still waits';
  void alone.sealed.read(whole, new Uint8Array(MEMORY_BYTES)).catch((error: RdmaError) => {
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
  alone.peer = { memory: { set: (data: Uint8Array) => moved.push(Buffer.from(data)) } } as unknown as End;
  for (const text of ['first', 'second']) {
    await alone.sealed.write(whole.at(16, text.length), Buffer.from(text), false).catch(() => undefined);
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
