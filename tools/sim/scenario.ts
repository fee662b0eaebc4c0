/**
 * What a seed stands for, as plain data: NICs, links and their faults, connections and what their programs do. A
 * scenario without its seed runs the same, which is what lets a failing one be made smaller piece by piece.
 * Times are µs from the start of the simulation, in operations and actions from the start of their epoch.
 */
import { AccessFlags } from '../../src/verbs/access-flags.js';
import type { PathMtu } from '../../src/verbs/mtu.js';

/** From one NIC to another. Probabilities are per packet. */
export interface LinkProfile {
  delayMicros: number;
  jitterMicros: number;
  loss: number;
  duplicate: number;
  /** Held back for up to `reorderMicros`. */
  reorder: number;
  reorderMicros: number;
  /** A few bits flip. */
  corrupt: number;
}

/** The queue in front of a NIC, shared by all who send to it. */
export interface PortProfile {
  bytesPerMicro: number;
  queuePackets: number;
  /** Packets that find more than this many before them are marked; Infinity is written as 0. */
  ecnPackets: number;
}

/** How a NIC's owner drives it: at once, or in turns of an event loop that send a few packets each. */
export interface HostProfile {
  /** 0 = at once. */
  turnMicros: number;
  turnPackets: number;
}

export interface Outage {
  kind: 'partition' | 'clog';
  nic: number;
  fromMicros: number;
  untilMicros: number;
}

export type Side = 0 | 1;

export type OperationKind =
  | 'send'
  | 'sendImm'
  | 'sendInv'
  | 'write'
  | 'writeImm'
  | 'read'
  | 'faa'
  | 'cas'
  | 'bind'
  | 'localInv';

/** Deliberate mistakes, each of which ends the epoch's queue pairs in ERR. */
export const WRONGS = [
  'rkey',
  'range',
  'right',
  'domain',
  'qpRight',
  'misaligned',
  'tooLong',
  'receiveProtection',
  'localProtection',
  'badBind',
  'badInvalidate',
  'noReceive',
  'revokedWindow',
  'foreignWindow',
  'noReads',
] as const;
export type Wrong = (typeof WRONGS)[number];

export interface Operation {
  id: number;
  side: Side;
  kind: OperationKind;
  atMicros: number;
  /** Operations that must have succeeded first; if one did not, this one is skipped. */
  after: number[];
  length: number;
  sges: number;
  inline: boolean;
  fence: boolean;
  solicited: boolean;
  signaled: boolean;
  /** Bytes into the peer's target memory; for atomics the number of the shared word. */
  offset: number;
  /** When the peer posts the receive for it. */
  receiveAtMicros: number;
  /** The `bind` operation whose window this uses or invalidates. */
  window: number | null;
  wrong: Wrong | null;
}

export const INJECTIONS = [
  'tooShort',
  'truncated',
  'badVersion',
  'unknownOpcode',
  'badPad',
  'badLength',
  'badPkey',
  'unknownQpn',
  'wrongService',
  'wrongSource',
  'ghostAck',
  'ghostData',
  'strayData',
  'badSyndrome',
  'unknownDuplicate',
  'cnp',
  'badSequence',
  'badReth',
  'badResponse',
  'badPayload',
] as const;
export type Injection = (typeof INJECTIONS)[number];
/** Forgeries that hit the very PSN expected; the queue pairs do not survive them. */
export const DEADLY: ReadonlySet<Injection> = new Set([
  'badSequence',
  'badReth',
  'badResponse',
  'badPayload',
]);

export type ActionKind = 'sqd' | 'deregisterTarget' | 'deregisterLocal' | 'error' | 'reset' | 'inject';

export interface Action {
  kind: ActionKind;
  side: Side;
  atMicros: number;
  injection: Injection | null;
}

export interface Epoch {
  /** First PSN of each side. */
  psns: [number, number];
  /** µs after side 0 that side 1 goes from RTR to RTS. */
  lateMicros: number;
  accessFlags: number;
  /** This side may have no READ and no atomic unfinished. */
  noReads: Side | null;
  operations: Operation[];
  actions: Action[];
  ending: 'reset' | 'error';
}

export interface Connection {
  nics: [number, number];
  ipv6: boolean;
  mtu: PathMtu;
  timeout: number;
  retryCount: number;
  rnrRetry: number;
  minRnrTimer: number;
  /** READs and atomics that each side keeps unfinished. */
  maxRdAtomic: [number, number];
  /** What each side can hold beyond what the other one may have unfinished. */
  spareRdAtomic: number;
  maxSendWr: number;
  maxRecvWr: number;
  maxSge: number;
  signalAll: boolean;
  srq: boolean;
  /** The completion queues of side 0 hold this many entries and nobody polls them; 0 = enough, and polled. */
  tinyCq: number;
  epochs: Epoch[];
}

export interface Scenario {
  seed: number;
  nics: number;
  /** links[from][to] */
  links: LinkProfile[][];
  ports: PortProfile[];
  hosts: HostProfile[];
  outages: Outage[];
  /** Resumed READs are answered in the way of responders that go on with MIDDLE or LAST. */
  resumeInside: boolean;
  /** Words of shared memory at each NIC that atomics work on. */
  words: number;
  connections: Connection[];
}

export const ALL_RIGHTS =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

const takesReceive = new Set<OperationKind>(['send', 'sendImm', 'sendInv', 'writeImm']);
export const needsReceive = (operation: Operation): boolean => takesReceive.has(operation.kind);

export const isSend = (kind: OperationKind): boolean =>
  kind === 'send' || kind === 'sendImm' || kind === 'sendInv';

/** Something in the epoch kills its queue pairs on purpose. */
export const isDoomed = (connection: Connection, epoch: Epoch): boolean =>
  connection.tinyCq > 0 ||
  epoch.operations.some((operation) => operation.wrong !== null) ||
  epoch.actions.some(
    (action) =>
      action.kind !== 'sqd' &&
      (action.kind !== 'inject' || action.injection === null || DEADLY.has(action.injection)),
  );

/** Loss as it is seen by a connection: packets that vanish either way. */
export function lossOf(scenario: Scenario, connection: Connection): number {
  const [a, b] = connection.nics;
  let worst = 0;
  for (const link of [scenario.links[a]?.[b], scenario.links[b]?.[a]]) {
    if (link !== undefined) worst = Math.max(worst, link.loss + link.corrupt);
  }
  return worst;
}

/** Forged packets of one epoch may arrive in the next one, where a responder takes them for a gap and says so. */
const hasGhosts = (connection: Connection): boolean =>
  connection.epochs.some((epoch) => epoch.actions.some((action) => action.kind === 'inject'));

/** Whether packets may be late, out of order, lost or forged, so that a NAK may not arrive, or come for nothing. */
export function isFaulty(scenario: Scenario, connection: Connection): boolean {
  const [a, b] = connection.nics;
  const disturbed = [scenario.links[a]?.[b], scenario.links[b]?.[a]].some(
    (link) =>
      link !== undefined && link.loss + link.corrupt + link.duplicate + link.reorder + link.jitterMicros > 0,
  );
  const overflows = [a, b].some((nic) => (scenario.ports[nic]?.queuePackets ?? 0) < 2048);
  return disturbed || overflows || scenario.outages.length > 0 || hasGhosts(connection);
}

/** Whether faults alone may use up the retries. */
export function mayTimeOut(scenario: Scenario, connection: Connection): boolean {
  // Packets of the epoch before may arrive in the present one, and the NAK that answers them costs a retry.
  if (connection.retryCount < 7 && connection.epochs.length > 1) return true;
  if (!isFaulty(scenario, connection)) return false;
  return connection.retryCount < 7 || lossOf(scenario, connection) > 0.04 || scenario.outages.length > 0;
}
