/**
 * What it means that a session stands and its link is not proven: TCP works, and UDP does not, or no large packets of it.
 * The sentence says what to open or to lower, as the people who read it know ports and not queue pairs; and it names the
 * direction where what has come through tells it.
 */
import { RdmaError, type RdmaErrorOptions } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';
import type { LostPackets } from '../verbs/lost-packets.js';
import type { ControlChannel } from './control-channel.js';
import { PROOF_MESSAGES, type ProofSeen, type SessionAttributes } from './session-data.js';

/** A link that is being proven. */
export interface Proving extends Pick<SessionAttributes, 'own' | 'peer'> {
  seen: ProofSeen;
  /** Messages of this end that the peer says it has; `undefined` as long as it has not said. */
  peerHas: number | undefined;
}

type Channel = Pick<ControlChannel, 'role' | 'remoteAddress' | 'remotePort' | 'end'>;

/** What it means that `error` ended a meeting, which was `proving` its link if it had come that far. */
export function proofError(channel: Channel, proving: Proving | undefined, error: RdmaError): RdmaError {
  const { end } = channel;
  const cause = causeOf(channel, error);
  if (cause.code === 'ERR_RDMA_UNREACHABLE') return cause;
  // The peer has found out first.
  if (end?.told === 'unreachable') return toldUnreachable(channel, proving, cause);
  if (proving === undefined) return cause;
  const { sent, arrived } = proving.seen;
  if (sent === PROOF_MESSAGES && arrived === PROOF_MESSAGES) return cause;
  const isUnanswered = cause.status === 'RETRY_EXC_ERR' || cause.code === 'ERR_RDMA_TIMEOUT';
  return isUnanswered ? unreachable(channel, proving, { cause }) : cause;
}

/** A client whose proof failed says so although the session was lost just then; a server waits for its client, who may be up. */
function causeOf({ role, end }: Channel, error: RdmaError): RdmaError {
  const ended = end?.error;
  const isLost = ended?.code === 'ERR_RDMA_CONNECTION_LOST' || ended?.code === 'ERR_RDMA_TLS';
  const isFound = role === 'client' && isLost && error.status === 'RETRY_EXC_ERR';
  return ended === undefined || isFound ? error : ended;
}

function toldUnreachable(channel: Channel, proving: Proving | undefined, cause: RdmaError): RdmaError {
  const options = { cause, refusal: 'unreachable' } as const;
  if (proving === undefined) return new RdmaError('ERR_RDMA_UNREACHABLE', cause.message, options);
  return unreachable(channel, proving, options);
}

function unreachable(
  { role, remoteAddress, remotePort }: Channel,
  { own, peer, seen: { sent, arrived }, peerHas = 0 }: Proving,
  options: RdmaErrorOptions,
): RdmaError {
  const where = `TCP ${role === 'client' ? 'to' : 'from'} ${hostPort(remoteAddress, remotePort)} works`;
  const other = role === 'client' ? 'server' : 'client';
  const fault = (lost: LostPackets, text: string): RdmaError =>
    new RdmaError('ERR_RDMA_UNREACHABLE', text, { ...options, lost });
  if (sent > 0) {
    const bytes = Math.min(own.mtu, peer.mtu);
    let direction = '';
    let lost: LostPackets = 'large';
    if (sent === PROOF_MESSAGES) [lost, direction] = ['large-from-peer', ` from the ${other}`];
    else if (arrived === PROOF_MESSAGES) [lost, direction] = ['large-to-peer', ` to the ${other}`];
    return fault(
      lost,
      `${where}, and small UDP packets come through, but those that carry ${bytes} bytes do not${direction}: ` +
        'lower path.mtu (--path-mtu) at either end, or let the network carry them',
    );
  }
  const isOne = own.udpPort === peer.udpPort;
  const ports = isOne
    ? `UDP port ${own.udpPort} does`
    : `UDP ports ${own.udpPort} here and ${peer.udpPort} there do`;
  let [lost, direction, way]: [LostPackets, string, string] = ['all', '', 'both directions'];
  if (arrived > 0) [lost, direction, way] = ['all-to-peer', ` to the ${other}`, 'that direction'];
  else if (peerHas > 0) [lost, direction, way] = ['all-from-peer', ` from the ${other}`, 'that direction'];
  return fault(
    lost,
    `${where}, but ${ports} not come through${direction}: open ${isOne ? 'it' : 'them'} in ${way}`,
  );
}
