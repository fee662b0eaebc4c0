/**
 * A responder asks for a missing packet once: the PSNs of its sequence NAKs only ever move forward, until its queue pair
 * starts over. Looked at where they leave, before the network repeats or reorders them.
 */
import { psnDiff } from '../../../src/roce/psn.js';
import { Syndrome } from '../../../src/roce/wire/aeth.js';
import { bthOpcode, bthPsn } from '../../../src/roce/wire/bth.js';
import { AETH_AT, Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';

export function checkNak(requester: Endpoint, bytes: Uint8Array): void {
  if (bthOpcode(bytes, 0) !== Opcode.RC_ACKNOWLEDGE || bytes[AETH_AT] !== Syndrome.NAK_SEQUENCE) return;
  const psn = bthPsn(bytes, 0);
  const last = requester.lastNakPsn;
  expect(
    last < 0 || psnDiff(psn, last) > 0,
    'naks',
    () => `${requester.name}: the peer asks for PSN ${psn}, after it has asked for ${last}`,
  );
  requester.lastNakPsn = psn;
}
