/**
 * What it means that a session stands and its link is not proven: TCP works, and UDP does not, or no large packets of it.
 * The sentence says what to open or to lower, as the people who read it know ports and not queue pairs.
 */
import { RdmaError, type RdmaErrorOptions } from '../verbs/errors.js';
import type { ControlChannel } from './control-channel.js';
import type { SessionAttributes } from './session-data.js';

/** A link that is being proven. */
export interface Proving extends Pick<SessionAttributes, 'own' | 'peer'> {
  /** Small packets have come through. */
  hasSmall: boolean;
}

type Channel = Pick<ControlChannel, 'role' | 'remoteAddress' | 'remotePort' | 'end'>;

/** What it means that `error` ended the proof. */
export function proofError(channel: Channel, proving: Proving, error: RdmaError): RdmaError {
  const { end } = channel;
  const cause = end?.error ?? error;
  if (cause.code === 'ERR_RDMA_UNREACHABLE') return cause;
  // The peer has found out first.
  if (end?.told === 'unreachable') return unreachable(channel, proving, { cause, refusal: end.told });
  const isUnanswered = cause.status === 'RETRY_EXC_ERR' || cause.code === 'ERR_RDMA_TIMEOUT';
  return isUnanswered ? unreachable(channel, proving, { cause }) : cause;
}

export function unreachable(
  { role, remoteAddress, remotePort }: Channel,
  { own, peer, hasSmall }: Proving,
  options: RdmaErrorOptions = {},
): RdmaError {
  const where = `TCP ${role === 'client' ? 'to' : 'from'} ${remoteAddress}:${remotePort} works`;
  const fault = (text: string): RdmaError => new RdmaError('ERR_RDMA_UNREACHABLE', text, options);
  if (hasSmall) {
    const bytes = Math.min(own.mtu, peer.mtu);
    return fault(
      `${where}, and small UDP packets come through, but those that carry ${bytes} bytes do not: ` +
        'lower path.mtu (--path-mtu) at either end, or let the network carry them',
    );
  }
  const udp =
    own.udpPort === peer.udpPort
      ? `UDP port ${own.udpPort} does not come through: open it in both directions`
      : `UDP ports ${own.udpPort} here and ${peer.udpPort} there do not come through: open them in both directions`;
  return fault(`${where}, but ${udp}`);
}
