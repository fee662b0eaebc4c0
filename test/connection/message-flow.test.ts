/** Senders and receivers of messages against a peer that the test plays, fragment by fragment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEADER_BYTES, MessageKind, writeHeader } from '../../src/connection/message-header.js';
import { CREDIT_RECEIVES } from '../../src/connection/message-receiver.js';
import { MessageWorld, settle, type WorldPlan } from '../../tools/fuzz/targets/messages/message-world.js';

const PLAN: WorldPlan = {
  slots: 4,
  slotBytes: 64,
  maxMessageBytes: 300,
  peerSlots: 4,
  peerFreeSlots: 4,
  peerSlotBytes: 64,
  encrypted: false,
};

/** "I have taken so many of your fragments." */
function credit(taken: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  writeHeader(bytes, 0, { kind: MessageKind.CREDIT, tag: 0, sequence: 0, taken, totalBytes: 0, offset: 0 });
  return bytes;
}

/** A whole message in one fragment. */
function fragment(sequence: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const totalBytes = payload.length;
  writeHeader(bytes, 0, { kind: MessageKind.DATA, tag: 0, sequence, taken: 0, totalBytes, offset: 0 });
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

test('empty messages that nobody takes end with the receives, and go on when they are taken', async () => {
  const world = new MessageWorld(PLAN);
  world.attach(0);
  let sent = 0;
  while (sent < 1000 && world.flow.mayFill) world.deliver(fragment(sent++, new Uint8Array(0)));
  assert.ok(sent < 20, `${sent} messages of no bytes were taken in`);
  for (let i = 0; i < sent; i++) {
    world.take();
    await settle();
  }
  assert.ok(world.qp.receives.length >= PLAN.slots);
  await world.end();
});

test('a peer that fills the receives of its CREDIT messages with others is refused', async () => {
  const world = new MessageWorld(PLAN);
  world.attach(0);
  let sent = 0;
  while (world.flow.mayFill) world.deliver(fragment(sent++, new Uint8Array(0)));
  assert.equal(world.qp.receives.length, CREDIT_RECEIVES);
  world.deliver(fragment(sent, new Uint8Array(0)));
  assert.equal((world.failure as { code: string }).code, 'ERR_RDMA_PROTOCOL');
  await world.end();
});

test('messages that nobody takes do not pile up over links that fail again and again', async () => {
  const world = new MessageWorld(PLAN);
  let sent = 0;
  for (let link = 0; link < 50; link++) {
    world.attach(0);
    while (world.flow.mayFill) world.deliver(fragment(sent++, new Uint8Array(0)));
    world.detach();
  }
  assert.ok(sent < 20, `${sent} messages of no bytes were taken in`);
  world.attach(0);
  assert.equal(world.qp.receives.length, CREDIT_RECEIVES);
  while (world.unread > 0) {
    world.take();
    await settle();
  }
  assert.equal(world.qp.receives.length, PLAN.slots + CREDIT_RECEIVES);
  const taken = world.qp.sends.map(() => world.receiver.taken);
  assert.deepEqual(taken, [PLAN.slots], 'the peer is told of its receives');
  await world.end();
});

test('receives that are given between the parameters and the link are told when the link is up', async () => {
  const world = new MessageWorld(PLAN);
  world.attach(0);
  let sent = 0;
  while (world.flow.mayFill) world.deliver(fragment(sent++, new Uint8Array(0)));
  world.detach();
  while (world.unread > 0) {
    world.take();
    await settle();
  }
  world.attach(0);
  assert.equal(world.qp.receives.length, PLAN.slots + CREDIT_RECEIVES);
  assert.equal(world.qp.sends.length, 1, 'a CREDIT message');
  await world.end();
});

test('nothing is sent to a peer whose receives are all held back, until it gives them', async () => {
  const world = new MessageWorld({ ...PLAN, peerFreeSlots: 0 });
  world.attach(0);
  world.send(0, Uint8Array.of(1, 2, 3));
  assert.equal(world.qp.sends.length, 0);
  world.deliver(credit(PLAN.peerSlots));
  assert.equal(world.qp.sends.length, 1);
  await world.end();
});

for (const peerSlotBytes of [1, HEADER_BYTES]) {
  test(`a peer whose receives hold ${peerSlotBytes} bytes is refused, as no message fits`, async () => {
    const world = new MessageWorld({ ...PLAN, peerSlotBytes });
    world.attach(0);
    assert.equal((world.failure as { code: string }).code, 'ERR_RDMA_PROTOCOL');
    await world.end();
  });
}

test('one byte of a message fits into receives that are one byte longer than a header', async () => {
  const world = new MessageWorld({ ...PLAN, peerSlotBytes: HEADER_BYTES + 1 });
  world.attach(0);
  world.send(0, Uint8Array.of(1, 2, 3));
  await world.end();
  assert.deepEqual(
    world.outgoing.map(({ error }) => error),
    [undefined],
  );
});
