/** Senders and receivers of messages against a peer that the test plays, fragment by fragment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HEADER_BYTES,
  type MessageHeader,
  MessageKind,
  type MessageViolation,
  writeHeader,
} from '../../src/connection/fragments/message-header.js';
import { LIMIT_RECEIVES } from '../../src/connection/fragments/receive-window.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { MessageWorld, settle } from '../../tools/fuzz/targets/messages/message-world.js';
import type { WorldPlan } from '../../tools/fuzz/targets/messages/world-plan.js';

const PLAN: WorldPlan = {
  slots: 4,
  slotBytes: 64,
  maxMessageBytes: 300,
  messageWindowBytes: 256,
  streams: 2,
  streamWindowBytes: 100,
  peerSlots: 4,
  peerSlotBytes: 64,
  peerMaxMessageBytes: 2000,
  peerMessageWindowBytes: 1000,
  peerStreams: 2,
  peerStreamWindowBytes: 100,
  encrypted: false,
  brief: true,
};

function fragment(header: Partial<MessageHeader>, payload = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const usual = { kind: MessageKind.DATA, flags: 0, sequence: 0, limit: PLAN.peerSlots, stream: 0, tag: 0 };
  writeHeader(bytes, 0, { ...usual, value: payload.length, ...header });
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

const reasonOf = (world: MessageWorld): string | undefined => (world.failure as MessageViolation).reason;

function worldWithLink(plan: Partial<WorldPlan> = {}): MessageWorld {
  const world = new MessageWorld({ ...PLAN, ...plan });
  world.attach(0);
  return world;
}

/** Empty messages, as many as the peer may send. */
function flood(world: MessageWorld, limit: () => number): number {
  const { model } = world;
  let sent = 0;
  let cost = 0;
  while (sent < 1000 && cost + 24 <= model.messageTold) {
    world.deliver(fragment({ sequence: model.sequence, limit: limit() }));
    for (let i = 0; i < 4; i++) world.complete();
    sent++;
    cost += 24;
  }
  return sent;
}

test('empty messages that nobody takes end with the window, and go on when they are taken', async () => {
  const world = worldWithLink();
  const sent = flood(world, () => world.model.peerLimit);
  assert.equal(sent, 10, 'messages of 24 bytes each, in a window of 256');
  assert.equal(world.model.messageTold, 256);
  for (let i = 0; i < sent; i++) {
    world.take();
    await settle();
  }
  assert.ok(world.model.messageTold > 256, 'the peer is told that it may send more');
  await world.end();
});

test('a peer that sends more messages than it may is refused', async () => {
  const world = worldWithLink();
  flood(world, () => world.model.peerLimit);
  world.deliver(fragment({ sequence: world.model.sequence, limit: world.model.peerLimit }));
  assert.equal(reasonOf(world), 'beyond_stream_limit');
  await world.end();
});

test('messages that nobody takes do not pile up over links that fail again and again', async () => {
  const world = worldWithLink();
  const sent = flood(world, () => world.model.peerLimit);
  for (let link = 0; link < 20; link++) {
    world.detach();
    world.attach(world.sent.received);
  }
  world.deliver(fragment({ sequence: sent, limit: world.model.peerLimit }));
  assert.equal(reasonOf(world), 'beyond_stream_limit');
  await world.end();
});

test('a message that nobody takes stops no stream, and a stream that nobody reads no message', async () => {
  const world = worldWithLink();
  flood(world, () => world.model.peerLimit);
  const limit = world.model.peerLimit;
  const next = (header: Partial<MessageHeader>, bytes: number): void => {
    world.deliver(fragment({ sequence: world.model.sequence, limit, ...header }, new Uint8Array(bytes)));
  };
  next({ kind: MessageKind.STREAM, stream: 1, value: 0 }, 40);
  next({ kind: MessageKind.STREAM, stream: 1, value: 40 }, 40);
  next({ kind: MessageKind.STREAM, stream: 1, value: 80 }, 20);
  next({ kind: MessageKind.STREAM, stream: 2, value: 0 }, 40);
  assert.equal(world.failure, undefined);
  assert.equal(world.streams.unreadBytes(-1), 100);
  assert.equal(world.qp.receives.length, PLAN.slots + LIMIT_RECEIVES, 'no receive is held back');
  await world.end();
});

test('a half-received message goes on after a new link where it stopped', async () => {
  const world = worldWithLink();
  const all = Uint8Array.from({ length: 60 }, (_, i) => i);
  world.deliver(fragment({ value: 60 }, all.subarray(0, 40)));
  world.detach();
  world.attach(0);
  assert.equal(world.receiver.received, 1);
  world.deliver(fragment({ sequence: 1, value: 60 }, all.subarray(40)));
  world.take();
  await settle();
  world.checkDelivered();
  assert.equal(world.unread, 0);
  await world.end();
});

test('a fragment without bytes, of a message that has some, is refused as empty_fragment', async () => {
  for (const fragments of [[0], [40, 0]]) {
    const world = worldWithLink();
    for (const [sequence, length] of fragments.entries()) {
      assert.equal(world.failure, undefined);
      world.deliver(fragment({ sequence, value: 60 }, new Uint8Array(length)));
    }
    assert.equal(reasonOf(world), 'empty_fragment');
    await world.end();
  }
});

test('a last fragment that is one byte too long is refused as beyond_message', async () => {
  const world = worldWithLink();
  world.deliver(fragment({ value: 60 }, new Uint8Array(40)));
  world.deliver(fragment({ sequence: 1, value: 60 }, new Uint8Array(21)));
  assert.equal(reasonOf(world), 'beyond_message');
  await world.end();
});

test('nothing is sent beyond the limit of the peer, until it says more', async () => {
  const world = worldWithLink({ peerSlots: 1 });
  world.send(0, Uint8Array.of(1));
  world.send(0, Uint8Array.of(2));
  world.complete();
  assert.equal(world.qp.sends.length, 0);
  world.deliver(fragment({ kind: MessageKind.LIMIT, limit: 2 }));
  assert.equal(world.qp.sends.length, 1);
  await world.end();
});

for (const [what, header, reason] of [
  ['a limit that goes back', { kind: MessageKind.LIMIT, limit: 3 }, 'limit_went_back'],
  ['a limit that runs half way around', { kind: MessageKind.LIMIT, limit: 4 + 2 ** 31 }, 'limit_went_back'],
  ['a limit of messages that goes back', { kind: MessageKind.STREAM_LIMIT, value: 999 }, 'limit_went_back'],
  ['a limit of streams that goes back', { kind: MessageKind.OPEN_LIMIT, value: 1 }, 'limit_went_back'],
  [
    'a limit of streams that no number can have',
    { kind: MessageKind.OPEN_LIMIT, value: 2 ** 31 },
    'limit_went_back',
  ],
  ['a limit of a stream that is not open', { kind: MessageKind.STREAM_LIMIT, stream: 3 }, 'unknown_stream'],
  ['a reset of a stream that is not open', { kind: MessageKind.RESET, stream: 1 }, 'unknown_stream'],
  [
    'a reset of one of ours that is not open',
    { kind: MessageKind.RESET, stream: 1, flags: 2 },
    'unknown_stream',
  ],
  ['a stream that leaves one out', { kind: MessageKind.STREAM, stream: 2 }, 'unknown_stream'],
  ['a stream of ours that is not open', { kind: MessageKind.STREAM, stream: 1, flags: 2 }, 'unknown_stream'],
  ['a gap in the sequence', { sequence: 1 }, 'out_of_sequence'],
  ['a gap in a stream', { kind: MessageKind.STREAM, stream: 1, value: 1 }, 'wrong_offset'],
  ['sealed memory on a connection in clear', { kind: MessageKind.SEALED_WRITE }, 'unknown_kind'],
  ['a QUIT with a value', { kind: MessageKind.QUIT, value: 1 }, 'unused_field'],
  ['a RESET with FIN', { kind: MessageKind.RESET, stream: 1, flags: 1 }, 'unknown_flag'],
] as const) {
  test(`${what} is refused as ${reason}`, async () => {
    const world = worldWithLink();
    world.deliver(fragment({ value: 0, ...header }));
    assert.equal(reasonOf(world), reason);
    await world.end();
  });
}

for (const [what, header, reason] of [
  ['no bytes on a stream that is open', { value: 0 }, 'empty_fragment'],
  ['a limit of a stream that goes back', { kind: MessageKind.STREAM_LIMIT, value: 99 }, 'limit_went_back'],
] as const) {
  test(`${what} is refused as ${reason}`, async () => {
    const world = worldWithLink();
    world.deliver(fragment({ kind: MessageKind.STREAM, stream: 1, value: 0 }));
    assert.equal(world.failure, undefined);
    world.deliver(fragment({ kind: MessageKind.STREAM, stream: 1, sequence: 1, ...header }));
    assert.equal(reasonOf(world), reason);
    await world.end();
  });
}

for (const peerSlotBytes of [1, HEADER_BYTES]) {
  test(`a peer whose receives hold ${peerSlotBytes} bytes is refused, as no message fits`, async () => {
    const world = worldWithLink({ peerSlotBytes });
    assert.equal(reasonOf(world), 'terms');
    await world.end();
  });
}

test('one byte of a message fits into receives that are one byte longer than a header', async () => {
  const world = worldWithLink({ peerSlotBytes: HEADER_BYTES + 1 });
  world.send(0, Uint8Array.of(1, 2, 3));
  await world.end();
  assert.deepEqual(
    world.sent.messages.map(({ error }) => error),
    [undefined],
  );
});

test('whoever waits for a message when the connection is lost learns why, and is not told of an end', async () => {
  const world = worldWithLink();
  const [one, two] = [world.inbox.next(), world.inbox.next()];
  const reason = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link was lost');
  world.fail(reason);
  for (const waiting of [one, two, world.inbox.next()]) await assert.rejects(waiting, reason);
});

test('a peer that asks gets a limit as its answer, once for each', () => {
  const world = worldWithLink();
  world.deliver(fragment({ kind: MessageKind.ASK, value: 0 }));
  assert.equal(world.qp.sends.length, 1);
  world.complete();
  assert.equal(world.qp.sends.length, 0);
  world.deliver(fragment({ kind: MessageKind.ASK, value: 0 }));
  assert.equal(world.qp.sends.length, 1);
  assert.equal(world.failure, undefined);
});

test('the last word of a peer that has not quit is refused, and behind QUIT it is heard', () => {
  const early = worldWithLink();
  early.deliver(fragment({ kind: MessageKind.BYE, value: 0 }));
  assert.equal(reasonOf(early), 'out_of_sequence');
  const world = worldWithLink();
  world.deliver(fragment({ kind: MessageKind.QUIT, value: 0 }));
  world.deliver(fragment({ kind: MessageKind.BYE, value: 0, sequence: 1 }));
  assert.equal(world.failure, undefined);
});

test('a brief peer closes once, with its reason, and nothing comes behind that; others cannot', () => {
  const close = (sequence = 0): Uint8Array => fragment({ kind: MessageKind.CLOSE, value: 14, sequence });
  const world = worldWithLink();
  world.deliver(close());
  assert.equal(world.model.closed, 14);
  assert.equal(world.failure, undefined);
  world.deliver(close());
  assert.equal(reasonOf(world), 'after_end');
  const session = worldWithLink({ brief: false });
  session.deliver(close());
  assert.equal(reasonOf(session), 'unknown_kind');
  for (const kind of [MessageKind.LIMIT, MessageKind.DATA, MessageKind.QUIT, MessageKind.BYE]) {
    const behind = worldWithLink();
    behind.deliver(close());
    behind.deliver(fragment({ kind, value: 0 }));
    assert.equal(reasonOf(behind), 'after_end', `kind ${kind}`);
  }
});

test('a peer that has quit may close, and one that has said goodbye may not', () => {
  const world = worldWithLink();
  world.deliver(fragment({ kind: MessageKind.QUIT, value: 0 }));
  const close = fragment({ kind: MessageKind.CLOSE, value: 0, sequence: 1 });
  world.deliver(close);
  assert.equal(world.failure, undefined);
  const gone = worldWithLink();
  gone.deliver(fragment({ kind: MessageKind.QUIT, value: 0 }));
  gone.deliver(fragment({ kind: MessageKind.BYE, value: 0, sequence: 1 }));
  gone.deliver(close);
  assert.equal(reasonOf(gone), 'after_end');
});

test('a question for which there is no room leaves when there is', () => {
  const world = worldWithLink({ slots: 2 });
  for (let i = 0; i < 2; i++) world.send(0, Uint8Array.of(i));
  assert.equal(world.sender.ask(), false);
  world.complete();
  assert.equal(world.qp.sends.length, 2, 'it has taken the place of the first message');
  world.complete();
  world.complete();
  assert.equal(world.qp.sends.length, 0, 'and comes once');
});

test('who closes says so behind what is under way, and then nothing more', () => {
  const world = worldWithLink({ slots: 2 });
  for (let i = 0; i < 3; i++) world.send(0, Uint8Array.of(i));
  assert.equal(world.qp.sends.length, 2);
  world.close(3);
  assert.equal(world.qp.sends.length, 2, 'there is no room for it');
  world.complete();
  assert.equal(world.qp.sends.length, 2, 'it leaves in the place of the first');
  world.complete();
  assert.equal(world.closesTold, 0);
  world.deliver(fragment({ kind: MessageKind.ASK, value: 0 }));
  assert.equal(world.qp.sends.length, 1, 'neither the third message nor an answer leaves');
  world.complete();
  assert.equal(world.closesTold, 1);
  assert.equal(world.qp.sends.length, 0);
});

test('who closes over a link that has failed waits for nothing', () => {
  const broken = worldWithLink();
  broken.qp.state = QpState.ERR;
  broken.close(0);
  assert.equal(broken.closesTold, 1);
});
