/**
 * The marks that a long run of connections must hit: every fault, those that end a session or a link at each step of
 * bringing a connection up, every cause of a recovery, and every way in which something that a program asked for ends.
 */

/** Below this number of seeds, a mark may be missing by chance and nothing is concluded from it. */
export const SEEDS_FOR_MARKS = 5000;

const SIDES = ['client', 'server'];
const FAULTS = 'dark loss stall blackout reset queuePair halt verb restart ghost closeServer'.split(' ');
/** What can happen at any step; the others are rarer. */
const ANY_TIME = ['dark', 'stall', 'reset', 'queuePair'];
const STEPS = 'psn-exchanged objects-created parameters-exchanged receives-posted ready recovered'.split(' ');
const CAUSES = [
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_COMPLETION QP_ACCESS_ERR',
  'ERR_RDMA_COMPLETION QP_FATAL',
  'ERR_RDMA_COMPLETION REM_ACCESS_ERR',
  'ERR_RDMA_COMPLETION RETRY_EXC_ERR',
  'ERR_RDMA_COMPLETION WR_FLUSH_ERR',
];
const ENDS = 'ABORTED COMPLETION CONNECTION_LOST NO_MEMORY REFUSED TIMEOUT'.split(' ');

const STREAMS = [
  'opened',
  'accepted',
  'read to its end',
  'read at the end of its connection',
  'reset',
  'reset by the peer',
  'ERR_RDMA_LIMIT',
  'all numbers are used up',
  'written from registered memory',
];
const WRAPS = [
  'PSN',
  'fragments',
  'cost of messages',
  'bytes of a stream',
  'key of a direction',
  'requests for sealed memory',
];

const bySide = (texts: readonly string[]): string[] =>
  SIDES.flatMap((side) => texts.map((text) => `${side} ${text}`));
const of = (what: string, outcomes: string): string[] =>
  outcomes.split(' ').map((one) => `${what}: ${one.startsWith('REM') ? one : `ERR_RDMA_${one}`}`);

export const WANTED: readonly string[] = [
  ...FAULTS.map((kind) => `fault ${kind}`),
  ...ANY_TIME.flatMap((kind) => bySide(STEPS).map((step) => `${kind} at ${step}`)),
  ...bySide(CAUSES.map((cause) => `recovering from ${cause}`)),
  ...['ERR', 'RTS'].map((state) => `recovering with the queue pair in ${state}`),
  ...bySide(['recovered', 'closed: in order', ...ENDS.map((code) => `closed: ERR_RDMA_${code}`)]),
  ...['send', 'write', 'read', 'grant'].map((what) => `${what}: done`),
  ...of('send', 'ABORTED CLOSED CONNECTION_LOST OUTCOME_UNKNOWN QUEUE_FULL REFUSED TIMEOUT'),
  ...of('send given up', 'ABORTED OUTCOME_UNKNOWN TIMEOUT'),
  ...of('write given up', 'ABORTED OUTCOME_UNKNOWN TIMEOUT'),
  ...of('read given up', 'ABORTED TIMEOUT'),
  ...of('receive', 'ABORTED TIMEOUT'),
  'connect: given up',
  ...of('write', 'ABORTED CLOSED OUTCOME_UNKNOWN QUEUE_FULL REM_ACCESS_ERR TIMEOUT'),
  ...of('read', 'ABORTED CLOSED OUTCOME_UNKNOWN QUEUE_FULL REM_ACCESS_ERR TIMEOUT'),
  ...of('grant', 'CLOSED CONNECTION_LOST'),
  ...of('connect', 'CONNECTION_LOST REFUSED TIMEOUT NO_MEMORY UNREACHABLE'),
  ...of('stream write', 'ABORTED CLOSED CONNECTION_LOST REFUSED TIMEOUT'),
  ...of('stream end', 'ABORTED CLOSED CONNECTION_LOST REFUSED TIMEOUT'),
  ...['both', 'toClient', 'toServer'].map((direction) => `blocked: ${direction}`),
  'ghost: taken up',
  'ghost: told to go',
  'client was forgotten',
  'client was up first and came back',
  ...SIDES.map((side) => `${side} step session-left`),
  ...bySide(['noticed a program that stands still', 'was told of an abort over the link']),
  ...['dark', 'stall', 'reset', 'queuePair', 'restart', 'blackout'].flatMap((kind) =>
    SIDES.map((side) => `${kind} at ${side} session-left`),
  ),
  ...bySide(['had more than one session in a recovery']),
  ...STREAMS.map((what) => `stream: ${what}`),
  ...['write', 'end'].map((what) => `stream ${what}: done`),
  'neighbours of a stream that stands still went on',
  'all streams came to their end',
  ...WRAPS.map((what) => `wrap: ${what}`),
  ...['fromClient', 'toClient'].map((direction) => `rates: ${direction} had to wait`),
  'revoked: revoked',
  'revoked: the connection failed',
];
