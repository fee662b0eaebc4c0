/**
 * Two whole ends of the message protocol, with messages and streams in both directions, over links that lose what is under
 * way at any moment.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MessageHeader, MessageKind } from '../../src/connection/fragments/message-header.js';
import { Cut, Outbox } from '../../src/connection/fragments/outbox.js';
import { type StreamId, StreamTable } from '../../src/connection/streams/stream-table.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { Random } from '../../testkit/random.js';
import { type End, Pair, SLOTS, START, TERMS } from './message-ends.js';

const isSame = (a: Iterable<number>, b: Iterable<number>): void => assert.deepEqual([...a], [...b]);

const bytesOf = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.int(0, 255));

test('by a link that is being stopped no message leaves, whatever lets it go; by the next it does', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  a.tracker.retire();
  a.send(new Uint8Array(1));
  a.sender.onOpen();
  assert.deepEqual(a.wire, []);
  pair.lose();
  pair.settle(() => b.take());
  assert.equal(b.messages.length, 1);
});

for (let seed = 1; seed <= 60; seed++) {
  test(`messages and streams arrive once and in order, over links that fail (seed ${seed})`, () => {
    const random = new Random(seed);
    const pair = new Pair();
    const sent: Uint8Array[][] = [[], []];
    for (let step = 0; step < 400; step++) {
      const from = random.int(0, 1) as 0 | 1;
      const end = pair.ends[from];
      const what = random.int(0, 19);
      if (what < 7) pair.deliver(from);
      else if (what < 13) pair.acknowledge();
      else if (what < 15) {
        const data = bytesOf(random, random.int(0, 149));
        sent[from]?.push(data);
        end.send(data);
      } else if (what < 16) end.take();
      else if (what < 18) {
        if (end.written.size < TERMS.streams) end.written.set(end.streams.open(), []);
        end.write(1 + random.int(0, end.written.size - 1), bytesOf(random, 1 + random.int(0, 119)));
      } else if (what < 19) end.readAll(-1 - random.int(0, TERMS.streams - 1));
      else pair.lose();
    }
    for (const end of pair.ends) for (const id of end.written.keys()) end.streams.end(id);
    let quits = 0;
    for (const end of pair.ends) end.sender.quit(() => quits++);
    pair.settle(() => {
      for (const end of pair.ends) {
        end.take();
        for (const id of [-1, -2]) end.readAll(id);
      }
    });
    for (const [i, end] of pair.ends.entries()) {
      const peer = pair.ends[1 - i] as End;
      assert.equal(end.messages.length, sent[1 - i]?.length);
      for (const [j, { data }] of end.messages.entries()) isSame(data, sent[1 - i]?.[j] ?? []);
      for (const [id, bytes] of peer.written) isSame(end.read.get(id) ?? [], bytes);
      assert.equal(end.done, sent[i]?.length, 'every message is done');
      assert.equal(end.quits, 1);
      for (const id of end.written.keys()) assert.ok(peer.streams.isAtEnd(-id));
    }
    assert.equal(quits, 2);
  });
}

test('the last word of a peer settles what is under way: what it has is done, and what it has not is not', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const outcomes: (string | undefined)[] = [];
  const done = (i: number) => (error: RdmaError | undefined) => {
    outcomes[i] = error?.code ?? 'done';
  };
  const stream = a.streams.open();
  for (const [i, bytes] of [10, 60, 60, 10].entries()) a.sender.send(0, new Uint8Array(bytes), done(i));
  a.streams.write(stream, new Uint8Array(10), done(4));
  // The first message and a part of the second arrive, and no acknowledgement comes back.
  pair.deliver(0);
  pair.deliver(0);
  assert.equal(a.sender.conclude(b.receiver.received), 2);
  a.sender.fail(new RdmaError('ERR_RDMA_CLOSED', 'it is over'), true);
  assert.deepEqual(outcomes, ['done', ...new Array(4).fill('ERR_RDMA_CLOSED')]);
});

test('a last word about what was never sent, or that takes back what was acknowledged, is refused', () => {
  for (const [received, isTrue] of [
    [START - 1, false],
    [START, false],
    [START + 1, true],
    [START + 3, true],
    [START + 4, false],
    [START + 2 ** 31, false],
  ] as const) {
    const pair = new Pair();
    const [a] = pair.ends;
    for (let i = 0; i < SLOTS; i++) a.sender.send(0, Uint8Array.of(i), () => {});
    pair.deliver(0);
    pair.acknowledge();
    const conclude = (): number => a.sender.conclude(received >>> 0);
    if (isTrue) conclude();
    else assert.throws(conclude, { code: 'ERR_RDMA_PROTOCOL', reason: 'never_sent' });
    a.sender.fail(new RdmaError('ERR_RDMA_CLOSED', 'it is over'));
  }
});

test('a stream that nobody reads stops neither messages nor other streams', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const [slow, quick] = [a.streams.open(), a.streams.open()];
  a.write(slow, new Uint8Array(1000));
  a.write(quick, new Uint8Array(1000));
  for (let i = 0; i < 10; i++) a.send(Uint8Array.of(i));
  pair.settle(() => {
    b.take();
    b.readAll(-quick);
  });
  assert.equal(b.messages.length, 10);
  assert.equal(b.read.get(quick)?.length, 1000);
  assert.equal(b.streams.unreadBytes(-slow), TERMS.streamWindowBytes);
});

test('a limit that the peer tells before this end is up counts as soon as it is', () => {
  for (const [ahead, isBreach] of [
    [SLOTS, false],
    [SLOTS + 1, false],
    [SLOTS - 1, true],
  ] as const) {
    const pair = new Pair(false);
    const [a, b] = pair.ends;
    for (const end of pair.ends) end.listen();
    a.sender.onPeerLimit((START + ahead) >>> 0);
    if (isBreach) {
      assert.throws(() => a.attach(b.receiver.received), { reason: 'limit_went_back' });
      continue;
    }
    a.attach(b.receiver.received);
    for (let i = 0; i < SLOTS + 1; i++) a.send(Uint8Array.of(i));
    for (let i = 0; i < SLOTS; i++) a.acknowledge(a.wire[i]?.wrId ?? -1);
    assert.equal(a.wire.length, ahead, 'so many fragments may leave');
  }
});

test('messages that nobody takes stop no stream', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  for (let i = 0; i < 20; i++) a.send(new Uint8Array(50));
  a.write(a.streams.open(), new Uint8Array(1000));
  pair.settle(() => b.readAll(-1));
  assert.equal(b.read.get(1)?.length, 1000);
  assert.ok(b.inbox.unread < 5);
});

test('messages and streams take turns, a fragment each', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const ids = [a.streams.open(), a.streams.open()];
  pair.settle();
  a.send(new Uint8Array(150));
  for (const id of ids) a.write(id, new Uint8Array(90));
  const order: string[] = [];
  pair.settle(() => {
    const [next] = a.wire;
    if (next !== undefined && next.bytes[1] !== 0)
      order.push(next.bytes[1] === 1 ? 'm' : `s${next.bytes[15]}`);
  });
  assert.equal(
    order.join(' '),
    'm m m m s1 s2 s1 s2 s1 s2',
    'three fragments left before there was anything else',
  );
  assert.equal(b.inbox.unread, 1);
});

test('a reset ends both directions once, and its stream makes room for another', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const id = a.streams.open();
  a.write(id, new Uint8Array(40));
  const errors: (string | undefined)[] = [];
  pair.settle();
  b.streams.write(-id, new Uint8Array(500), (error) => errors.push(error?.code));
  pair.settle();
  a.streams.reset(id, 77);
  pair.settle();
  assert.deepEqual(b.resets, [[-id, 77]]);
  assert.deepEqual(errors, ['ERR_RDMA_ABORTED']);
  assert.deepEqual([a.streams.size, b.streams.size], [0, 0]);
  assert.throws(() => a.streams.write(id, Uint8Array.of(1), () => {}), { code: 'ERR_RDMA_INVALID_STATE' });
  for (let i = 0; i < 10; i++) {
    const next = a.streams.open();
    a.streams.reset(next, i);
    pair.settle();
  }
  assert.deepEqual([a.streams.size, b.streams.size], [0, 0]);
});

test('no more streams are opened than the peer takes, until one of them is over', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const ids = [a.streams.open(), a.streams.open()];
  assert.throws(() => a.streams.open(), { code: 'ERR_RDMA_LIMIT' });
  pair.settle();
  const [first] = ids as [number];
  a.streams.end(first);
  b.streams.end(-first);
  pair.settle();
  assert.equal(a.streams.open(), 3);
});

test('the end of a connection ends what waits on its streams', () => {
  const pair = new Pair();
  const [a] = pair.ends;
  const id = a.streams.open();
  const ends: (string | undefined)[] = [];
  a.streams.write(id, new Uint8Array(500), (error) => ends.push(error?.code));
  a.streams.end(id, (error) => ends.push(error?.code));
  a.sender.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'over'));
  assert.deepEqual(ends, ['ERR_RDMA_CONNECTION_LOST', 'ERR_RDMA_CONNECTION_LOST']);
  assert.throws(() => a.streams.open(), { code: 'ERR_RDMA_CONNECTION_LOST' });
});

test('what waits on a stream that was reset ends once, also when the connection ends before the peer has the reset', () => {
  const pair = new Pair();
  const [a] = pair.ends;
  const id = a.streams.open();
  const ends: (string | undefined)[] = [];
  a.streams.write(id, new Uint8Array(500), (error) => ends.push(error?.code));
  a.streams.end(id, (error) => ends.push(error?.code));
  a.streams.reset(id, 7);
  a.sender.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'over'));
  assert.deepEqual(ends, ['ERR_RDMA_ABORTED', 'ERR_RDMA_ABORTED']);
});

test('the last numbers of streams are told, although no half of the limit is left', () => {
  const outbox = new Outbox();
  const firstStream = 2 ** 31 - 1 - 4;
  const table = new StreamTable({ outbox, streams: 3, windowBytes: 100, firstStream });
  const header: MessageHeader = {
    kind: MessageKind.STREAM,
    flags: 0,
    sequence: 0,
    limit: 0,
    stream: 0,
    tag: 0,
    value: 0,
  };
  for (let i = 1; i <= 3; i++) table.onBytes({ ...header, stream: firstStream + i }, new Uint8Array(0));
  const cut = new Cut();
  assert.equal(outbox.cut(cut, 100), false);
  table.onReset({ ...header, kind: MessageKind.RESET, stream: firstStream + 1 });
  assert.ok(outbox.cut(cut, 100));
  assert.equal(cut.kind, MessageKind.RESET);
  cut.source?.arrived(cut);
  assert.ok(outbox.cut(cut, 100));
  assert.deepEqual([cut.kind, cut.value], [MessageKind.OPEN_LIMIT, 2 ** 31 - 1]);
});

test('who begins to listen to streams learns of those that are there', () => {
  const pair = new Pair();
  const [a, b] = pair.ends;
  const ids = [a.streams.open(), a.streams.open()] as const;
  a.write(ids[0], Uint8Array.of(1));
  pair.settle();
  const seen: string[] = [];
  const note = (what: string) => (id: StreamId) => void seen.push(`${what} ${id}`);
  const rest = { onOpenLimit() {}, onEnd() {} };
  b.streams.listen({
    onOpened: note('opened'),
    onReadable: note('readable'),
    onReset: note('reset'),
    ...rest,
  });
  assert.deepEqual(seen, [`opened ${-ids[0]}`, `readable ${-ids[0]}`, `opened ${-ids[1]}`]);
  a.write(ids[1], Uint8Array.of(2));
  pair.settle();
  assert.equal(seen.at(-1), `readable ${-ids[1]}`);
  const never = (id: StreamId): void => assert.fail(`something of stream ${id} was told after its reset`);
  const resetting = {
    onOpened: (id: StreamId) => b.streams.reset(id, 1),
    onReadable: never,
    onReset: never,
    ...rest,
  };
  b.streams.listen(resetting);
});

test('who learns of a stream before its own link is up can answer on it', () => {
  const pair = new Pair(false);
  const [a, b] = pair.ends;
  for (const end of pair.ends) end.listen();
  a.attach(START);
  const id = a.streams.open();
  a.write(id, Uint8Array.of(1, 2, 3));
  pair.settle();
  b.readAll(-id);
  b.write(-id, Uint8Array.of(4, 5));
  b.attach(START);
  pair.settle();
  a.readAll(id);
  isSame(a.read.get(-id) ?? [], [4, 5]);
});
