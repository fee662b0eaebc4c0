/**
 * REP: the request is accepted, and here is the queue pair.
 *
 *     24-27  communication ID of the sender       48     responder resources
 *     28-31  communication ID of the receiver     49     initiator depth
 *     36-38  QPN of the sender                    50     target ACK delay (7-3), flow control (0)
 *     44-46  starting PSN: the receiver           51     RNR retry count (7-5), SRQ (4)
 *            begins to send with it               52-59  CA GUID of the sender
 *                                                 60-255 private data
 *
 * Invariant: Q_Key, EE context, failover bits and vendor ID are written 0 and ignored.
 */
import { readU64, writeU64 } from '../../mad/u64.js';
import { readU24, readU32, writeU24, writeU32 } from '../../wire/bytes.js';
import { PRIVATE_DATA, readPrivateData, writePrivateData } from './attributes.js';

export interface Rep {
  readonly type: 'REP';
  readonly transactionId: bigint;
  readonly localCommId: number;
  readonly remoteCommId: number;
  readonly qpn: number;
  readonly startingPsn: number;
  readonly responderResources: number;
  readonly initiatorDepth: number;
  /** A time code. */
  readonly ackDelay: number;
  readonly flowControl: boolean;
  readonly rnrRetryCount: number;
  readonly hasSrq: boolean;
  readonly caGuid: bigint;
  readonly privateData: Uint8Array;
}

export function readRep(mad: Uint8Array, transactionId: bigint): Rep {
  const delayAndFlow = mad[50] as number;
  const retryAndSrq = mad[51] as number;
  return {
    type: 'REP',
    transactionId,
    localCommId: readU32(mad, 24),
    remoteCommId: readU32(mad, 28),
    qpn: readU24(mad, 36),
    startingPsn: readU24(mad, 44),
    responderResources: mad[48] as number,
    initiatorDepth: mad[49] as number,
    ackDelay: delayAndFlow >>> 3,
    flowControl: (delayAndFlow & 1) !== 0,
    rnrRetryCount: retryAndSrq >>> 5,
    hasSrq: ((retryAndSrq >>> 4) & 1) !== 0,
    caGuid: readU64(mad, 52),
    privateData: readPrivateData(mad, PRIVATE_DATA.REP),
  };
}

export function writeRep(mad: Uint8Array, rep: Rep): void {
  writeU32(mad, 24, rep.localCommId);
  writeU32(mad, 28, rep.remoteCommId);
  writeU24(mad, 36, rep.qpn);
  writeU24(mad, 44, rep.startingPsn);
  mad[48] = rep.responderResources;
  mad[49] = rep.initiatorDepth;
  mad[50] = (rep.ackDelay << 3) | (rep.flowControl ? 1 : 0);
  mad[51] = (rep.rnrRetryCount << 5) | (rep.hasSrq ? 0x10 : 0);
  writeU64(mad, 52, rep.caGuid);
  writePrivateData(mad, PRIVATE_DATA.REP, rep.privateData);
}
