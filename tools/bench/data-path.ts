/** How soft devices move packets by UDP on this machine: over the native port, which can be polled, or over node:dgram. */
import { loadAddon } from '../../src/native/addon.js';

export interface DataPath {
  readonly kind: 'native' | 'dgram';
  /** Why it is not the native one. */
  readonly reason?: string;
}

export function findDataPath(): DataPath {
  const addon = loadAddon();
  if (typeof addon !== 'string') return { kind: 'native' };
  return { kind: 'dgram', reason: `devices run over node:dgram: ${addon}` };
}
