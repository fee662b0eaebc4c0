/** Turns operations of a scenario into work queue elements and receives, and records what was posted. */
import type { RemoteGrant } from '../../src/roce/memory/region.js';
import { type BindRequest, Window } from '../../src/roce/qp/bind-request.js';
import type { EngineSend } from '../../src/roce/qp/posting.js';
import { REMOTE_ACCESS } from '../../src/verbs/access-flags.js';
import { type RKey, toRKey } from '../../src/verbs/brands.js';
import { WcStatus } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import type { Arena, Piece } from './arena.js';
import { type Endpoint, PD } from './endpoint.js';
import type { AtomicRecord, ReceiveRecord, SendRecord } from './records.js';
import { isSend, needsReceive, type Operation, type OperationKind } from './scenario.js';

export const INLINE_BYTES = 64;
const WORD_BYTES = 8;
const NO_KEY = toRKey(0);
/** Receives are numbered apart from operations. */
const FIRST_RECEIVE_ID = 1_000_000;

const OPCODES: Readonly<Record<OperationKind, WrOpcode>> = {
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

/** Where the bytes of a request are. */
type Payload = Pick<EngineSend, 'sges' | 'inlineData'>;

interface Remote {
  readonly va: number;
  readonly rkey: RKey;
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
  const { payload, ...local } = placeLocal(endpoint, operation);
  const remote = remoteOf(endpoint, operation, windows);
  const imm = random.u32();
  const invalidateRkey = invalidatedRkey(endpoint, operation, windows);
  const isBind = operation.kind === 'bind';
  const operands = isAtomicKind(operation.kind) ? addAtomic(endpoint, operation, now) : {};
  const record: SendRecord = {
    operation,
    index: endpoint.sends.length,
    ...local,
    target: remote.arena,
    targetAt: remote.at,
    imm,
    invalidateRkey,
    signaled: operation.signaled || endpoint.driver.connection.signalAll,
    postedAt: now,
    outcome: 'posted',
    status: WcStatus.SUCCESS,
    settledAt: Number.POSITIVE_INFINITY,
  };
  endpoint.sends.push(record);
  if (needsReceive(operation)) endpoint.messages.push(record);
  const { FENCE, SIGNALED, SOLICITED } = SendFlags;
  qp.postSend({
    wrId: operation.id,
    opcode: OPCODES[operation.kind],
    flags:
      (operation.signaled ? SIGNALED : 0) |
      (operation.fence ? FENCE : 0) |
      (operation.solicited ? SOLICITED : 0),
    imm,
    remoteAddr: remote.va,
    rkey: remote.rkey,
    invalidateRkey,
    ...payload,
    ...operands,
    ...(isBind ? { bind: bind(endpoint, operation, windows) } : {}),
  });
  // It was copied.
  payload.inlineData?.fill(0xee);
  return record;
}

/** Local memory of the request: filled where it is sent from, taken where it is received into. */
function placeLocal(
  endpoint: Endpoint,
  operation: Operation,
): { arena: Arena; pieces: Piece[]; data: Uint8Array; payload: Payload } {
  const arena = operation.wrong === 'localProtection' ? endpoint.foreign : endpoint.local;
  const none = { arena, pieces: [], data: new Uint8Array(0), payload: {} };
  if (operation.kind === 'bind' || operation.kind === 'localInv') return none;
  const length = endpoint.lengthOf(operation);
  const key = operation.id * 2654435761;
  if (operation.inline && length <= INLINE_BYTES && hasPayload(operation.kind)) {
    const data = new Uint8Array(length).map((_, i) => (key >>> (i & 15)) + i);
    return { ...none, data, payload: { inlineData: data.slice() } };
  }
  const pieces = arena.take(
    operation.wrong === 'localProtection' ? Math.min(length, 64) : length,
    operation.sges,
  );
  const payload = { sges: pieces.map((piece) => ({ mr: arena.region, ...piece })) };
  if (!hasPayload(operation.kind)) return { arena, pieces, data: none.data, payload };
  arena.write(pieces, key);
  const data = new Uint8Array(length);
  let done = 0;
  for (const piece of pieces) {
    data.set(arena.bytes.subarray(piece.offset, piece.offset + piece.length), done);
    done += piece.length;
  }
  return { arena, pieces, data, payload };
}

function remoteOf(endpoint: Endpoint, operation: Operation, windows: Windows): Remote {
  const { peer } = endpoint;
  const none = { va: 0, rkey: NO_KEY, arena: null, at: 0 };
  if (isSend(operation.kind) || operation.kind === 'bind' || operation.kind === 'localInv') return none;
  const isAtomic = isAtomicKind(operation.kind);
  const isWord = isAtomic && operation.wrong !== 'domain';
  const arena = isWord ? peer.host.words : wrongArena(endpoint, operation);
  const grant = arena.grant as RemoteGrant;
  let at = isAtomic ? (operation.offset % peer.host.sharedWords.length) * WORD_BYTES : operation.offset;
  let rkey: number = grant.rkey;
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
  return { va: arena.region.va + at, rkey: (rkey >>> 0) as RKey, arena: untouched ? null : arena, at };
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
    mw: window,
    mr: region,
    offset: 0,
    length: region.bytes.length,
    access: REMOTE_ACCESS,
    rkey: window.rkey,
  };
  // Fails where the memory was deregistered; then the key opens nothing at all.
  nic.bindWindow(idleQp, request);
  return window.rkey;
}

function invalidatedRkey(endpoint: Endpoint, operation: Operation, windows: Windows): RKey {
  if (operation.kind !== 'localInv' && operation.kind !== 'sendInv') return NO_KEY;
  if (operation.wrong === 'badInvalidate') {
    const victim = operation.kind === 'sendInv' ? endpoint.peer : endpoint;
    return victim.target.grant?.rkey ?? NO_KEY;
  }
  return windows.get(operation.window ?? -1)?.rkey ?? NO_KEY;
}

function bind(endpoint: Endpoint, operation: Operation, windows: Windows): BindRequest {
  const rkey = endpoint.nic.regions.reserveKey();
  const window = new Window(PD, rkey);
  windows.set(operation.id, window);
  const arena = operation.wrong === 'badBind' ? endpoint.writable : endpoint.target;
  return {
    mw: window,
    mr: arena.region,
    offset: operation.offset,
    length: Math.max(1, operation.length),
    access: REMOTE_ACCESS,
    rkey,
  };
}

// --- atomics --------------------------------------------------------------------------------------------------------

/** Notes it, and returns its operands. */
function addAtomic(
  endpoint: Endpoint,
  operation: Operation,
  now: number,
): Pick<EngineSend, 'compareAdd' | 'swap'> {
  const { random, peer } = endpoint;
  const word = peer.host.sharedWords[operation.offset % peer.host.sharedWords.length];
  if (word === undefined) throw new Error('no shared word');
  const operand = randomU64(endpoint);
  const isCompareSwap = operation.kind === 'cas';
  const compare = random.chance(0.7) ? word.lately : randomU64(endpoint);
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
  return isCompareSwap ? { compareAdd: compare, swap: operand } : { compareAdd: operand };
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
  const mr = bad ? endpoint.foreign.region : arena.region;
  const sges = pieces.map((piece) => ({ mr, ...piece }));
  const record: ReceiveRecord = { wrId, arena, pieces, capacity: endpoint.receiveBytes, outcome: 'posted' };
  if (endpoint.usesSrq) host.sharedReceives.set(wrId, record);
  else endpoint.receives.push(record);
  (qp.srq ?? qp).postRecv({ wrId, sges });
  return true;
}
