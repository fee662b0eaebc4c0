/** What the program beside the NIC does between hostile packets: posts, changes of state, changes of memory, time. */
import type { Region } from '../../../../src/roce/memory/region.js';
import type { BindRequest } from '../../../../src/roce/qp/bind-request.js';
import type { EngineSend, EngineSge } from '../../../../src/roce/qp/posting.js';
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import { toQKey, toQpn, toRKey } from '../../../../src/verbs/brands.js';
import { mayPostRecv, mayPostSend, QpState, QpType } from '../../../../src/verbs/qp-state.js';
import { SendFlags, WrOpcode } from '../../../../src/verbs/work-request.js';
import type { Choices } from '../../choices.js';
import { bringUp, QKEY } from './bring-up.js';
import type { Observer } from './observer.js';
import {
  type KnownQp,
  type KnownRegion,
  type KnownWindow,
  OTHER_DOMAIN,
  PIECE_STRIDE_BYTES,
  PIECES,
  RECEIVE_BUFFERS,
  TARGET_BUFFERS,
  type World,
} from './world.js';

type Piece = Required<EngineSge>;
/** Operations that a queue pair can do, by how often they are posted. */
const SENDS: Readonly<Record<QpType, readonly WrOpcode[]>> = {
  [QpType.RC]: [2, 0, 4, 6, 5, 3, 1, 9, 7, 8, 2, 0],
  [QpType.UC]: [2, 0, 3, 1],
  [QpType.UD]: [2, 3],
};
const { FENCE, SIGNALED, SOLICITED } = SendFlags;

/** What a busy queue pair begins with. */
export function postInitial(world: World, observer: Observer, choices: Choices): void {
  for (const [index, { plan }] of world.qps.entries()) {
    for (let i = 0; i < (plan.receives ?? 0); i++) postReceive(world, observer, index, choices);
    if (plan.srq) postReceive(world, observer, index, choices);
    if (!plan.busy) continue;
    for (let i = 0; i < 4; i++) postSend(world, observer, index, choices);
  }
}

export function postReceive(world: World, observer: Observer, index: number, choices: Choices): void {
  const { qp } = world.qps[index] as KnownQp;
  const { receives } = qp.srq ?? qp;
  if (receives.full || !mayPostRecv(qp.state)) return;
  const wrId = observer.posted(qp.srq === null ? index : -1);
  const sges = pieces(world, world.receiveRegion, RECEIVE_BUFFERS, choices);
  observer.promises.holds(
    wrId,
    sges.reduce((total, { length }) => total + length, 0),
  );
  (qp.srq ?? qp).postRecv({ wrId, sges });
}

/** Mostly the pieces of one buffer; sometimes memory that cannot be right. */
function pieces(world: World, region: Region, buffers: number, choices: Choices): Piece[] {
  const at = choices.below(buffers) * PIECE_STRIDE_BYTES;
  const piece = (mr: Region, offset: number, length: number): Piece => ({ mr, offset, length });
  const [first, second] = PIECES.map(([from, to]) => piece(region, at + from, to - from)) as [Piece, Piece];
  const how = choices.u8();
  if (how < 140) return [first, second];
  if (how < 180) return [second];
  if (how < 210) return [first];
  if (how < 230) return [];
  const local = world.regions[6] as KnownRegion;
  if (how < 236) return [first, piece(local.region, 0, 512)];
  if (how < 242) return [first, piece(region, region.bytes.length - 100, 200)];
  if (how < 248) return [piece((world.regions[OTHER_DOMAIN] as KnownRegion).region, 0, 256)];
  return [piece((world.regions[10] as KnownRegion).region, 0, 256)];
}

export function postSend(world: World, observer: Observer, index: number, choices: Choices): void {
  const { qp } = world.qps[index] as KnownQp;
  const { queue } = qp.requester;
  if (queue.full || !mayPostSend(qp.state)) return;
  const opcode = choices.pick(SENDS[qp.type]);
  const wrId = observer.posted(index);
  const flags = choices.u8();
  const isTarget = opcode >= WrOpcode.RDMA_READ && opcode <= WrOpcode.ATOMIC_FETCH_AND_ADD;
  let what: Pick<EngineSend, 'bind' | 'inlineData' | 'sges'>;
  if (opcode === WrOpcode.BIND_MW) what = { bind: bindRequest(world, index, choices) };
  else if (flags >= 200 && flags < 210 && !isTarget && opcode !== WrOpcode.LOCAL_INV) {
    what = { inlineData: new Uint8Array(flags - 199) };
  } else {
    const [source, buffers] = isTarget
      ? [world.targetRegion, TARGET_BUFFERS]
      : [world.receiveRegion, RECEIVE_BUFFERS];
    what = { sges: pieces(world, source, buffers, choices) };
  }
  qp.postSend({
    wrId,
    opcode,
    flags: SIGNALED | ((flags & 7) === 7 ? FENCE : 0) | ((flags & 8) !== 0 ? SOLICITED : 0),
    imm: flags,
    remoteAddr: flags >= 240 ? Number.MAX_SAFE_INTEGER : 0x10000,
    rkey: toRKey(0x1234),
    invalidateRkey: (world.windows[flags & 1] as KnownWindow).window.rkey,
    compareAdd: 1n,
    swap: 2n,
    ...(qp.type === QpType.UD ? { ah: qp.flow, remoteQpn: toQpn(5), remoteQkey: toQKey(QKEY) } : {}),
    ...what,
  });
}

function bindRequest(world: World, index: number, choices: Choices): BindRequest {
  const { window, owner, from, length } = choices.pick(world.windows);
  const how = choices.u8();
  // Another queue pair than the owner's would make the rules of the window's zone wrong: it tries what must fail.
  const isOwner = owner === index;
  const { REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;
  const hostBytes = world.windowHost.bytes.length;
  return {
    mw: window,
    mr: isOwner && (how < 240 || how >= 244) ? world.windowHost : world.receiveRegion,
    // Posting refuses what is below 0; this is beyond the end.
    offset: how >= 250 ? hostBytes + 1 : from,
    length: how >= 248 && how < 250 ? hostBytes - from + 1 : how >= 244 && how < 250 ? 1e6 : length,
    access: choices.pick([REMOTE_READ | REMOTE_WRITE, REMOTE_READ, REMOTE_WRITE | REMOTE_ATOMIC]),
    rkey: how >= 230 && how < 240 ? toRKey((how & 1) * 5) : world.nic.regions.reserveKey(),
  };
}

/** Brings the queue pair into another state, and back to life where it was dead. */
export function changeState(world: World, observer: Observer, index: number, choices: Choices): void {
  const known = world.qps[index] as KnownQp;
  const { qp, plan } = known;
  const how = choices.below(8);
  if (how === 0 && qp.state === QpState.RTS) qp.modify({ state: QpState.SQD, enSqdAsyncNotify: true });
  else if (how === 1 && qp.state === QpState.SQD) qp.modify({ state: QpState.RTS });
  else if (how === 2 && qp.state === QpState.SQE) qp.modify({ state: QpState.RTS });
  else if (how === 3 && qp.state !== QpState.RESET) qp.modify({ state: QpState.ERR });
  else if (how === 4 && qp.state === QpState.SQD && plan.type === QpType.RC) {
    qp.modify({ state: QpState.SQD, maxDestRdAtomic: choices.below(6), maxRdAtomic: choices.below(6) });
  } else if (how === 5 && qp.state === QpState.RTS && plan.type !== QpType.UD) {
    qp.modify({ accessFlags: choices.below(16) });
  } else if (how >= 6) {
    // What it has completed so far still lies in the queue.
    observer.poll();
    qp.modify({ state: QpState.RESET });
    observer.forget(index);
    known.lastPsn = world.rqPsn - 1;
    bringUp(world, index, choices.pick([QpState.RTS, QpState.RTR]));
  }
  known.everAccess |= qp.accessFlags;
}

/** Deregisters a region or invalidates a window, in the middle of whatever uses it. */
export function changeMemory(world: World, choices: Choices): void {
  const how = choices.below(8);
  if (how < 2) world.kill(2 + choices.below(world.regions.length - 2));
  else {
    const { window, owner } = choices.pick(world.windows);
    (world.qps[owner] as KnownQp).qp.invalidate(window.rkey);
  }
}

const PAUSES_MICROS = [10, 1, 100, 1000, 1100, 5000, 1e6, 1e9];

export function passTime(world: World, choices: Choices): void {
  world.now += choices.pick(PAUSES_MICROS);
  world.nic.handleTimeout(world.now);
}
