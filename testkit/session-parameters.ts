/** Parameters as one end of a session sends them, for tests and the fuzzer. */
import type { SessionParameters } from '../src/session/session-data.js';
import { toQpn, toRKey } from '../src/verbs/brands.js';

/** `ip`: IPv4, where the device is. */
export const sessionParameters = (ip: string): SessionParameters => ({
  path: {
    qpn: toQpn(0x84),
    gid: `::ffff:${ip}`,
    lid: 0,
    udpPort: 4791,
    mtu: 1024,
    rdAtomic: 16,
  },
  terms: {
    receive: { slots: 64, slotBytes: 65_536 },
    messages: { maxBytes: 16 * 1024 * 1024, windowBytes: 1024 * 1024 },
    streams: { open: 0, windowBytes: 65_536 },
    buffer: { addr: 0x7f00deadbeefn, rkey: toRKey(0xfffffffe), length: 1_048_576 },
    received: 0,
    device: `soft:${ip}`,
  },
});
