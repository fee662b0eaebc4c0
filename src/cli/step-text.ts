/** The steps of a connection's life in words. */
import { type ConnectionStep, StepName } from '../connection/common/steps.js';
import { formatHex24, plural } from './format.js';

export type StepDetails = ConnectionStep['details'];

/** Short names, for a column. */
export const STEP_TITLES: Readonly<Record<StepName, string>> = {
  [StepName.TLS]: 'TLS',
  [StepName.PSN_EXCHANGED]: 'PSN exchange',
  [StepName.OBJECTS_CREATED]: 'objects',
  [StepName.PARAMETERS_EXCHANGED]: 'parameters',
  [StepName.INIT]: 'QP to INIT',
  [StepName.RTR]: 'QP to RTR',
  [StepName.RTS]: 'QP to RTS',
  [StepName.RECEIVES_POSTED]: 'receives',
  [StepName.READY]: 'ready',
  [StepName.SESSION_LEFT]: 'session left',
  [StepName.RECOVERING]: 'recovering',
  [StepName.RECOVERED]: 'recovered',
  [StepName.QUIT]: 'quit',
  [StepName.MEMORY_DEREGISTERED]: 'memory',
  [StepName.QP_DESTROYED]: 'queue pair',
  [StepName.CQS_DESTROYED]: 'queues',
  [StepName.PD_DEALLOCATED]: 'domain',
  [StepName.TLS_CLOSED]: 'TLS closed',
  [StepName.SLOT_FREED]: 'slot',
};

/** The column's width. */
export const STEP_TITLE_CHARS = Math.max(...Object.values(STEP_TITLES).map((title) => title.length));

/** What happened in one step, seen from one side. */
export function describeStep(name: StepName, details: StepDetails): string {
  return SENTENCES[name](details);
}

const SENTENCES: Readonly<Record<StepName, (details: StepDetails) => string>> = {
  [StepName.TLS]: ({ peer, slot }) =>
    `TLS 1.3 with ${peer}${slot === undefined ? '' : `, takes slot ${slot}`}`,
  [StepName.PSN_EXCHANGED]: () => 'each side drew a random PSN and told the other through TLS',
  [StepName.OBJECTS_CREATED]: ({ qpn }) =>
    `protection domain, 2 completion queues, queue pair ${qpnText(qpn)}, buffers registered`,
  [StepName.PARAMETERS_EXCHANGED]: (details) =>
    `peer is QP ${qpnText(details['peerQpn'])} at ${details['peerGid']}, UDP port ${details['peerUdpPort']}`,
  [StepName.INIT]: () => 'port and access rights set',
  [StepName.RTR]: ({ pathMtu, rqPsn }) =>
    `ready to receive, from the peer's PSN on: ${secretPsn(rqPsn)}; path MTU ${pathMtu}`,
  [StepName.RTS]: ({ sqPsn }) => `ready to send, from its own PSN on: ${secretPsn(sqPsn)}`,
  [StepName.RECEIVES_POSTED]: ({ receives }) => `${plural(Number(receives), 'receive')} posted`,
  [StepName.READY]: () => 'both sides are ready',
  [StepName.SESSION_LEFT]: () => 'TLS ended as both sides wanted: the connection goes on without it',
  [StepName.RECOVERING]: ({ code, status }) =>
    `the connection failed (${status === '' ? code : status}): new PSNs, a new queue pair, then on with what was under way`,
  [StepName.RECOVERED]: () => 'up again: nothing was lost',
  [StepName.QUIT]: () => 'the other side says goodbye',
  [StepName.MEMORY_DEREGISTERED]: ({ failed }) => freed('memory regions deregistered, buffers freed', failed),
  [StepName.QP_DESTROYED]: ({ failed }) => freed('queue pair destroyed', failed),
  [StepName.CQS_DESTROYED]: ({ failed }) => freed('both completion queues destroyed', failed),
  [StepName.PD_DEALLOCATED]: ({ failed }) =>
    freed('protection domain deallocated (the device stays open: others share it)', failed),
  [StepName.TLS_CLOSED]: () => 'TLS and its socket closed',
  [StepName.SLOT_FREED]: ({ slot }) => `slot ${slot} is free again`,
};

const freed = (text: string, failed: string | number | undefined): string =>
  failed === undefined ? text : `could not be freed: ${failed}`;

const qpnText = (qpn: string | number | undefined): string => formatHex24(Number(qpn));

/** PSNs are there only when somebody asked to see them. */
const secretPsn = (psn: string | number | undefined): string =>
  typeof psn === 'number' ? formatHex24(psn) : 'set (hidden)';
