/** What both ends of every control channel insist on. */
import { TLSSocket } from 'node:tls';
import { RdmaError } from '../verbs/errors.js';

/** The ALPN name of the session protocol; a new incompatible protocol gets a new number. */
export const ALPN_PROTOCOL = 'queuepair/1';

export const TLS_LIMITS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ALPNProtocols: [ALPN_PROTOCOL],
} as const;

/** A program's own secure context may allow older versions than ours. */
export const speaksOurProtocol = (socket: TLSSocket): boolean =>
  socket.alpnProtocol === ALPN_PROTOCOL && socket.getProtocol() === TLS_LIMITS.minVersion;

const NO_EXPORTER =
  'this runtime has no tlsSocket.exportKeyingMaterial, which connect and listen need (Deno lacks it): use Node.js or Bun; ' +
  'queuepair/endpoint, queuepair/cm and queuepair/nvme do without';

/** @throws RdmaError ERR_RDMA_NOT_SUPPORTED where sessions cannot be tied to their TLS connection. */
export function requireExporter(): void {
  if (typeof TLSSocket.prototype.exportKeyingMaterial === 'function') return;
  throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', NO_EXPORTER);
}
