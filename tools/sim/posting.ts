/** Turns operations of a scenario into work queue elements and receives, and records what was posted. */
import type { RemoteGrant } from '../../src/roce/memory/region.js';
import { Window } from '../../src/roce/qp/bind-request.js';
import type { SendWqe } from '../../src/roce/qp/send-queue.js';
import { REMOTE_ACCESS } from '../../src/verbs/access-flags.js';
import { WcStatus } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import type { Arena, Piece } from './arena.js';
import { type Endpoint, PD } from './endpoint.js';
import type { AtomicRecord, ReceiveRecord, SendRecord } from './records.js';
import { isSend, needsReceive, type Operation, type OperationKind } from './scenario.js';

export const INLINE_BYTES = 64;
const WORD_BYTES = 8;
/** Receives are numbered apart from operations. */
const FIRST_RECEIVE_ID = 1_000_000;

const OPCODES: Readonly<Record<OperationKind, number>> = {
  send: WrOpcode.SEND,
  sendImm: WrOpcode.SEND_WITH_IMM,
  sendInv: WrOpcode.SEND_WITH_INV,
  write: WrOpcode.RDMA_WRITE,
  writeImm: WrOpcode.RDMA_WRITE_WITH_IMM,
  read: WrOpcode.RDMA_READ,
  faa: WrOpcode.ATOMIC_FETCH_AND_ADD,
  cas: WrOpcode.ATOMIC_CMP_AND_SWP,
  bind: WrOpcode.BIND_MW,
  localInv: WrOpcode.LOCAL_INV,
};

export const isAtomicKind = (kind: OperationKind): boolean => kind === 'faa' || kind === 'cas';
const hasPayload = (kind: OperationKind): boolean => isSend(kind) || kind === 'write' || kind === 'writeImm';

/** Windows by the id of the operation that bound them. */
export type Windows = Map<number, Window>;

interface Remote {
  readonly va: number;
  readonly rkey: number;
  /** `null` where nothing must change. */
  readonly arena: Arena | null;
  readonly at: number;
}

export function postSend(
  endpoint: Endpoint,
  operation: Operation,
  windows: Windows,
  now: number,
): SendRecord {
  const { qp, random } = endpoint;
  const queue = qp.requester.queue;
  const wqe = queue.reserve();
  const local = placeLocal(endpoint, operation, wqe);
  const remote = remoteOf(endpoint, operation, windows);
  Object.assign(wqe, {
    wrId: operation.id,
    opcode: OPCODES[operation.kind],
    signaled: operation.signaled,
    fence: operation.fence,
    solicited: operation.solicited,
    imm: random.u32(),
    remoteVa: remote.va,
    rkey: remote.rkey,
    invalidateRkey: invalidatedRkey(endpoint, operation, windows),
    swapAddHigh: 0,
    swapAddLow: 0,
    compareHigh: 0,
    compareLow: 0,
  });
  wqe.length = queue.sges.totalLength(wqe.slot);
  if (operation.kind === 'bind') bind(endpoint, operation, wqe, windows);
  const record: SendRecord = {
    operation,
    index: endpoint.sends.length,
    ...local,
    target: remote.arena,
    targetAt: remote.at,
    imm: wqe.imm,
    invalidateRkey: wqe.invalidateRkey,
    signaled: operation.signaled || endpoint.driver.connection.signalAll,
    postedAt: now,
    outcome: 'posted',
    status: WcStatus.SUCCESS,
    settledAt: Number.POSITIVE_INFINITY,
  };
  if (isAtomicKind(operation.kind)) addAtomic(endpoint, operation, wqe, now);
  endpoint.sends.push(record);
  if (needsReceive(operation)) endpoint.messages.push(record);
  qp.commitSend();
  return record;
}

/** Local memory of the request: filled where it is sent from, taken where it is received into. */
function placeLocal(
  endpoint: Endpoint,
  operation: Operation,
  wqe: SendWqe,
): { arena: Arena; pieces: Piece[]; data: Uint8Array } {
  const queue = endpoint.qp.requester.queue;
  const arena = operation.wrong === 'localProtection' ? endpoint.foreign : endpoint.local;
  const none = { arena, pieces: [], data: new Uint8Array(0) };
  if (operation.kind === 'bind' || operation.kind === 'localInv') return none;
  const length = endpoint.lengthOf(operation);
  const key = operation.id * 2654435761;
  if (operation.inline && length <= INLINE_BYTES && hasPayload(operation.kind)) {
    const data = new Uint8Array(length).map((_, i) => (key >>> (i & 15)) + i);
    const scratch = data.slice();
    queue.setInline(wqe, scratch);
    scratch.fill(0xee);
    return { ...none, data };
  }
  const pieces = arena.take(
    operation.wrong === 'localProtection' ? Math.min(length, 64) : length,
    operation.sges,
  );
  for (const piece of pieces) queue.sges.add(wqe.slot, arena.region, piece.offset, piece.length);
  if (!hasPayload(operation.kind)) return { arena, pieces, data: none.data };
  arena.write(pieces, key);
  const data = new Uint8Array(length);
  let done = 0;
  for (const piece of pieces) {
    data.set(arena.bytes.subarray(piece.offset, piece.offset + piece.length), done);
    done += piece.length;
  }
  return { arena, pieces, data };
}

function remoteOf(endpoint: Endpoint, operation: Operation, windows: Windows): Remote {
  const { peer } = endpoint;
  const none = { va: 0, rkey: 0, arena: null, at: 0 };
  if (isSend(operation.kind) || operation.kind === 'bind' || operation.kind === 'localInv') return none;
  const isAtomic = isAtomicKind(operation.kind);
  const isWord = isAtomic && operation.wrong !== 'domain';
  const arena = isWord ? peer.host.words : wrongArena(endpoint, operation);
  const grant = arena.grant as RemoteGrant;
  let at = isAtomic ? (operation.offset % peer.host.sharedWords.length) * WORD_BYTES : operation.offset;
  let rkey = grant.rkey;
  if (operation.window !== null) rkey = windows.get(operation.window)?.rkey ?? 0;
  if (operation.wrong === 'rkey') rkey ^= 0x5a5a5a5a;
  if (operation.wrong === 'misaligned') at += 4;
  if (operation.wrong === 'range') {
    // By a byte or by much: both are outside.
    const excess = endpoint.random.chance(0.5) ? 1 : Math.ceil(operation.length / 2);
    at = arena.bytes.length - operation.length + excess;
  }
  if (operation.wrong === 'foreignWindow') rkey = foreignWindow(peer);
  const untouched = isAtomic || (operation.wrong !== null && operation.wrong !== 'noReceive');
  return { va: arena.region.va + at, rkey: rkey >>> 0, arena: untouched ? null : arena, at };
}

function wrongArena(endpoint: Endpoint, operation: Operation): Arena {
  const { peer } = endpoint;
  if (operation.wrong === 'domain') return peer.foreign;
  if (operation.wrong === 'right') return operation.kind === 'read' ? peer.writable : peer.readable;
  return peer.target;
}

/** A window of another queue pair of the same NIC. */
function foreignWindow(peer: Endpoint): number {
  const { nic, idleQp } = peer.host;
  const window = new Window(PD, nic.regions.reserveKey());
  const { region } = peer.target;
  const request = {
    window,
    region,
    offset: 0,
    length: region.bytes.length,
    access: REMOTE_ACCESS,
    rkey: window.rkey,
  };
  // Fails where the memory was deregistered; then the key opens nothing at all.
  nic.bindWindow(idleQp, request);
  return window.rkey;
}

function invalidatedRkey(endpoint: Endpoint, operation: Operation, windows: Windows): number {
  if (operation.kind !== 'localInv' && operation.kind !== 'sendInv') return 0;
  if (operation.wrong === 'badInvalidate') {
    const victim = operation.kind === 'sendInv' ? endpoint.peer : endpoint;
    return victim.target.grant?.rkey ?? 0;
  }
  return windows.get(operation.window ?? -1)?.rkey ?? 0;
}

function bind(endpoint: Endpoint, operation: Operation, wqe: SendWqe, windows: Windows): void {
  const rkey = endpoint.nic.regions.reserveKey();
  const window = new Window(PD, rkey);
  windows.set(operation.id, window);
  const arena = operation.wrong === 'badBind' ? endpoint.writable : endpoint.target;
  wqe.bind = {
    window,
    region: arena.region,
    offset: operation.offset,
    length: Math.max(1, operation.length),
    access: REMOTE_ACCESS,
    rkey,
  };
}

// --- atomics --------------------------------------------------------------------------------------------------------

function addAtomic(endpoint: Endpoint, operation: Operation, wqe: SendWqe, now: number): void {
  const { random, peer } = endpoint;
  const word = peer.host.sharedWords[operation.offset % peer.host.sharedWords.length];
  if (word === undefined) throw new Error('no shared word');
  const operand = randomU64(endpoint);
  const isCompareSwap = operation.kind === 'cas';
  const compare = random.chance(0.7) ? word.lately : randomU64(endpoint);
  wqe.swapAddHigh = Number(operand >> 32n);
  wqe.swapAddLow = Number(operand & 0xffffffffn);
  wqe.compareHigh = Number(compare >> 32n);
  wqe.compareLow = Number(compare & 0xffffffffn);
  const record: AtomicRecord = {
    id: operation.id,
    group: `${endpoint.name} ${endpoint.driver.epochIndex}`,
    isCompareSwap,
    compare,
    operand,
    original: null,
    isOpen: operation.wrong === null,
    postedAt: now,
    settledAt: Number.POSITIVE_INFINITY,
  };
  if (operation.wrong === null) word.records.push(record);
  endpoint.driver.atomics.set(operation.id, { word, record });
}

function randomU64(endpoint: Endpoint): bigint {
  return (BigInt(endpoint.random.u32()) << 32n) | BigInt(endpoint.random.u32());
}

/** Reads the value that a successful atomic returned. */
export function settleAtomic(endpoint: Endpoint, record: SendRecord, now: number): void {
  const entry = endpoint.driver.atomics.get(record.operation.id);
  if (entry === undefined) throw new Error('an atomic without a record');
  const bytes = new Uint8Array(WORD_BYTES);
  let done = 0;
  for (const piece of record.pieces) {
    bytes.set(record.arena.bytes.subarray(piece.offset, piece.offset + piece.length), done);
    done += piece.length;
    record.arena.accept(piece.offset, piece.length);
  }
  const original = new DataView(bytes.buffer).getBigUint64(0, true);
  entry.record.original = original;
  entry.record.settledAt = now;
  const { isCompareSwap, compare, operand } = entry.record;
  const sum = (original + operand) & 0xffffffffffffffffn;
  entry.word.lately = isCompareSwap ? (original === compare ? operand : original) : sum;
}

// --- receives -------------------------------------------------------------------------------------------------------

/** Posts the receive for one message; returns false while there is no room. */
export function postReceive(endpoint: Endpoint, operation: Operation): boolean {
  const { host, qp } = endpoint;
  const queue = qp.srq?.receives ?? qp.receives;
  if (queue.full) return false;
  const arena = endpoint.usesSrq ? host.sharedArena : endpoint.local;
  const bad = operation.wrong === 'receiveProtection';
  const count = Math.max(1, endpoint.random.int(1, queue.sges.maxSge));
  const pieces = arena.take(endpoint.receiveBytes, count);
  const wrId = FIRST_RECEIVE_ID + host.receivesPosted++;
  const slot = queue.push(wrId);
  for (const piece of pieces) {
    queue.sges.add(slot, bad ? endpoint.foreign.region : arena.region, piece.offset, piece.length);
  }
  const record: ReceiveRecord = { wrId, arena, pieces, capacity: endpoint.receiveBytes, outcome: 'posted' };
  if (endpoint.usesSrq) host.sharedReceives.set(wrId, record);
  else {
    endpoint.receives.push(record);
    qp.commitReceive();
  }
  return true;
}
