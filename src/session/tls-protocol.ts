/** What both ends of every control channel insist on. */
import type { TLSSocket } from 'node:tls';

/** The ALPN name of the session protocol; a new incompatible protocol gets a new number. */
export const ALPN_PROTOCOL = 'queuepair/1';

export const TLS_LIMITS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ALPNProtocols: [ALPN_PROTOCOL],
} as const;

export const speaksOurProtocol = (socket: TLSSocket): boolean => socket.alpnProtocol === ALPN_PROTOCOL;
