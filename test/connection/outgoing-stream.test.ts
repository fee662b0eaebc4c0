/** Fragments of a stream take what waits, of however many writes, and every write is done once, when the peer has all of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageFlag } from '../../src/connection/message-header.js';
import { Cut } from '../../src/connection/outbox.js';
import { OutgoingStream } from '../../src/connection/outgoing-stream.js';
import { RdmaError } from '../../src/verbs/errors.js';

const START = 0xfffffffe;

class Writer {
  readonly done: number[] = [];
  isOver = false;
  readonly stream = new OutgoingStream(1, false, START + 1000, START, () => {
    this.isOver = true;
  });
  #writes = 0;
  #next = 0;

  /** Bytes that count up over all writes. */
  write(length: number): void {
    const bytes = Uint8Array.from({ length }, () => this.#next++ & 0xff);
    const number = this.#writes++;
    this.stream.write(bytes, () => this.done.push(number));
  }

  cut(maxBytes: number): { cut: Cut; payload: number[] } {
    const cut = new Cut();
    const memory = new Uint8Array(maxBytes);
    cut.aim(memory, 0);
    this.stream.take(cut, maxBytes);
    return { cut, payload: [...memory.subarray(0, cut.length)] };
  }
}

const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test('one fragment carries the bytes of several writes, and each is done when its last byte is there', () => {
  const writer = new Writer();
  for (const length of [3, 4, 10]) writer.write(length);
  const first = writer.cut(5);
  const second = writer.cut(5);
  assert.deepEqual([first.payload, second.payload], [upTo(0, 5), upTo(5, 10)]);
  writer.stream.arrived(first.cut);
  assert.deepEqual(writer.done, [0]);
  writer.stream.arrived(second.cut);
  assert.deepEqual(writer.done, [0, 1]);
  const last = writer.cut(100);
  assert.deepEqual(last.payload, upTo(10, 17));
  writer.stream.arrived(last.cut);
  assert.deepEqual(writer.done, [0, 1, 2]);
  assert.equal(writer.stream.waitingBytes, 0);
});

test('the end goes with the fragment that carries the last byte, and with no other', () => {
  const writer = new Writer();
  writer.write(3);
  writer.write(3);
  writer.stream.end(() => {});
  assert.equal(writer.cut(4).cut.flags & MessageFlag.FIN, 0);
  const last = writer.cut(4).cut;
  assert.equal(last.flags & MessageFlag.FIN, MessageFlag.FIN);
  assert.equal(writer.isOver, false);
  writer.stream.arrived(last);
  assert.equal(writer.isOver, true);
});

test('fragments of several writes that were lost are cut anew, whatever was lost and whatever fits now', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });
  const steps = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant('arrives' as const), fc.constant('lost' as const)),
    {
      maxLength: 60,
    },
  );
  fc.assert(
    fc.property(lengths, steps, (writes, actions) => {
      const writer = new Writer();
      const total = writes.reduce((sum, length) => sum + length, 0);
      for (const length of writes) writer.write(length);
      const underWay: { cut: Cut; payload: number[] }[] = [];
      const arrived: number[] = [];
      const arrive = (): void => {
        const one = underWay.shift();
        if (one === undefined) return;
        arrived.push(...one.payload);
        writer.stream.arrived(one.cut);
      };
      for (const action of [...actions, 'lost' as const]) {
        if (action === 'arrives') arrive();
        else if (action === 'lost')
          for (const { cut } of underWay.splice(0).reverse()) writer.stream.rewind(cut);
        else if (writer.stream.isReady) underWay.push(writer.cut(action));
      }
      assert.equal(writer.stream.waitingBytes, total - arrived.length);
      while (writer.stream.isReady) underWay.push(writer.cut(7));
      while (underWay.length > 0) arrive();
      assert.deepEqual(arrived, upTo(0, total));
      assert.deepEqual(writer.done, upTo(0, writes.length));
    }),
  );
});

test('a reset from inside of a write that is done ends those behind it, once', () => {
  const stream = new OutgoingStream(1, false, 100, 0, () => {});
  const error = new RdmaError('ERR_RDMA_ABORTED', 'reset');
  const outcomes: unknown[] = [];
  stream.write(new Uint8Array(2), () => stream.reset(error));
  stream.write(new Uint8Array(2), (outcome) => outcomes.push(outcome));
  const cut = new Cut();
  cut.aim(new Uint8Array(4), 0);
  stream.take(cut, 4);
  stream.arrived(cut);
  assert.deepEqual(outcomes, [error]);
  stream.rewind(cut);
  assert.equal(stream.hasUnsent, false);
});

test('no fragment carries more than the peer takes, whatever it has room for, and the end waits behind the bytes', () => {
  const writer = new Writer();
  writer.stream.limit = START + 4;
  writer.write(10);
  writer.stream.end(() => {});
  const { cut, payload } = writer.cut(100);
  assert.deepEqual([payload, cut.flags & MessageFlag.FIN], [upTo(0, 4), 0]);
  assert.equal(writer.stream.isReady, false);
});

test('the end of a stream that was reset is told once, also when the connection ends behind it', () => {
  const writer = new Writer();
  const told: (string | undefined)[] = [];
  writer.stream.end((error) => told.push(error?.message));
  for (const why of ['reset', 'the connection has ended'])
    writer.stream.reset(new RdmaError('ERR_RDMA_ABORTED', why));
  assert.deepEqual(told, ['reset']);
});
