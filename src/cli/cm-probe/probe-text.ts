/** What `cm-probe` tells people. */
import type { ProbeAnswer } from './probe.js';

export function describeAnswer(host: string, port: number, answer: ProbeAnswer): string {
  const where = `port ${port} of rdma_cm at ${host}`;
  const { outcome, roundTripMicros = 0, reason, qpn = 0, mtu, responderResources, initiatorDepth } = answer;
  const after = `after ${(roundTripMicros / 1000).toFixed(2)} ms`;
  switch (outcome) {
    case 'accepts':
      return (
        `${where} takes connections: answered ${after}, queue pair 0x${qpn.toString(16).padStart(6, '0')}, ` +
        `MTU ${mtu}, ${responderResources} READs held, ${initiatorDepth} wanted`
      );
    case 'refuses':
      return `${where} refuses: ${reason}, ${after}`;
    case 'nobody':
      return `nobody listens on ${where}; the host answered ${after}`;
    default:
      return `${where} does not answer: no RDMA device has that address, or a firewall blocks UDP port 4791`;
  }
}

const LEAST_PRINTABLE = 0x20;
const LAST_PRINTABLE = 0x7e;

/** Without the zeros that every device fills it up with. */
export function describePrivateData(bytes: Uint8Array): string {
  const length = bytes.findLastIndex((byte) => byte !== 0) + 1;
  if (length === 0) return 'none';
  const used = Buffer.from(bytes.subarray(0, length));
  const isText = used.every((byte) => byte >= LEAST_PRINTABLE && byte <= LAST_PRINTABLE);
  return isText ? `"${used.toString('latin1')}" (${length} bytes)` : `0x${used.toString('hex')}`;
}
