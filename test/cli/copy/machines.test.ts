/** What the machines of a copy accept and refuse, and that its messages and paths are read strictly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isOwnName, partNames, pathFault, typedPath } from '../../../src/cli/copy/copy-path.js';
import {
  type CopyEntry,
  CopyFault,
  type CopyMessage,
  MAX_COPY_MESSAGE_BYTES,
  MAX_UNSETTLED,
  readCopyMessage,
  writeCopyMessage,
} from '../../../src/cli/copy/copy-wire.js';
import { ReceiverMachine } from '../../../src/cli/copy/receiver-machine.js';
import { SenderMachine } from '../../../src/cli/copy/sender-machine.js';

const HASH = 'a'.repeat(64);
const entry = (id: number, size = 10, path = `f${id}`): CopyEntry => ({
  type: 'entry',
  id,
  kind: 'file',
  path,
  size,
  mode: 0o644,
  mtimeMillis: 0,
});
const TOTAL: CopyMessage = { type: 'total', files: 1, bytes: 1 };
const piece = (id: number, offset: number, length: number, slot = 0): CopyMessage => ({
  type: 'piece',
  id,
  offset,
  length,
  slot,
});

function receiver(...messages: CopyMessage[]): ReceiverMachine {
  const machine = new ReceiverMachine(2, 8);
  for (const message of messages) {
    assert.equal(typeof machine.receive(message), 'object', JSON.stringify(message));
    if (message.type === 'entry') machine.prepared(message.id, 0);
    if (message.type === 'piece') machine.released(message.slot);
  }
  return machine;
}

test('a file comes in pieces that follow each other, and ends at its size', () => {
  const machine = receiver(entry(1), piece(1, 0, 8), piece(1, 8, 2));
  assert.deepEqual(machine.receive({ type: 'done', id: 1, sha256: HASH }), {
    do: 'finish',
    entry: entry(1),
    sha256: HASH,
  });
  machine.settled();
  assert.deepEqual(machine.receive({ type: 'end' }), { do: 'end' });
});

test('a file whose bytes have all come counts until it is at its place', () => {
  const machine = receiver();
  for (let id = 1; id <= MAX_UNSETTLED; id++) {
    machine.receive(entry(id, 0));
    machine.prepared(id, 0);
    machine.receive({ type: 'done', id, sha256: HASH });
  }
  assert.equal(machine.unsettled, MAX_UNSETTLED);
  machine.settled();
  assert.equal(typeof machine.receive(entry(MAX_UNSETTLED + 1)), 'object');
  assert.equal(machine.receive(entry(MAX_UNSETTLED + 2)), CopyFault.TOO_MANY_ENTRIES);
  const early = receiver();
  early.receive(entry(1, 0));
  early.prepared(1, 0);
  early.receive({ type: 'done', id: 1, sha256: HASH });
  assert.equal(early.receive({ type: 'end' }), CopyFault.INCOMPLETE);
});

const BREACHES: readonly [string, CopyFault, ReceiverMachine, CopyMessage][] = [
  ['a piece before its file', CopyFault.WRONG_ID, receiver(), piece(1, 0, 1)],
  ['a gap', CopyFault.WRONG_OFFSET, receiver(entry(1)), piece(1, 1, 1)],
  ['bytes that came before', CopyFault.WRONG_OFFSET, receiver(entry(1), piece(1, 0, 4)), piece(1, 0, 4)],
  ['bytes beyond the size', CopyFault.WRONG_LENGTH, receiver(entry(1, 4)), piece(1, 0, 5)],
  [
    'a hole beyond the size',
    CopyFault.WRONG_LENGTH,
    receiver(entry(1, 4)),
    { type: 'hole', id: 1, offset: 0, length: 5 },
  ],
  ['more than a slot holds', CopyFault.WRONG_LENGTH, receiver(entry(1, 20)), piece(1, 0, 9)],
  ['a slot that is not there', CopyFault.WRONG_SLOT, receiver(entry(1)), piece(1, 0, 1, 2)],
  [
    'an end that is too early',
    CopyFault.INCOMPLETE,
    receiver(entry(1), piece(1, 0, 4)),
    { type: 'done', id: 1, sha256: HASH },
  ],
  ['an end while a file is open', CopyFault.INCOMPLETE, receiver(entry(1)), { type: 'end' }],
  ['a number twice', CopyFault.WRONG_ID, receiver(entry(1)), entry(1)],
  ['a path outside', CopyFault.WRONG_PATH, receiver(), entry(1, 1, '../x')],
  ['a total twice', CopyFault.OUT_OF_TURN, receiver(TOTAL), TOTAL],
  ['a total behind an entry', CopyFault.OUT_OF_TURN, receiver(entry(1)), TOTAL],
  ['anything after the end', CopyFault.OUT_OF_TURN, receiver({ type: 'end' }), entry(1)],
  ['what only receivers say', CopyFault.OUT_OF_TURN, receiver(), { type: 'stored', id: 1 }],
  [
    'too many files at once',
    CopyFault.TOO_MANY_ENTRIES,
    receiver(...Array.from({ length: MAX_UNSETTLED }, (_, i) => entry(i + 1))),
    entry(MAX_UNSETTLED + 1),
  ],
];
for (const [what, fault, machine, message] of BREACHES) {
  test(`a receiver refuses ${what}, and then everything`, () => {
    assert.equal(machine.receive(message), fault);
    assert.equal(machine.receive(entry(99)), CopyFault.OUT_OF_TURN);
  });
}

test('a receiver refuses a slot that it has not given back', () => {
  const machine = new ReceiverMachine(2, 8);
  machine.receive(entry(1));
  machine.prepared(1, 0);
  assert.equal(typeof machine.receive(piece(1, 0, 2, 1)), 'object');
  assert.equal(machine.receive(piece(1, 2, 2, 1)), CopyFault.WRONG_SLOT);
});

test('a receiver refuses bytes of a file before it has said what it has', () => {
  const machine = new ReceiverMachine(2, 8);
  machine.receive(entry(1));
  assert.equal(machine.receive(piece(1, 0, 2)), CopyFault.OUT_OF_TURN);
});

test('a sender goes on behind what the receiver has, or begins anew, and nowhere else', () => {
  for (const [offset, fault] of [
    [6, undefined],
    [0, undefined],
    [5, CopyFault.WRONG_OFFSET],
  ] as const) {
    const machine = new ReceiverMachine(2, 8);
    machine.receive(entry(1));
    machine.prepared(1, 6);
    const order = machine.receive(piece(1, offset, 2));
    assert.equal(typeof order === 'string' ? order : undefined, fault);
  }
});

test('a sender takes no slot twice, and believes only what it was told of files that it has announced', () => {
  const machine = new SenderMachine(1);
  const slot = machine.takeSlot();
  assert.equal(slot, 0);
  assert.equal(machine.takeSlot(), undefined);
  assert.deepEqual(machine.receive({ type: 'taken', slot: 0 }), { news: 'taken' });
  assert.equal(machine.takeSlot(), 0);
  const id = machine.announce('file', 10);
  assert.equal(new SenderMachine(1).receive({ type: 'taken', slot: 0 }), CopyFault.WRONG_SLOT);
  assert.equal(new SenderMachine(1).receive({ type: 'stored', id: 1 }), CopyFault.WRONG_ID);
  assert.equal(machine.receive({ type: 'have', id, bytes: 11, sha256: HASH }), CopyFault.WRONG_LENGTH);
});

test('a file that failed at the receiver counts until the receiver knows that no more comes', () => {
  for (const isLate of [true, false]) {
    const machine = new SenderMachine(1);
    const id = machine.announce('file', 10);
    machine.receive({ type: 'have', id, bytes: 0, sha256: HASH });
    if (isLate) machine.done(id);
    machine.receive({ type: 'failed', id, reason: 'full' });
    assert.equal(machine.isOpen(id), false);
    assert.equal(machine.unsettled, isLate ? 0 : 1);
    if (!isLate) machine.done(id);
    assert.equal(machine.unsettled, 0);
  }
});

test('messages survive the way, and are read strictly', () => {
  const messages: CopyMessage[] = [
    entry(1),
    entry(1, 10, new Array<string>(16).fill('\x01'.repeat(255)).join('/')),
    piece(1, 0, 1),
    { type: 'open', v: 1, want: 'get', path: 'a/ü', slots: 4, slotBytes: 100 },
    { type: 'have', id: 1, bytes: 2, sha256: HASH },
    { type: 'end' },
  ];
  for (const message of messages) {
    const { tag, text } = writeCopyMessage(message);
    assert.deepEqual(readCopyMessage(tag, Buffer.from(text)), message);
    assert.equal(
      readCopyMessage(tag, Buffer.from(`${text.slice(0, -1)},"more":1}`.replace('{,', '{'))),
      CopyFault.NOT_VALID,
    );
    assert.equal(readCopyMessage(tag, Buffer.from(text.slice(1))), CopyFault.NOT_JSON);
    assert.equal(readCopyMessage(tag, Buffer.alloc(MAX_COPY_MESSAGE_BYTES + 1)), CopyFault.TOO_LONG);
  }
  assert.equal(readCopyMessage(7, Buffer.from('{}')), CopyFault.UNKNOWN_TAG);
  const { tag, text } = writeCopyMessage(entry(1));
  for (const wrong of ['"size":-1', '"size":1.5', '"mode":2048', '"id":0', '"kind":"link"']) {
    const name = wrong.slice(0, wrong.indexOf(':') + 1);
    const changed = text.replace(new RegExp(`${name}("[^"]*"|[0-9]+)`), wrong);
    assert.equal(readCopyMessage(tag, Buffer.from(changed)), CopyFault.NOT_VALID, changed);
  }
});

test('paths that could lead outside, or that names cannot be, are refused', () => {
  const wrong = [
    '/a',
    'a/../b',
    '..',
    '.',
    'a//b',
    'a/',
    'a\0b',
    'a\\b',
    'x'.repeat(256),
    '\ud800',
    `${'a/'.repeat(3000)}a`,
  ];
  for (const path of [...wrong, partNames('x').part, `a/${partNames('x').journal}`])
    assert.notEqual(pathFault(path), undefined, path);
  for (const path of ['', 'a', 'a/b', '...', '..a', 'ü/😀', '-rf', ' '])
    assert.equal(pathFault(path), undefined, path);
  assert.deepEqual(['./a/', '.', 'a//b', '/a', ''].map(typedPath), ['a', '', 'a/b', '/a', '']);
});

test('a path that is accepted stays inside of where it is applied', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', '/', 'b', '...'), { maxLength: 8 }), (parts) => {
      const path = parts.join('/');
      if (pathFault(path) !== undefined) return;
      let depth = 0;
      for (const part of path.split('/')) {
        depth += part === '..' ? -1 : 1;
        assert(depth > 0 && part !== '.');
      }
    }),
  );
  assert(isOwnName(partNames('anything').part));
  assert(isOwnName(partNames('anything').part.toUpperCase()), 'not all disks tell them apart');
});
