import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MAX_HEADER_LENGTH,
  Opcode,
  OpcodeFlag,
  opcodeFlags,
  opcodeHeaderLength,
  opcodeImmOffset,
  opcodeName,
} from '../../../src/roce/wire/opcodes.js';
import { OPCODE_FACTS } from './opcode-facts.js';

const BYTES: Readonly<Record<string, number>> = {
  RETH: 16,
  AETH: 4,
  ATOMIC_ETH: 28,
  ATOMIC_ACK_ETH: 8,
  IMM: 4,
  IETH: 4,
  DETH: 8,
};

test('each opcode has exactly the flags that the protocol gives it', () => {
  for (const { opcode, name, flags } of OPCODE_FACTS) {
    const set = Object.entries(OpcodeFlag).filter(([, bit]) => ((opcodeFlags[opcode] as number) & bit) !== 0);
    assert.deepEqual(set.map(([flag]) => flag).sort(), [...flags].sort(), name);
  }
});

test('each opcode has the length of its headers, and its immediate at their end', () => {
  for (const { opcode, name, flags } of OPCODE_FACTS) {
    const length = flags.reduce((sum, flag) => sum + (BYTES[flag] ?? 0), 12);
    assert.equal(opcodeHeaderLength[opcode], length, name);
    assert.equal(opcodeImmOffset[opcode], flags.includes('IMM') ? length - 4 : 0, name);
    assert.ok(length <= MAX_HEADER_LENGTH);
  }
});

test('every other opcode is unknown', () => {
  const known = new Set(OPCODE_FACTS.map((facts) => facts.opcode));
  assert.equal(known.size, Object.keys(Opcode).length);
  for (let opcode = 0; opcode < 256; opcode += 1) {
    if (known.has(opcode)) continue;
    assert.deepEqual([opcodeFlags[opcode], opcodeHeaderLength[opcode], opcodeImmOffset[opcode]], [0, 0, 0]);
  }
});

test('opcodes have names, unknown ones too', () => {
  for (const { opcode, name } of OPCODE_FACTS) {
    assert.equal(opcodeName(opcode), name);
    assert.equal((Opcode as Record<string, number>)[name], opcode);
  }
  assert.equal(opcodeName(0x1c), 'OPCODE_0x1c');
  assert.equal(opcodeName(0x05 + 0x20 * 7), 'OPCODE_0xe5');
});

test('flags are distinct bits', () => {
  const bits = Object.values(OpcodeFlag);
  assert.equal(
    bits.reduce((all, bit) => all | bit, 0),
    2 ** bits.length - 1,
  );
});
