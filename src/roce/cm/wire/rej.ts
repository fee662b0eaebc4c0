/**
 * REJ: no connection, and why.
 *
 *     24-27  communication ID of the sender, 0 where it keeps none for the request
 *     28-31  communication ID of the receiver; 0 in a cancel before any REP
 *     32     rejected message (7-6)
 *     33     length of the information (7-1)
 *     34-35  reason
 *     36-107 information
 *     108-255 private data
 *
 * Invariant: the length of the information is at most 72, whatever a peer writes.
 */
import { readU16, readU32, writeU16, writeU32 } from '../../wire/bytes.js';
import { PRIVATE_DATA, readPrivateData, writePrivateData } from './attributes.js';

const INFO_AT = 36;
export const MAX_REJECT_INFO_BYTES = 72;

export interface Rej {
  readonly type: 'REJ';
  readonly transactionId: bigint;
  readonly localCommId: number;
  readonly remoteCommId: number;
  /** A `CmSubject`. */
  readonly subject: number;
  readonly reason: number;
  readonly info: Uint8Array;
  readonly privateData: Uint8Array;
}

export function readRej(mad: Uint8Array, transactionId: bigint): Rej {
  const infoBytes = Math.min((mad[33] as number) >>> 1, MAX_REJECT_INFO_BYTES);
  return {
    type: 'REJ',
    transactionId,
    localCommId: readU32(mad, 24),
    remoteCommId: readU32(mad, 28),
    subject: (mad[32] as number) >>> 6,
    reason: readU16(mad, 34),
    info: mad.slice(INFO_AT, INFO_AT + infoBytes),
    privateData: readPrivateData(mad, PRIVATE_DATA.REJ),
  };
}

export function writeRej(mad: Uint8Array, rej: Rej): void {
  writeU32(mad, 24, rej.localCommId);
  writeU32(mad, 28, rej.remoteCommId);
  mad[32] = rej.subject << 6;
  mad[33] = rej.info.length << 1;
  writeU16(mad, 34, rej.reason);
  mad.set(rej.info, INFO_AT);
  writePrivateData(mad, PRIVATE_DATA.REJ, rej.privateData);
}
