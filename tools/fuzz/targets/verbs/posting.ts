/** Posts work requests: right ones for the peer by default, with fields that are wrong by choice. */
import { mayPostRecv, mayPostSend, QpState, QpType } from '../../../../src/verbs/qp-state.js';
import {
  type ReceiveWorkRequest,
  type SendWorkRequest,
  type Sge,
  type WindowBinding,
  WrOpcode,
} from '../../../../src/verbs/work-request.js';
import type { Choices } from '../../choices.js';
import { must } from '../../target.js';
import { absurd, bigNumber, number } from './arguments.js';
import { isRefusal } from './call.js';
import type { QpEntry, SrqEntry } from './registry.js';
import { QKEY, type VerbsWorld } from './verbs-world.js';

const OPCODES = [
  WrOpcode.SEND,
  WrOpcode.RDMA_WRITE,
  WrOpcode.RDMA_READ,
  WrOpcode.ATOMIC_FETCH_AND_ADD,
  WrOpcode.ATOMIC_CMP_AND_SWP,
  WrOpcode.SEND_WITH_IMM,
  WrOpcode.RDMA_WRITE_WITH_IMM,
  WrOpcode.BIND_MW,
  WrOpcode.LOCAL_INV,
  WrOpcode.SEND_WITH_INV,
] as const;
const LENGTHS = [8, 0, 1, 7, 64, 1024, 1025, 2048, 2049];

const NO_WR_IDS = [Number.NaN, 0.5, Number.POSITIVE_INFINITY, 2 ** 53];

/** Posts one request, or a few of them at once. */
export function postSends(world: VerbsWorld, device: number, choices: Choices): void {
  const entry = world.objects.pick('qps', device, choices);
  const queue = entry?.sends;
  if (entry === undefined || queue === undefined) return;
  const requests: SendWorkRequest[] = [];
  for (let i = choices.oneIn(6) ? choices.below(5) : 1; i > 0; i--)
    requests.push(sendRequest(world, entry, world.ledger.nextWrId(), choices));
  const { object: qp } = entry;
  const mayPost = !entry.closed && mayPostSend(qp.state);
  // Some complete within the call, so they count as posted before it.
  for (const { wrId, flags } of requests)
    world.ledger.posted(queue, wrId, ((flags ?? 0) & 2) !== 0 || qp.state > QpState.SQD);
  const left = post(requests, (request) => {
    if (requests.length === 1) qp.postSend(request);
    else qp.postSendBatch([request]);
  });
  for (const { wrId } of left) world.ledger.withdrawn(queue, wrId);
  if (!mayPost) must(left.length === requests.length, 'a queue pair that is not in RTS takes no request');
  for (const request of requests.slice(0, requests.length - left.length)) {
    must(isOwn(world, entry, request), 'objects of another device are refused');
    must(hasNumbers(request), 'numbers that fit no field are refused');
  }
}

/** Posts receives to a queue pair or a shared receive queue. */
export function postReceives(world: VerbsWorld, device: number, choices: Choices): void {
  const toShared = choices.oneIn(4);
  const kind = toShared ? 'srqs' : 'qps';
  const entry: QpEntry | SrqEntry | undefined = world.objects.pick(kind, device, choices);
  if (entry === undefined) return;
  const queue = 'queue' in entry ? entry.queue : (entry as QpEntry).receives;
  const requests: ReceiveWorkRequest[] = [];
  for (let i = choices.oneIn(6) ? choices.below(5) : 1; i > 0; i--)
    requests.push(receiveRequest(world, entry.device, world.ledger.nextWrId(), choices));
  for (const { wrId } of requests) if (queue !== undefined) world.ledger.posted(queue, wrId, true);
  const mayPost = !entry.closed && ('maxWr' in entry.object || mayPostRecv(entry.object.state));
  const left = post(requests, (request) => {
    if (requests.length === 1) entry.object.postRecv(request);
    else entry.object.postRecvBatch([request]);
  });
  for (const { wrId } of left) if (queue !== undefined) world.ledger.withdrawn(queue, wrId);
  if (!mayPost || queue === undefined)
    must(left.length === requests.length, 'a receive queue that cannot take receives refuses them');
}

/** One after the other, because a batch does not tell how many it took. Returns those that were not posted. */
function post<T>(requests: readonly T[], call: (request: T) => void): readonly T[] {
  for (const [i, request] of requests.entries()) {
    try {
      call(request);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return requests.slice(i);
    }
  }
  return [];
}

const isUnsigned = (value: number | undefined, max = 0xffffffff): boolean =>
  value === undefined || (Number.isInteger(value) && value >= 0 && value <= max);

function hasNumbers(request: SendWorkRequest): boolean {
  const { wrId, rkey, imm, invalidateRkey, remoteQpn, remoteQkey, remoteAddr, bind, sges } = request;
  const areKeys = isUnsigned(rkey) && isUnsigned(imm) && isUnsigned(invalidateRkey) && isUnsigned(remoteQkey);
  const isAddress =
    typeof remoteAddr === 'bigint'
      ? BigInt.asUintN(64, remoteAddr) === remoteAddr
      : remoteAddr === undefined || isUnsigned(remoteAddr, Number.MAX_SAFE_INTEGER);
  const isWindow =
    bind === undefined ||
    [bind.offset, bind.length, bind.rkey].every((value) => isUnsigned(value, Number.MAX_SAFE_INTEGER));
  const arePieces = sges?.every(({ offset, length }) => {
    return isUnsigned(offset, Number.MAX_SAFE_INTEGER) && isUnsigned(length, Number.MAX_SAFE_INTEGER);
  });
  return (
    Number.isSafeInteger(wrId) &&
    areKeys &&
    isUnsigned(remoteQpn, 0xffffff) &&
    isAddress &&
    isWindow &&
    arePieces !== false
  );
}

/** Whether everything that the request names is of the device of its queue pair. */
function isOwn(world: VerbsWorld, { device }: QpEntry, { sges, ah, bind }: SendWorkRequest): boolean {
  const { mrs, ahs, mws } = world.objects;
  const isOwnMr = (mr: unknown): boolean => mrs.find(({ object }) => object === mr)?.device === device;
  if (sges?.some(({ mr }) => !isOwnMr(mr))) return false;
  if (ah !== undefined && ahs.find(({ object }) => object === ah)?.device !== device) return false;
  if (bind === undefined) return true;
  return isOwnMr(bind.mr) && mws.find(({ object }) => object === bind.mw)?.device === device;
}

function sendRequest(world: VerbsWorld, entry: QpEntry, wrId: number, choices: Choices): SendWorkRequest {
  const isUd = entry.object.type === QpType.UD;
  const opcode = isUd && !choices.oneIn(10) ? WrOpcode.SEND : choices.pick(OPCODES);
  const request: Record<string, unknown> = { wrId, opcode, flags: number(choices, 2, 0, 1, 3, 4, 6, 7, 8) };
  const how = choices.u8();
  const inline = how >= 160 && how < 200;
  if (inline) request['inlineData'] = new Uint8Array(number(choices, 8, 0, 63, 64, 65) & 1023).fill(wrId);
  if (how < 160 || how >= 250) request['sges'] = pieces(world, entry, opcode, choices);
  if (opcode < WrOpcode.LOCAL_INV && opcode !== WrOpcode.SEND && opcode !== WrOpcode.SEND_WITH_IMM)
    addRemote(world, entry, request, choices);
  if (opcode === WrOpcode.SEND_WITH_IMM || opcode === WrOpcode.RDMA_WRITE_WITH_IMM)
    request['imm'] = number(choices, 7, 0, 0xffffffff, 2 ** 32);
  if (opcode === WrOpcode.ATOMIC_FETCH_AND_ADD || opcode === WrOpcode.ATOMIC_CMP_AND_SWP) {
    request['compareAdd'] = bigNumber(choices, 1n);
    request['swap'] = bigNumber(choices, 2n);
  }
  if (opcode === WrOpcode.BIND_MW) request['bind'] = binding(world, entry, choices);
  if (opcode === WrOpcode.LOCAL_INV || opcode === WrOpcode.SEND_WITH_INV) {
    const mw = world.objects.pick(
      'mws',
      opcode === WrOpcode.LOCAL_INV ? entry.device : 1 - entry.device,
      choices,
    );
    request['invalidateRkey'] = number(choices, mw?.object.rkey ?? 0, 0, 1);
  }
  if (isUd) {
    request['ah'] = world.objects.pick('ahs', entry.device, choices)?.object;
    request['remoteQpn'] = number(choices, entry.peer?.object.qpn ?? 1, 0, 0xffffff, 0x1000000);
    request['remoteQkey'] = number(choices, QKEY, 0, 0xffffffff, 2 ** 32);
  }
  if (choices.oneIn(24)) delete request[choices.pick(Object.keys(request))];
  if (choices.oneIn(40)) request['opcode'] = absurd(choices);
  return request as unknown as SendWorkRequest;
}

function receiveRequest(
  world: VerbsWorld,
  device: number,
  wrId: number,
  choices: Choices,
): ReceiveWorkRequest {
  const sges: Sge[] = [];
  for (let i = choices.pick([1, 2, 0, 3, 4]); i > 0; i--) {
    const sge = piece(world, device, choices.pick([64, 0, 8, 2048, 1024, 2049]), choices);
    if (sge !== null) sges.push(sge);
  }
  return choices.oneIn(32) ? { wrId: choices.pick(NO_WR_IDS), sges } : { wrId, sges };
}

function pieces(world: VerbsWorld, { device }: QpEntry, opcode: number, choices: Choices): Sge[] {
  const isAtomic = opcode === WrOpcode.ATOMIC_CMP_AND_SWP || opcode === WrOpcode.ATOMIC_FETCH_AND_ADD;
  const count = isAtomic ? choices.pick([1, 1, 1, 2, 0]) : choices.pick([1, 2, 0, 3, 4]);
  const sges: Sge[] = [];
  for (let i = 0; i < count; i++) {
    const sge = piece(world, device, isAtomic ? 8 : choices.pick(LENGTHS), choices);
    if (sge !== null) sges.push(sge);
  }
  return sges;
}

function piece(world: VerbsWorld, device: number, length: number, choices: Choices): Sge | null {
  const mr = world.objects.pick('mrs', device, choices);
  if (mr === undefined) return null;
  const how = choices.u8();
  if (how < 32) return { mr: mr.object };
  if (how < 180) return { mr: mr.object, offset: number(choices, 0, 1, 8, 1024), length };
  return { mr: mr.object, offset: number(choices, 0, 2047, 2048), length: number(choices, length, 2048, 1) };
}

function addRemote(
  world: VerbsWorld,
  entry: QpEntry,
  request: Record<string, unknown>,
  choices: Choices,
): void {
  const mr = world.objects.pick('mrs', 1 - entry.device, choices);
  const mw = choices.oneIn(6) ? world.objects.pick('mws', 1 - entry.device, choices) : undefined;
  const base = mr?.object.addr ?? 0n;
  const offset = number(choices, 0, 8, 2040, 2047, 2048, 4);
  const isExact = Number.isSafeInteger(offset);
  request['remoteAddr'] = isExact && choices.oneIn(2) ? base + BigInt(offset) : Number(base) + offset;
  if (choices.oneIn(24)) request['remoteAddr'] = bigNumber(choices, base);
  request['rkey'] = number(choices, mw?.object.rkey ?? mr?.object.rkey ?? 1, 0, 1, 0xffffffff);
}

function binding(world: VerbsWorld, { device }: QpEntry, choices: Choices): WindowBinding | undefined {
  const mw = world.objects.pick('mws', device, choices);
  const mr = world.objects.pick('mrs', device, choices);
  if (mw === undefined || mr === undefined) return undefined;
  const rkey = choices.oneIn(6) ? number(choices, 0, 1, mr.object.rkey) : mw.object.nextRkey();
  return {
    mw: mw.object,
    mr: mr.object,
    offset: number(choices, 0, 8, 1024, 2048),
    length: number(choices, 64, 0, 1, 2048, 2049),
    access: number(choices, 2, 4, 8, 6, 14, 1, 16, 32),
    rkey: rkey as never,
  };
}
