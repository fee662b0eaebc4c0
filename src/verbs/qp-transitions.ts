/**
 * The queue pair transition table (`ib_modify_qp_is_ok`): for every legal change of state, the attributes that must
 * be given and those that may be. A device checks a `modify` call here, so that every device refuses the same calls
 * with the same words, and the message names the attribute that is missing or out of place.
 */
import { RdmaError, usageError } from './errors.js';
import { checkPeer } from './peer-address.js';
import type { QpAttributes } from './qp-attributes.js';
import { QpState, QpType, qpStateName, qpTypeName } from './qp-state.js';

type AttributeName = Exclude<keyof QpAttributes, 'state'>;

interface Transition {
  readonly required: readonly AttributeName[];
  readonly optional: readonly AttributeName[];
}

const { RESET, INIT, RTR, RTS, SQD, SQE, ERR } = QpState;
const NONE: Transition = { required: [], optional: [] };
const key = (from: QpState, to: QpState): number => from * 8 + to;

const RC_TABLE = new Map<number, Transition>([
  [key(RESET, INIT), { required: ['pkeyIndex', 'port', 'accessFlags'], optional: [] }],
  [key(INIT, INIT), { required: [], optional: ['pkeyIndex', 'port', 'accessFlags'] }],
  [
    key(INIT, RTR),
    {
      required: ['av', 'pathMtu', 'destQpn', 'rqPsn', 'maxDestRdAtomic', 'minRnrTimer'],
      optional: ['accessFlags', 'pkeyIndex'],
    },
  ],
  [
    key(RTR, RTS),
    {
      required: ['timeout', 'retryCount', 'rnrRetry', 'sqPsn', 'maxRdAtomic'],
      optional: ['curState', 'accessFlags', 'minRnrTimer'],
    },
  ],
  [key(RTS, RTS), { required: [], optional: ['curState', 'accessFlags', 'minRnrTimer'] }],
  [key(RTS, SQD), { required: [], optional: ['enSqdAsyncNotify'] }],
  [
    key(SQD, SQD),
    {
      required: [],
      optional: [
        'port',
        'av',
        'timeout',
        'retryCount',
        'rnrRetry',
        'maxRdAtomic',
        'maxDestRdAtomic',
        'accessFlags',
        'pkeyIndex',
        'minRnrTimer',
      ],
    },
  ],
  [key(SQD, RTS), { required: [], optional: ['curState', 'accessFlags', 'minRnrTimer'] }],
]);

const UC_TABLE = new Map<number, Transition>([
  [key(RESET, INIT), { required: ['pkeyIndex', 'port', 'accessFlags'], optional: [] }],
  [key(INIT, INIT), { required: [], optional: ['pkeyIndex', 'port', 'accessFlags'] }],
  [
    key(INIT, RTR),
    { required: ['av', 'pathMtu', 'destQpn', 'rqPsn'], optional: ['accessFlags', 'pkeyIndex'] },
  ],
  [key(RTR, RTS), { required: ['sqPsn'], optional: ['curState', 'accessFlags'] }],
  [key(RTS, RTS), { required: [], optional: ['curState', 'accessFlags'] }],
  [key(RTS, SQD), { required: [], optional: ['enSqdAsyncNotify'] }],
  [key(SQD, SQD), { required: [], optional: ['av', 'accessFlags', 'pkeyIndex'] }],
  [key(SQD, RTS), { required: [], optional: ['curState', 'accessFlags'] }],
  [key(SQE, RTS), { required: [], optional: ['curState', 'accessFlags'] }],
]);

const UD_TABLE = new Map<number, Transition>([
  [key(RESET, INIT), { required: ['pkeyIndex', 'port', 'qkey'], optional: [] }],
  [key(INIT, INIT), { required: [], optional: ['pkeyIndex', 'port', 'qkey'] }],
  [key(INIT, RTR), { required: [], optional: ['pkeyIndex', 'qkey'] }],
  [key(RTR, RTS), { required: ['sqPsn'], optional: ['curState', 'qkey'] }],
  [key(RTS, RTS), { required: [], optional: ['curState', 'qkey'] }],
  [key(RTS, SQD), { required: [], optional: ['enSqdAsyncNotify'] }],
  [key(SQD, SQD), { required: [], optional: ['pkeyIndex', 'qkey'] }],
  [key(SQD, RTS), { required: [], optional: ['curState', 'qkey'] }],
  [key(SQE, RTS), { required: [], optional: ['curState', 'qkey'] }],
]);

const TABLES = new Map<QpType, ReadonlyMap<number, Transition>>([
  [QpType.RC, RC_TABLE],
  [QpType.UC, UC_TABLE],
  [QpType.UD, UD_TABLE],
]);

function findTransition(type: QpType, from: QpState, to: QpState): Transition | undefined {
  if (to === RESET) return NONE;
  if (to === ERR) return from === RESET ? undefined : NONE;
  return TABLES.get(type)?.get(key(from, to));
}

/**
 * Checks a `modify` call of a queue pair that is in state `from`, and returns the state to go to.
 *
 * @throws RdmaError ERR_RDMA_INVALID_STATE for a transition that does not exist or a wrong `curState`,
 * ERR_RDMA_INVALID_ARGUMENT for an attribute that is missing or not allowed, and for a peer that cannot be; the message names it.
 */
export function checkTransition(type: QpType, from: QpState, attributes: QpAttributes): QpState {
  const to = attributes.state ?? from;
  const step = `${qpTypeName(type)} ${qpStateName(from)} → ${qpStateName(to)}`;
  if (attributes.curState !== undefined && attributes.curState !== from) {
    const believed = qpStateName(attributes.curState);
    throw new RdmaError(
      'ERR_RDMA_INVALID_STATE',
      `curState is ${believed}, but the queue pair is in ${qpStateName(from)}`,
    );
  }
  const transition = findTransition(type, from, to);
  if (transition === undefined) {
    throw new RdmaError('ERR_RDMA_INVALID_STATE', `${step} is not a legal queue pair transition`);
  }
  for (const name of transition.required) {
    if (attributes[name] === undefined) throw usageError(`${step} needs the attribute ${name}`);
  }
  for (const name of Object.keys(attributes) as (keyof QpAttributes)[]) {
    if (name === 'state' || attributes[name] === undefined) continue;
    if (!transition.required.includes(name) && !transition.optional.includes(name)) {
      throw usageError(`${step} does not take the attribute ${name}`);
    }
  }
  checkPeer(type, attributes);
  return to;
}
