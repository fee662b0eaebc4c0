/** Asynchronous events as libibverbs numbers them (`enum ibv_event_type`), as events of this package. */
import type { AsyncEvent } from '../verbs/async-event.js';
import type { VerbsContext } from './verbs-context.js';

const QP_EVENTS = new Map([
  [1, 'QP_FATAL'],
  [2, 'QP_REQ_ERR'],
  [3, 'QP_ACCESS_ERR'],
  [4, 'COMM_EST'],
  [5, 'SQ_DRAINED'],
  [16, 'QP_LAST_WQE_REACHED'],
] as const);
const SRQ_EVENTS = new Map([
  [14, 'SRQ_ERR'],
  [15, 'SRQ_LIMIT_REACHED'],
] as const);
const PORT_EVENTS = new Map([
  [9, 'PORT_ACTIVE'],
  [10, 'PORT_ERR'],
  [18, 'GID_CHANGE'],
] as const);
const CQ_ERR = 0;
const DEVICE_FATAL = 8;

/** `subject` is a handle or the number of a port. `undefined` for kinds that this package has no name for. */
export function asyncEventOf(type: number, subject: number, device: VerbsContext): AsyncEvent | undefined {
  const find = <K extends number, V>(map: ReadonlyMap<K, V>): V | undefined => map.get(type as K);
  if (type === DEVICE_FATAL) return { type: 'DEVICE_FATAL' };
  const portEvent = find(PORT_EVENTS);
  if (portEvent !== undefined) return { type: portEvent, port: subject };
  const qp = device.qpHandles.get(subject);
  const qpEvent = find(QP_EVENTS);
  if (qpEvent !== undefined && qp !== undefined) return { type: qpEvent, qp };
  const srq = device.srqHandles.get(subject);
  const srqEvent = find(SRQ_EVENTS);
  if (srqEvent !== undefined && srq !== undefined) return { type: srqEvent, srq };
  const cq = device.cqs.get(subject);
  return type === CQ_ERR && cq !== undefined ? { type: 'CQ_ERR', cq } : undefined;
}
