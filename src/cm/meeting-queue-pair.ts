/**
 * The queue pair of a meeting: a bare one, or that of an endpoint. It moves as rdma_cm does: INIT before the first message, RTR
 * and RTS when both ends have said what they can, ERR at the end, so that what is posted flushes.
 *
 * Invariants: what is told of depths is what the device can hold; a queue pair that its owner put into INIT keeps the
 * rights that it has there; a queue pair is in one meeting at a time.
 */
import { Endpoint } from '../endpoint/endpoint.js';
import { AccessFlags } from '../verbs/access-flags.js';
import { toInit, toRtr, toRts } from '../verbs/bring-up.js';
import type { CmPath } from '../verbs/connection-manager.js';
import type { Device, DeviceAttributes } from '../verbs/device.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import type { PathMtu } from '../verbs/mtu.js';
import { QpState, QpType, qpStateName, qpTypeName } from '../verbs/qp-state.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import type { CmDepthOptions, CmQueuePair } from './options.js';

const DEFAULT_DEPTH = 16;
const { REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;

/** Those that a meeting has now. */
const inMeeting = new WeakSet<QueuePair>();

export interface CmDepths {
  readonly responderResources: number;
  readonly initiatorDepth: number;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT or ERR_RDMA_INVALID_STATE for one that cannot meet a peer. */
export function queuePairOf(device: Device, given: CmQueuePair, type: QpType = QpType.RC): QueuePair {
  if (given instanceof Endpoint && given.device !== device) {
    throw usageError(`the endpoint is one of ${given.device.name}, and the meeting is of ${device.name}`);
  }
  const qp = given instanceof Endpoint ? given.qp : given;
  if (qp.type !== type) {
    throw usageError(`qp must be of type ${qpTypeName(type)}, not ${qpTypeName(qp.type)}`);
  }
  if (qp.closed) throw closedError('qp');
  return qp;
}

/**
 * @throws RdmaError as `queuePairOf`, ERR_RDMA_INVALID_STATE for one that is up or was, and ERR_RDMA_IN_USE for one that
 * another meeting has.
 */
export function freshQueuePairOf(device: Device, given: CmQueuePair): QueuePair {
  const qp = queuePairOf(device, given);
  if (inMeeting.has(qp)) {
    throw new RdmaError(
      'ERR_RDMA_IN_USE',
      'qp is in another meeting already: take one queue pair for every connection',
    );
  }
  if (qp.state === QpState.RESET || qp.state === QpState.INIT) return qp;
  const message = `qp must be in RESET or INIT, not in ${qpStateName(qp.state)}: take a new one for every connection`;
  throw new RdmaError('ERR_RDMA_INVALID_STATE', message);
}

/** Runs the meeting of a fresh queue pair, which no other meeting gets meanwhile. */
export async function inMeetingOf<T>(qp: QueuePair, meet: () => Promise<T>): Promise<T> {
  inMeeting.add(qp);
  try {
    return await meet();
  } finally {
    inMeeting.delete(qp);
  }
}

/** To INIT, so that receives can be posted. @throws RdmaError of `QueuePair.modify`. */
export async function prepare(qp: QueuePair, { atomics }: DeviceAttributes): Promise<void> {
  if (qp.state === QpState.INIT) return;
  await toInit(qp, REMOTE_READ | REMOTE_WRITE | (atomics ? REMOTE_ATOMIC : 0));
}

/** What a client offers and wants. */
export function clientDepths(given: CmQueuePair, { attributes }: Device, wanted: CmDepthOptions): CmDepths {
  const usual = given instanceof Endpoint ? given.address.rdAtomic : DEFAULT_DEPTH;
  const { responderResources = usual, initiatorDepth = usual } = wanted;
  return {
    responderResources: Math.min(responderResources, attributes.maxQpRdAtom),
    initiatorDepth: Math.min(initiatorDepth, attributes.maxQpInitRdAtom),
  };
}

/** What a server answers: no more READs than the client can hold, and what it asked for where the device can. */
export function serverDepths(
  { attributes }: Device,
  { own, peer }: CmPath,
  wanted: CmDepthOptions,
): CmDepths {
  const { responderResources = own.rdAtomic, initiatorDepth = peer.rdAtomic } = wanted;
  return {
    responderResources: Math.min(responderResources, attributes.maxQpRdAtom),
    initiatorDepth: Math.min(initiatorDepth, peer.rdAtomic, attributes.maxQpInitRdAtom),
  };
}

/** To RTS. */
export async function bringUp(given: CmQueuePair, path: CmPath, depths: CmDepths): Promise<void> {
  const own = {
    ...path.own,
    rdAtomic: Math.min(path.own.rdAtomic, depths.responderResources),
    initiatorDepth: depths.initiatorDepth,
  };
  if (given instanceof Endpoint) return given.connect(path.peer, path.options, own);
  await toRtr(given, own, path.peer, path.options);
  await toRts(given, own, path.peer, path.options);
}

/** To ERR, unless its owner has closed it. What goes wrong here is no news: the connection is over anyway. */
export async function takeDown(qp: QueuePair): Promise<void> {
  if (qp.closed || qp.state === QpState.ERR || qp.state === QpState.RESET) return;
  await qp.modify({ state: QpState.ERR }).catch(() => {});
}

/** The largest packets that this end takes. */
export async function ownMtu(device: Device, given: CmQueuePair): Promise<PathMtu> {
  return given instanceof Endpoint ? given.address.mtu : (await device.queryPort()).activeMtu;
}
