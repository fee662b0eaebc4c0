/** For devices whose packets must be on the wire: where somebody injects, looks at or measures them there. */
import { loadAddon } from '../src/native/addon.js';

/** The `io` of such a device: UDP by the addon where it is there, and never memory. */
export const UDP_ONLY: 'native' | 'dgram' = typeof loadAddon() === 'string' ? 'dgram' : 'native';
