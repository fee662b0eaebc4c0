/** What tests of the requester have in common: requests of one side, and answers that a test writes by hand. */
import { type BindRequest, Window } from '../../../src/roce/qp/bind-request.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import type { QpAttributes } from '../../../src/verbs/qp-attributes.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { HandPeer } from '../../../testkit/hand-peer.js';

export const MTU = 256;
export const ACK = 0x1f;
export const NAK_SEQ = 0x60;
export const RNR = 0x20;
export const REMOTE_VA = 0x10000;

export const newPeer = (attributes: Partial<QpAttributes> = {}): HandPeer =>
  new HandPeer({ mtu: MTU, attributes });

export function answer(peer: HandPeer, psn: number, syndrome = ACK): string {
  return peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn, aeth: { syndrome } });
}

export function send(peer: HandPeer, wrId: number, length = 8): void {
  peer.side.send(wrId, peer.side.region(length, 0, wrId).region);
}

export function read(peer: HandPeer, wrId: number, length: number, fence = false): Uint8Array {
  const { region } = peer.side.region(length);
  const target = { remoteVa: REMOTE_VA, rkey: 7, fence };
  peer.side.post({ opcode: WrOpcode.RDMA_READ, wrId, ...target }, [region, 0, length]);
  return region.bytes;
}

export function atomic(peer: HandPeer, wrId: number): Uint8Array {
  const { region } = peer.side.region(8);
  const target = { remoteVa: REMOTE_VA, rkey: 7, compareAdd: 1n };
  peer.side.post({ opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, wrId, ...target }, [region, 0, 8]);
  return region.bytes;
}

export function binding(peer: HandPeer): BindRequest {
  const { region } = peer.side.region(16, AccessFlags.LOCAL_WRITE | AccessFlags.MW_BIND);
  const rkey = peer.nic.regions.reserveKey();
  const window = new Window(peer.side.pd, rkey);
  return { mw: window, mr: region, offset: 0, length: 16, access: AccessFlags.REMOTE_READ, rkey };
}

export function data(peer: HandPeer, opcode: number, psn: number, payload: Uint8Array): string {
  const hasAeth = opcode !== Opcode.RC_READ_RESPONSE_MIDDLE;
  return peer.give({ opcode, psn, payload, ...(hasAeth ? { aeth: { syndrome: ACK } } : {}) });
}
