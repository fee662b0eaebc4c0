/** Senders and receivers of messages against a peer that the test plays, fragment by fragment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEADER_BYTES, MessageType, writeHeader } from '../../src/connection/message-header.js';
import { MessageWorld, settle, type WorldPlan } from '../../tools/fuzz/targets/messages/message-world.js';

const PLAN: WorldPlan = {
  slots: 4,
  slotBytes: 64,
  maxMessageBytes: 300,
  peerSlots: 4,
  peerSlotBytes: 64,
  encrypted: false,
};

/** A whole message in one fragment. */
function fragment(sequence: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const totalBytes = payload.length;
  writeHeader(bytes, 0, { type: MessageType.DATA, sequence, taken: 0, totalBytes, offset: 0 });
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

test('empty messages that nobody takes end with the receives, and go on when they are taken', async () => {
  const world = new MessageWorld(PLAN);
  world.attach(0);
  let sent = 0;
  while (sent < 1000 && world.qp.receives.length > 0) world.deliver(fragment(sent++, new Uint8Array(0)));
  assert.ok(sent < 20, `${sent} messages of no bytes were taken in`);
  for (let i = 0; i < sent; i++) {
    world.take();
    await settle();
  }
  assert.ok(world.qp.receives.length >= PLAN.slots);
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
  world.send(MessageType.DATA, Uint8Array.of(1, 2, 3));
  await world.end();
  assert.deepEqual(
    world.outgoing.map(({ error }) => error),
    [undefined],
  );
});
