/** Fragments of a stream take what waits, of however many writes, and every write is done once, when the peer has all of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageFlag } from '../../src/connection/fragments/message-header.js';
import { Cut } from '../../src/connection/fragments/outbox.js';
import { OutgoingStream } from '../../src/connection/streams/outgoing-stream.js';
import type { ChunkMemory, Place } from '../../src/connection/streams/stream-memory.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { WatchedMemory } from '../../tools/fuzz/targets/messages/watched-queues.js';

const START = 0xfffffffe;

const streamOf = (limit: number, start: number, onOver = (): void => {}): OutgoingStream =>
  new OutgoingStream({ stream: 1, isPeers: false, limit, start, onOver, onReady() {}, memory: null });

class Writer {
  readonly done: number[] = [];
  isOver = false;
  readonly stream = streamOf(START + 1000, START, () => {
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

/** Memory that is registered, of which the number of regions in use is known. */
class Registered implements ChunkMemory {
  readonly mr = new WatchedMemory(100);
  released = 0;
  placed: Place | null | Promise<Place | null> = { mr: this.mr, at: 0 };

  placeOf(chunk: Uint8Array): Place | null | Promise<Place | null> {
    return chunk.length >= 10 ? this.placed : null;
  }

  release(): void {
    this.released++;
  }
}

interface Told {
  readonly number: number;
  readonly error: RdmaError | undefined;
}

function streamFrom(memory: ChunkMemory, ready: { count: number }): OutgoingStream {
  return new OutgoingStream({
    stream: 1,
    isPeers: false,
    limit: 1000,
    start: 0,
    onOver() {},
    onReady: () => void ready.count++,
    memory,
  });
}

function inPlace(): {
  memory: Registered;
  stream: OutgoingStream;
  told: Told[];
  ready: { count: number };
  cut(): Cut;
} {
  const memory = new Registered();
  const ready = { count: 0 };
  const stream = streamFrom(memory, ready);
  const told: Told[] = [];
  [10, 3, 12].forEach((length, number) => {
    stream.write(new Uint8Array(length), (error) => told.push({ number, error }));
  });
  const cut = (): Cut => {
    const next = new Cut();
    next.aim(new Uint8Array(8), 0, stream.isNextInPlace);
    stream.take(next, 8);
    return next;
  };
  return { memory, stream, told, ready, cut };
}

test('fragments of registered chunks refer to them, and others are copied up to the next of those', () => {
  const { memory, stream, told, cut } = inPlace();
  stream.end(() => {});
  const cuts = Array.from({ length: 5 }, cut);
  assert.deepEqual(
    cuts.map(({ mr, mrAt, length, flags }) => [mr === memory.mr, mrAt, length, flags]),
    [
      [true, 0, 8, 0],
      [true, 8, 2, 0],
      [false, 0, 3, 0],
      [true, 0, 8, 0],
      [true, 8, 4, MessageFlag.FIN],
    ],
  );
  for (const next of cuts) stream.arrived(next);
  assert.deepEqual(
    told.map(({ number }) => number),
    [0, 1, 2],
  );
  assert.equal(memory.released, 2);
});

test('a reset gives chunks back that the device does not read, and those that it reads when it is done', () => {
  const { memory, stream, told, cut } = inPlace();
  const [first, second] = [cut(), cut()];
  const error = new RdmaError('ERR_RDMA_ABORTED', 'enough');
  stream.reset(error);
  assert.deepEqual(told, [
    { number: 1, error },
    { number: 2, error },
  ]);
  stream.arrived(first);
  assert.equal(told.length, 2);
  // The link has ended: whether it arrived is told later.
  stream.released(second);
  assert.deepEqual(told[2], { number: 0, error });
  stream.rewind(second);
  assert.equal(told.length, 3);
  assert.equal(memory.released, 2);
});

test('a chunk that was lost leaves from its own memory again', () => {
  const { stream, told, cut } = inPlace();
  const [first, second] = [cut(), cut()];
  stream.arrived(first);
  stream.released(second);
  stream.rewind(second);
  const again = cut();
  assert.deepEqual([again.mrAt, again.length], [8, 2]);
  assert.equal(told.length, 0);
  stream.arrived(again);
  assert.equal(told.length, 1);
});

test('a chunk that is being registered waits with all behind it, and is copied where it cannot be registered', async () => {
  for (const isRegistered of [true, false]) {
    const { memory, ready, told } = inPlace();
    let settle = (_: Place | null): void => {};
    memory.placed = new Promise((resolve) => {
      settle = resolve;
    });
    const stream = streamFrom(memory, ready);
    stream.write(new Uint8Array(10), (error) => told.push({ number: 0, error }));
    assert.equal(stream.isReady, false);
    settle(isRegistered ? { mr: memory.mr, at: 0 } : null);
    await memory.placed;
    await Promise.resolve();
    assert.equal(ready.count, 1);
    assert.deepEqual([stream.isReady, stream.isNextInPlace], [true, isRegistered]);
    stream.reset(new RdmaError('ERR_RDMA_ABORTED', 'enough'));
    assert.equal(memory.released, isRegistered ? 1 : 0);
  }
});

test('a registration that comes after the reset is taken back', async () => {
  const { memory, stream } = inPlace();
  memory.placed = Promise.resolve({ mr: memory.mr, at: 0 });
  stream.write(new Uint8Array(20), () => {});
  const before = memory.released;
  stream.reset(new RdmaError('ERR_RDMA_ABORTED', 'enough'));
  const atReset = memory.released - before;
  await memory.placed;
  await Promise.resolve();
  assert.deepEqual([atReset, memory.released - before], [2, 3]);
});

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
  const stream = streamOf(100, 0);
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

for (const bytes of [0, 5])
  test(`an end that did not arrive is said again, with ${bytes} bytes before it`, () => {
    const writer = new Writer();
    let ended = 0;
    if (bytes > 0) writer.write(bytes);
    writer.stream.end(() => ended++);
    const { cut: lost } = writer.cut(100);
    assert.equal(lost.flags & MessageFlag.FIN, MessageFlag.FIN);
    assert.equal(writer.stream.hasUnsent, false);
    writer.stream.rewind(lost);
    assert.equal(writer.stream.hasUnsent, true);
    const { cut, payload } = writer.cut(100);
    assert.deepEqual([cut.flags & MessageFlag.FIN, payload.length], [MessageFlag.FIN, bytes]);
    writer.stream.arrived(cut);
    assert.deepEqual([ended, writer.isOver, writer.stream.hasUnsent], [1, true, false]);
  });
