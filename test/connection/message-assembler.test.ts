/** Fragments of one message that do not fit together are refused, each way by its reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MessageFault,
  type MessageHeader,
  MessageKind,
  MessageViolation,
} from '../../src/connection/fragments/message-header.js';
import { MessageAssembler } from '../../src/connection/messages/message-inbox.js';

const FIRST: MessageHeader = {
  kind: MessageKind.DATA,
  flags: 0,
  sequence: 0,
  limit: 8,
  stream: 0,
  tag: 1,
  value: 10,
};
const MAX_BYTES = 64;

function begun(): MessageAssembler {
  const assembler = new MessageAssembler();
  assert.equal(assembler.append(FIRST, new Uint8Array(5), MAX_BYTES), undefined);
  return assembler;
}

test('fragments that fit together become the message', () => {
  const whole = begun().append({ ...FIRST, sequence: 1 }, new Uint8Array(5).fill(7), MAX_BYTES);
  assert.deepEqual(whole, new Uint8Array([0, 0, 0, 0, 0, 7, 7, 7, 7, 7]));
});

for (const [what, change] of [
  ['a shorter length', { value: 9 }],
  ['a longer length', { value: 11 }],
  ['another tag', { tag: 2 }],
  ['another kind', { kind: MessageKind.SEALED_READ }],
] as const) {
  test(`a later fragment with ${what} is refused`, () => {
    const assembler = begun();
    assert.throws(
      () => assembler.append({ ...FIRST, ...change, sequence: 1 }, new Uint8Array(4), MAX_BYTES),
      (error) => error instanceof MessageViolation && error.reason === MessageFault.FRAGMENTS_DIFFER,
    );
  });
}
