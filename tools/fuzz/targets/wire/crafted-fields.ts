/** Lengths, keys and addresses near where they begin to be wrong. */
import { writeU32, writeVa } from '../../../../src/roce/wire/bytes.js';
import { OpcodeFlag } from '../../../../src/roce/wire/opcodes.js';
import type { Choices } from '../../choices.js';
import type { KnownRegion, KnownWindow, World } from './world.js';

/** What a packet may name. */
export interface NamedMemory {
  readonly rkey: number;
  readonly va: number;
  readonly length: number;
}

const NOTHING: NamedMemory = { rkey: 0xdeadbeef, va: 0x10000, length: 64 };

export function pickMemory(world: World, choices: Choices): NamedMemory {
  const index = choices.below(world.regions.length + world.windows.length + 2);
  if (index < 2) return ofRegion(world.regions[2] as KnownRegion);
  const shifted = index - 2;
  if (shifted < world.regions.length) return ofRegion(world.regions[shifted] as KnownRegion);
  return ofWindow(world, world.windows[shifted - world.regions.length] as KnownWindow);
}

function ofRegion({ region, grant }: KnownRegion): NamedMemory {
  // A region without remote rights has no rkey: try its lkey.
  if (grant === null) return { rkey: region.lkey, va: region.va, length: region.bytes.length };
  return { rkey: grant.rkey, va: grant.va, length: grant.length };
}

function ofWindow(world: World, { window, from, length }: KnownWindow): NamedMemory {
  if (window.rkey === 0) return NOTHING;
  return { rkey: window.rkey, va: world.windowHost.va + from, length };
}

/** Bytes of payload of a packet with these flags. */
export function pickPayloadLength({ mtu }: World, flags: number, choices: Choices): number {
  const how = choices.u8();
  const isWhole = (flags & OpcodeFlag.PAYLOAD) !== 0 && (flags & OpcodeFlag.END) === 0;
  if (how < 120) return isWhole ? mtu : how;
  // 200, 808 and 1008 bytes are the capacities of receives.
  const lengths = [
    0,
    1,
    2,
    3,
    4,
    5,
    63,
    64,
    200,
    201,
    808,
    809,
    1008,
    1009,
    mtu - 1,
    mtu,
    mtu + 1,
    mtu * 2,
    mtu + 4,
  ];
  return lengths[how % lengths.length] as number;
}

/** Bytes that a RETH announces. */
export function pickAnnouncedLength({ mtu }: World, choices: Choices): number {
  const small = [0, 1, 3, 4, 64, mtu - 1, mtu, mtu + 1, mtu * 2, mtu * 3 + 1];
  return choices.pick([...small, 4095, 4096, 4097, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff]);
}

/** Writes the address of `length` bytes in `memory`, or of bytes just not in it. */
export function pickVa(
  bytes: Uint8Array,
  at: number,
  memory: NamedMemory,
  length: number,
  choices: Choices,
): void {
  const how = choices.u8();
  const { va } = memory;
  const last = va + memory.length - length;
  const candidates = [
    va,
    va,
    va,
    va + 8,
    va + choices.below(64),
    last,
    last + 1,
    va - 1,
    va + memory.length,
    va + 4,
  ];
  if (how >= 240) {
    writeU32(bytes, at, how & 1 ? 0xffffffff : 0x00200000);
    writeU32(bytes, at + 4, how & 2 ? 0xffffffff : 0);
    return;
  }
  writeVa(bytes, at, Math.max(0, candidates[how % candidates.length] as number));
}
