/**
 * The operations of an RC connection, each done once with everything about it checked: the completions of both ends,
 * and every byte that could have changed, 64 bytes behind the target included.
 */
import { statusName, WcOpcode, WcStatus } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import type { Link } from './link.js';
import { type Peer, type PeerCompletion, pattern, pollAll, sha256 } from './peer.js';

export const OPERATIONS = [
  'SEND',
  'SEND_IMM',
  'WRITE',
  'WRITE_IMM',
  'READ',
  'FETCH_ADD',
  'CMP_SWAP',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export const isAtomic = (operation: Operation): boolean =>
  operation === 'FETCH_ADD' || operation === 'CMP_SWAP';

const GUARD_BYTES = 64;
const PAGE_BYTES = 4096;
const COMPLETION_LIMIT_MILLIS = 60_000;

/** Where in its buffer an end reads from and writes to. */
export interface Layout {
  readonly source: number;
  readonly target: number;
  readonly bufferBytes: number;
}

export function layoutFor(maxBytes: number): Layout {
  const half = Math.ceil((maxBytes + GUARD_BYTES) / PAGE_BYTES) * PAGE_BYTES;
  return { source: 0, target: half, bufferBytes: 2 * half };
}

let lastSeed = 0;
/** Never the same bytes twice, so that what was left of an earlier operation is not taken for this one's. */
const nextSeed = (): number => {
  lastSeed++;
  return lastSeed * 2_654_435 + 1;
};

/** @throws Error saying what was not as it should be. */
export async function perform(
  operation: Operation,
  lengthBytes: number,
  link: Link,
  layout: Layout,
): Promise<void> {
  if (operation === 'FETCH_ADD' || operation === 'CMP_SWAP') await performAtomics(operation, link, layout);
  else if (operation === 'READ') await performRead(lengthBytes, link, layout);
  else await performPush(operation, lengthBytes, link, layout);
}

const PUSH_OPCODES = {
  SEND: WrOpcode.SEND,
  SEND_IMM: WrOpcode.SEND_WITH_IMM,
  WRITE: WrOpcode.RDMA_WRITE,
  WRITE_IMM: WrOpcode.RDMA_WRITE_WITH_IMM,
} as const;

async function performPush(
  operation: keyof typeof PUSH_OPCODES,
  length: number,
  { requester, responder }: Link,
  { source, target }: Layout,
): Promise<void> {
  const seed = nextSeed();
  const imm = operation.endsWith('_IMM') ? (seed ^ 0xdeadbeef) >>> 0 : undefined;
  const isSend = operation.startsWith('SEND');
  const isReceived = operation !== 'WRITE';
  await requester.fill(source, length, seed);
  const guard = await dirty(responder, target, length);
  if (isReceived) await responder.postRecv(7, isSend ? [{ offset: target, length }] : []);
  await requester.postSend({
    wrId: 8,
    opcode: PUSH_OPCODES[operation],
    sges: length === 0 ? [] : [{ offset: source, length }],
    ...(isSend ? {} : { remoteAddr: responder.bufferAddr + BigInt(target), rkey: responder.rkey }),
    ...(imm === undefined ? {} : { imm }),
  });
  const [sent] = await pollAll(requester, 1, COMPLETION_LIMIT_MILLIS);
  expectSuccess(requester, sent, 8, isSend ? WcOpcode.SEND : WcOpcode.RDMA_WRITE);
  if (isReceived) {
    const [received] = await pollAll(responder, 1, COMPLETION_LIMIT_MILLIS);
    expectSuccess(responder, received, 7, isSend ? WcOpcode.RECV : WcOpcode.RECV_RDMA_WITH_IMM);
    expectEqual('bytes received', received?.byteLen, length);
    if (imm !== undefined) expectEqual('immediate', received?.imm, imm);
  }
  await expectBytes(responder, target, pattern(length, seed), guard);
}

async function performRead(
  length: number,
  { requester, responder }: Link,
  { source, target }: Layout,
): Promise<void> {
  const seed = nextSeed();
  await responder.fill(source, length, seed);
  const guard = await dirty(requester, target, length);
  await requester.postSend({
    wrId: 9,
    opcode: WrOpcode.RDMA_READ,
    sges: length === 0 ? [] : [{ offset: target, length }],
    remoteAddr: responder.bufferAddr + BigInt(source),
    rkey: responder.rkey,
  });
  const [read] = await pollAll(requester, 1, COMPLETION_LIMIT_MILLIS);
  expectSuccess(requester, read, 9, WcOpcode.RDMA_READ);
  await expectBytes(requester, target, pattern(length, seed), guard);
}

/** The cell before, the operands, and the cell after. */
const ATOMICS = {
  FETCH_ADD: [
    { before: 5n, add: 7n, swap: 0n, after: 12n },
    { before: 0xfffffffffffffff0n, add: 0x20n, swap: 0n, after: 0x10n },
    { before: 0x00000000ffffffffn, add: 1n, swap: 0n, after: 0x100000000n },
  ],
  CMP_SWAP: [
    {
      before: 0x0123456789abcdefn,
      add: 0x0123456789abcdefn,
      swap: 0xfedcba9876543210n,
      after: 0xfedcba9876543210n,
    },
    { before: 0x0123456789abcdefn, add: 0x0123456789abcdeen, swap: 1n, after: 0x0123456789abcdefn },
    { before: 0n, add: 0n, swap: 0xffffffffffffffffn, after: 0xffffffffffffffffn },
  ],
} as const;

async function performAtomics(
  operation: keyof typeof ATOMICS,
  { requester, responder }: Link,
  { source, target }: Layout,
): Promise<void> {
  const isAdd = operation === 'FETCH_ADD';
  for (const { before, add, swap, after } of ATOMICS[operation]) {
    await responder.poke(target, before);
    await requester.poke(source, 0x5555555555555555n);
    await requester.postSend({
      wrId: 10,
      opcode: isAdd ? WrOpcode.ATOMIC_FETCH_AND_ADD : WrOpcode.ATOMIC_CMP_AND_SWP,
      sges: [{ offset: source, length: 8 }],
      remoteAddr: responder.bufferAddr + BigInt(target),
      rkey: responder.rkey,
      compareAdd: add,
      swap,
    });
    const [done] = await pollAll(requester, 1, COMPLETION_LIMIT_MILLIS);
    expectSuccess(requester, done, 10, isAdd ? WcOpcode.FETCH_ADD : WcOpcode.COMP_SWAP);
    expectEqual('value returned', await requester.peek(source), before);
    expectEqual('value stored', await responder.peek(target), after);
  }
}

/** Fills the target with something else; returns what must still be behind it afterwards. */
async function dirty(peer: Peer, offset: number, length: number): Promise<Uint8Array> {
  const seed = nextSeed();
  await peer.fill(offset, length + GUARD_BYTES, seed);
  return pattern(length + GUARD_BYTES, seed).subarray(length);
}

async function expectBytes(peer: Peer, offset: number, data: Uint8Array, guard: Uint8Array): Promise<void> {
  const expected = sha256(Buffer.concat([data, guard]));
  if ((await peer.hash(offset, data.length + guard.length)) === expected) return;
  const isData = (await peer.hash(offset, data.length)) === sha256(data);
  throw new Error(isData ? 'bytes behind the target were changed' : 'the data differs');
}

export function expectSuccess(
  peer: Peer,
  completion: PeerCompletion | undefined,
  wrId: number,
  opcode: number,
): void {
  const status = completion?.status ?? -1;
  if (status !== WcStatus.SUCCESS) throw new Error(`${peer.kind} completed with ${statusName(status)}`);
  expectEqual(`wrId at ${peer.kind}`, completion?.wrId, wrId);
  expectEqual(`opcode at ${peer.kind}`, completion?.opcode, opcode);
}

export function expectEqual(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${what} is ${actual}, not ${expected}`);
}
