/** Packets in the middle of a message, which requests and READ answers have alike: a BTH, and a whole MTU of memory in one piece. */
import type { Region } from '../memory/region.js';
import { psnAdd } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
import { BTH_LENGTH, writeBth } from '../wire/bth.js';
import type { QpHost } from './qp-host.js';

/** They have no header but the BTH. */
export const MIDDLE_HEADER_LENGTH = BTH_LENGTH;

/** `count` of them from `psn` on, of what is at `offset` of `region`. None asks for an acknowledgement. */
export function writeMiddlePackets(
  qp: QpHost,
  batch: TransmitBatch,
  opcode: number,
  psn: number,
  region: Region,
  offset: number,
  count: number,
): void {
  const { mtu, flow, destQpn } = qp;
  const { headers } = batch;
  for (let i = 0; i < count; i++) {
    writeBth(headers, batch.begin(), opcode, 0, 0, destQpn, 0, psnAdd(psn, i));
    batch.addSegment(region, offset + i * mtu, mtu);
    batch.commit(flow, MIDDLE_HEADER_LENGTH, mtu);
  }
}
