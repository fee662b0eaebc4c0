/**
 * The marks that a long run must hit: everything that an RC queue pair can do and that can happen to one. What is left
 * out, and why: BAD_QKEY belongs to UD; txPackets and txBytes are counted by ports; LOC_LEN_ERR as a sender and
 * LOC_EEC, LOC_ACCESS, FATAL and GENERAL are statuses that no request of a well-formed program can end in here.
 */
import { Counters } from '../../src/roce/counters.js';
import { Syndrome } from '../../src/roce/wire/aeth.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WcStatus } from '../../src/verbs/work-completion.js';

/** Below this number of seeds, a mark may be missing by chance and nothing is concluded from it. */
export const SEEDS_FOR_MARKS = 500;

const NOT_RC = new Set(['txPackets', 'txBytes', 'drop_bad_qkey']);

const opcodes = Object.keys(Opcode).filter((name) => name.startsWith('RC_') || name === 'CNP');
const counters = Object.keys(new Counters().snapshot()).filter((name) => !NOT_RC.has(name));

const statuses = [
  WcStatus.SUCCESS,
  WcStatus.LOC_LEN_ERR,
  WcStatus.LOC_QP_OP_ERR,
  WcStatus.LOC_PROT_ERR,
  WcStatus.WR_FLUSH_ERR,
  WcStatus.MW_BIND_ERR,
  WcStatus.BAD_RESP_ERR,
  WcStatus.REM_INV_REQ_ERR,
  WcStatus.REM_ACCESS_ERR,
  WcStatus.REM_OP_ERR,
  WcStatus.RETRY_EXC_ERR,
  WcStatus.RNR_RETRY_EXC_ERR,
];

const states = [QpState.RESET, QpState.INIT, QpState.RTR, QpState.RTS, QpState.SQD, QpState.ERR];

const events = [
  'QP_FATAL',
  'QP_REQ_ERR',
  'QP_ACCESS_ERR',
  'SQ_DRAINED',
  'QP_LAST_WQE_REACHED',
  'CQ_ERR',
  'SRQ_LIMIT_REACHED',
];

const faults = ['lost', 'duplicated', 'reordered', 'corrupted', 'marked', 'tailDropped', 'partitioned'];

export const WANTED: readonly string[] = [
  ...opcodes,
  ...Object.values(Syndrome).map((syndrome) => `syndrome ${syndrome}`),
  ...counters.map((name) => `count ${name}`),
  ...statuses.map((status) => `status ${status}`),
  ...states.map((state) => `state ${state}`),
  ...events.map((event) => `event ${event}`),
  ...faults.map((fault) => `network ${fault}`),
  'solicited',
  'fired',
  'fired for solicited',
  'limits changed',
  'PSN wrap',
  'resumed with RC_READ_RESPONSE_MIDDLE',
  'resumed with RC_READ_RESPONSE_LAST',
];
