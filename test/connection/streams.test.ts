/** Streams, end to end and fragment by fragment: windows, half-closed directions, resets, and what is left of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageKind } from '../../src/connection/fragments/message-header.js';
import { IncomingStream } from '../../src/connection/streams/incoming-stream.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { SendFlags } from '../../src/verbs/work-request.js';
import { type End, Pair, SLOT_BYTES, TERMS } from './message-ends.js';

const ABORTED = 'ERR_RDMA_ABORTED';
const kindOf = ({ bytes }: { bytes: Uint8Array }): number | undefined => bytes[1];

/** Lets all arrive; returns how many fragments of a kind each end has sent. */
function countSent(pair: Pair, kind: MessageKind): [number, number] {
  const counts: [number, number] = [0, 0];
  pair.settle(() => {
    for (const [i, { wire }] of pair.ends.entries()) {
      const [next] = wire;
      if (next !== undefined && kindOf(next) === kind) counts[i === 0 ? 0 : 1]++;
    }
  });
  return counts;
}

const sizes = (pair: Pair): number[] => pair.ends.map(({ streams }) => streams.size);

interface Done {
  calls: number;
  code: string | undefined;
}

function write(end: End, id: number, length: number): Done {
  const done: Done = { calls: 0, code: undefined };
  end.streams.write(id, new Uint8Array(length), (error) => {
    done.calls++;
    done.code = error?.code;
  });
  return done;
}

function end(own: End, id: number): Done {
  const done: Done = { calls: 0, code: undefined };
  own.streams.end(id, (error) => {
    done.calls++;
    done.code = error?.code;
  });
  return done;
}

test('a stream is told as soon as it is opened, and its bytes when they come', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  assert.deepEqual([b.opened, b.readable], [[-id], []]);
  write(a, id, 1);
  pair.settle();
  end(a, id);
  pair.settle();
  assert.deepEqual([b.opened, b.readable], [[-id], [-id, -id]]);
});

test('small writes are read together, and no byte more than was written', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  for (let i = 0; i < 50; i++) a.write(id, Uint8Array.of(i));
  pair.settle();
  const [first, others] = [b.streams.read(-id), b.streams.read(-id)];
  assert.equal(first?.length, 1, 'the first one, when nothing else was there');
  assert.deepEqual([...(first ?? []), ...(others ?? [])], a.written.get(id));
  assert.equal(b.streams.read(-id), undefined);
});

test('short writes hurry for no answer, as far as there is room; their end, and messages, do', () => {
  const pair = new Pair();
  const [a] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  let seen = 0;
  const hurries = (): boolean[] => {
    const news = a.wire.slice(seen).map(({ flags }) => (flags & SendFlags.UNHURRIED) === 0);
    seen = a.wire.length;
    return news;
  };
  const settle = (): void => {
    pair.settle();
    seen = 0;
  };
  for (let i = 0; i < 2; i++) write(a, id, SLOT_BYTES / 2);
  assert.deepEqual(hurries(), [false, true], 'the second leaves less than half of the room');
  settle();
  write(a, id, 1);
  end(a, id);
  assert.deepEqual(hurries(), [false, true]);
  settle();
  a.send(new Uint8Array(1));
  assert.deepEqual(hurries(), [true]);
});

test('the peer is told that it may send more when half of the window was read, and not before', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  write(a, id, TERMS.streamWindowBytes / 2 - 1);
  pair.settle();
  b.readAll(-id);
  assert.deepEqual(countSent(pair, MessageKind.STREAM_LIMIT), [0, 0]);
  write(a, id, 1);
  pair.settle();
  b.readAll(-id);
  assert.deepEqual(countSent(pair, MessageKind.STREAM_LIMIT), [0, 1]);
});

test('what waits to be read counts against the window', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  write(a, id, 60);
  pair.settle();
  b.readAll(-id);
  write(a, id, 500);
  pair.settle();
  assert.equal(b.streams.unreadBytes(-id), TERMS.streamWindowBytes);
  assert.equal(a.streams.waitingBytes(id), 400);
});

test('a write is done when the peer has its last byte, the end when it has the end, and each once', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  const written = write(a, id, 90);
  const ended = end(a, id);
  while (b.streams.unreadBytes(-id) < 90) {
    assert.equal(written.calls, 0, 'not all has arrived');
    pair.deliver(0);
    pair.acknowledge();
    pair.deliver(1);
  }
  pair.settle(() => b.readAll(-id));
  assert.deepEqual(written, { calls: 1, code: undefined });
  assert.deepEqual(ended, { calls: 1, code: undefined });
  a.streams.reset(id, 1);
  pair.settle();
  assert.deepEqual(ended, { calls: 1, code: undefined });
});

test('a write of no bytes is done', async () => {
  const [a] = new Pair().ends;
  const done = write(a, a.streams.open(), 0);
  await Promise.resolve();
  assert.deepEqual(done, { calls: 1, code: undefined });
});

test('bytes that were lost with a link wait again', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  write(a, id, 150);
  assert.ok(a.streams.waitingBytes(id) < 150, 'some have left');
  pair.lose();
  pair.settle(() => b.readAll(-id));
  assert.equal(b.read.get(id)?.length, 150);
  assert.equal(a.streams.waitingBytes(id), 0);
});

test('an end that was lost with a link comes on the next one', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  const ended = end(a, id);
  pair.lose();
  pair.settle();
  assert.equal(b.streams.isAtEnd(-id), true);
  assert.deepEqual(ended, { calls: 1, code: undefined });
});

test('a limit that is told leaves room for what is unread', () => {
  const stream = new IncomingStream(10_000, 0);
  for (let offset = 0; offset < 10_000; offset += 2000) stream.append(offset, new Uint8Array(2000), false);
  const read = (): number => {
    const length = stream.take()?.length ?? 0;
    stream.consume(length);
    return length;
  };
  assert.equal(read(), 2000, 'the first one is alone');
  assert.equal(stream.isLimitDue, false);
  assert.equal(read(), 4000, 'what fits into one block');
  assert.equal(stream.isLimitDue, true);
  assert.equal(stream.tellLimit(), 16_000);
  assert.equal(stream.isLimitDue, false);
});

test('bytes that were taken out count as unread until they are consumed', () => {
  const stream = new IncomingStream(100, 0);
  stream.append(0, new Uint8Array(100), true);
  assert.equal(stream.take()?.length, 100);
  assert.equal(stream.take(), undefined);
  assert.deepEqual([stream.unreadBytes, stream.isOver, stream.hasBytes], [100, false, false]);
  stream.consume(60);
  assert.deepEqual([stream.unreadBytes, stream.isOver], [40, false]);
  stream.consume(40);
  assert.deepEqual([stream.unreadBytes, stream.isOver], [0, true]);
});

test('a direction that has ended takes nothing more, and the other one goes on', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  end(a, id);
  assert.throws(() => write(a, id, 1), { code: 'ERR_RDMA_INVALID_STATE' });
  assert.throws(() => end(a, id), { code: 'ERR_RDMA_INVALID_STATE' });
  pair.settle();
  assert.equal(b.streams.isAtEnd(-id), true);
  assert.deepEqual(sizes(pair), [1, 1], 'half of the stream is open');
  b.write(-id, new Uint8Array(300));
  pair.settle(() => a.readAll(id));
  assert.equal(a.read.get(-id)?.length, 300);
  end(b, -id);
  pair.settle();
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('a stream that was not read to its end is not over', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  a.write(id, new Uint8Array(10));
  end(a, id);
  pair.settle();
  end(b, -id);
  pair.settle();
  assert.deepEqual(sizes(pair), [0, 1]);
  assert.equal(b.streams.read(-id)?.length, 10);
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('a reset is answered once, ends the writes of both ends, and is told to the one that did not ask for it', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  const [ours, theirs] = [write(a, id, 500), write(b, -id, 500)];
  const ended = end(a, id);
  a.streams.reset(id, 0xffffffff);
  a.streams.reset(id, 1);
  assert.deepEqual(countSent(pair, MessageKind.RESET), [1, 1]);
  for (const done of [ours, ended, theirs]) assert.deepEqual(done, { calls: 1, code: ABORTED });
  assert.deepEqual([a.resets, b.resets], [[], [[-id, 0xffffffff]]]);
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('two resets that cross each other are two', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  a.streams.reset(id, 1);
  b.streams.reset(-id, 2);
  assert.deepEqual(countSent(pair, MessageKind.RESET), [1, 1]);
  assert.deepEqual([a.resets, b.resets], [[], []]);
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('what waits to be read is gone with a reset, and what comes after it is thrown away without a word', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  write(a, id, 30);
  pair.settle();
  write(a, id, 40);
  assert.equal(b.streams.unreadBytes(-id), 30);
  const events = b.readable.length;
  b.streams.reset(-id, 5);
  assert.equal(b.streams.unreadBytes(-id), 0);
  pair.deliver(0);
  assert.equal(b.streams.unreadBytes(-id), 0);
  assert.equal(b.readable.length, events);
  pair.settle();
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('a stream that was reset goes on waiting for nothing when its link is lost', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  pair.settle();
  write(a, id, 90);
  a.streams.reset(id, 5);
  pair.lose();
  assert.equal(a.streams.waitingBytes(id), 0);
  assert.equal(a.streams.hasUnsent, false);
  pair.settle();
  assert.deepEqual(b.resets, [[-id, 5]]);
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('bytes that came before an orderly end can be read after a reset', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  a.write(id, new Uint8Array(10));
  end(a, id);
  pair.settle();
  a.streams.reset(id, 5);
  pair.settle();
  assert.equal(b.streams.read(-id)?.length, 10);
  assert.deepEqual(sizes(pair), [0, 0]);
});

test('the code of a reset is a number of 32 bits', () => {
  const [a] = new Pair().ends;
  const id = a.streams.open();
  for (const code of [-1, 1.5, 2 ** 32, Number.NaN]) {
    assert.throws(() => a.streams.reset(id, code), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  }
});

test('streams of one side make no room for those of the other', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  for (let i = 0; i < 4; i++) {
    const id = a.streams.open();
    end(a, id);
    pair.settle();
    end(b, -id);
    pair.settle();
  }
  assert.deepEqual(sizes(pair), [0, 0]);
  for (let i = 0; i < TERMS.streams; i++) b.streams.open();
  assert.throws(() => b.streams.open(), { code: 'ERR_RDMA_LIMIT' });
});

test('streams that wait end with their connection, and nothing of them is left', () => {
  const pair = new Pair();
  const [a] = pair.ends;
  const id = a.streams.open();
  const written = write(a, id, 500);
  pair.settle();
  a.streams.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'over'));
  assert.deepEqual(written, { calls: 1, code: 'ERR_RDMA_CONNECTION_LOST' });
  assert.equal(a.streams.size, 0);
  assert.equal(a.streams.isAtEnd(id), true);
});
