/** What tests of the responder have in common: requests that a test writes by hand, and memory for them. */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import type { PairOptions } from '../../../testkit/nic-pair.js';

export const MTU = 256;
export const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

export interface Target {
  readonly bytes: Uint8Array;
  readonly va: number;
  readonly rkey: number;
}

export const newPeer = (options: PairOptions = {}): HandPeer => new HandPeer({ mtu: MTU, ...options });

export function target(peer: HandPeer, length: number, access = ALL, fill?: number): Target {
  const { region, grant } = peer.side.region(length, access, fill);
  return { bytes: region.bytes, va: region.va, rkey: grant.rkey };
}

export const sendOnly = (peer: HandPeer, psn: number, ackReq = true): string =>
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq, payloadLength: 4 });

export const write = (peer: HandPeer, psn: number, at: Target, length: number, fill = 1): string =>
  peer.give({
    opcode: Opcode.RC_WRITE_ONLY,
    psn,
    ackReq: true,
    payload: pattern(length, fill),
    reth: { va: at.va, rkey: at.rkey, length },
  });

export const read = (peer: HandPeer, psn: number, at: Target, length: number, offset = 0): string =>
  peer.give({
    opcode: Opcode.RC_READ_REQUEST,
    psn,
    ackReq: true,
    reth: { va: at.va + offset, rkey: at.rkey, length },
  });

export const fetchAdd = (peer: HandPeer, psn: number, at: Target, swapAdd: number, offset = 0): string =>
  peer.give({
    opcode: Opcode.RC_FETCH_ADD,
    psn,
    ackReq: true,
    atomic: { va: at.va + offset, rkey: at.rkey, swapAdd },
  });

export function postReceives(peer: HandPeer, count: number): void {
  for (let id = 0; id < count; id++) peer.side.postRecv(id, peer.side.region(2 * MTU).region);
}
