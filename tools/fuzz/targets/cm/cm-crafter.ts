/**
 * Messages for a communication manager: answers to what it sent, requests that it knows and new ones, captured packets;
 * nearly right, with some fields changed. Choices of 0 give the right message.
 */
import { CmSubject } from '../../../../src/roce/cm/wire/attributes.js';
import { CMA_HEADER_BYTES, writeCmaHeader } from '../../../../src/roce/cm/wire/cma-header.js';
import { type CmMessage, writeCmMessage } from '../../../../src/roce/cm/wire/message.js';
import type { Req } from '../../../../src/roce/cm/wire/req.js';
import { hasCmaHeader } from '../../../../src/roce/cm/wire/service-id.js';
import { MAD_BYTES } from '../../../../src/roce/mad/mad.js';
import type { UdpAddress } from '../../../../src/verbs/address.js';
import { CAPTURED_CM_PACKETS, madOf } from '../../../../testkit/cm-packets.js';
import type { Choices } from '../../choices.js';
import { SERVICES } from './cm-world.js';

const MADS = CAPTURED_CM_PACKETS.map(madOf);
/** Few, so that they meet. */
const COMM_IDS = [0x1001, 0x1002, 0x1003, 1, 0xffffffff];
const GUIDS = [0x0200000000000001n, 0n, 0x505400fffe00000bn];
const QPNS = [0x11, 0x12, 0x13, 1, 0xffffff];
const LENGTHS = [0, 1, 24, 255, 257, 260, 276, 1024];
const REASONS = [28, 4, 10, 8, 0, 65_535];

export const capturedMad = (choices: Choices): Uint8Array => (choices.pick(MADS) as Uint8Array).slice();

/** Changes up to three bytes, or the length. */
export function spoil(mad: Uint8Array, choices: Choices): Uint8Array {
  for (let changes = choices.below(4); changes > 0; changes--) mad[choices.u8()] = choices.u8();
  if (!choices.oneIn(8)) return mad;
  const length = choices.pick(LENGTHS);
  const other = new Uint8Array(length);
  other.set(mad.subarray(0, Math.min(length, MAD_BYTES)));
  return other;
}

/** A new request, or one that was made before. */
export function request(from: UdpAddress, own: UdpAddress, choices: Choices): Uint8Array {
  const serviceId = choices.pick(SERVICES);
  const path = {
    localLid: 0xffff,
    remoteLid: 0xffff,
    localGid: from,
    remoteGid: own,
    flowLabel: choices.u8(),
    packetRate: 0,
    trafficClass: 0,
    hopLimit: 64,
    serviceLevel: 0,
    isSubnetLocal: false,
    ackTimeout: 19,
  };
  const privateData = new Uint8Array(CMA_HEADER_BYTES);
  if (hasCmaHeader(serviceId))
    writeCmaHeader(privateData, 0, { sourcePort: 7, source: from, destination: own });
  const localCommId = choices.pick(COMM_IDS);
  if (choices.oneIn(4)) {
    return writeCmMessage({
      type: 'SIDR_REQ',
      transactionId: 5n,
      requestId: localCommId,
      pkey: 0xffff,
      serviceId,
      privateData,
    });
  }
  const req: Req = {
    type: 'REQ',
    transactionId: choices.oneIn(4) ? 6n : 5n,
    localCommId,
    serviceId,
    caGuid: choices.pick(GUIDS),
    qpn: choices.pick(QPNS),
    responderResources: choices.u8(),
    initiatorDepth: choices.u8(),
    remoteResponseTimeout: 20,
    localResponseTimeout: choices.below(32),
    transport: choices.oneIn(8) ? choices.below(4) : 0,
    flowControl: false,
    startingPsn: 9,
    retryCount: 7,
    pkey: 0xffff,
    mtu: choices.oneIn(8) ? choices.below(16) : 3,
    rnrRetryCount: 7,
    maxCmRetries: choices.below(16),
    hasSrq: false,
    extendedTransport: 0,
    primary: path,
    alternate: choices.oneIn(16) ? path : null,
    privateData,
  };
  return writeCmMessage(req);
}

/** What a peer may say to a message that it got. */
export function answerTo(message: CmMessage, choices: Choices): Uint8Array {
  const { transactionId } = message;
  const privateData = new Uint8Array(0);
  if (message.type === 'SIDR_REQ' || message.type === 'SIDR_REP') {
    const { requestId, serviceId } = message;
    const status = choices.below(4);
    return writeCmMessage({
      ...{ type: 'SIDR_REP', transactionId, requestId, serviceId, privateData },
      ...{ status, qpn: choices.pick(QPNS), qkey: 0x01234567 },
    } as CmMessage);
  }
  const isReq = message.type === 'REQ';
  const remoteCommId = message.localCommId;
  const localCommId = isReq || choices.oneIn(8) ? choices.pick(COMM_IDS) : message.remoteCommId;
  const ids = { transactionId, localCommId, remoteCommId, privateData };
  switch (choices.below(6)) {
    case 0:
      return isReq ? rep(ids, choices) : writeCmMessage({ type: 'RTU', ...ids });
    case 1:
      return writeCmMessage({
        type: 'MRA',
        ...ids,
        subject: choices.below(3),
        serviceTimeout: choices.below(32),
      });
    case 2: {
      const info = new Uint8Array(choices.oneIn(2) ? 8 : 0).fill(1, 7).fill(2, 0, 1);
      const subject = choices.pick([CmSubject.REQ, CmSubject.REP, CmSubject.OTHER]);
      const cancel = choices.oneIn(2) ? { remoteCommId: 0 } : {};
      return writeCmMessage({ type: 'REJ', ...ids, ...cancel, subject, reason: choices.pick(REASONS), info });
    }
    case 3:
      return writeCmMessage({ type: 'DREQ', ...ids, qpn: qpnOf(message, choices) });
    case 4:
      return writeCmMessage({ type: 'DREP', ...ids });
    default:
      return isReq ? writeCmMessage({ type: 'RTU', ...ids }) : rep(ids, choices);
  }
}

type Ids = Pick<
  Extract<CmMessage, { type: 'RTU' }>,
  'transactionId' | 'localCommId' | 'remoteCommId' | 'privateData'
>;

const rep = (ids: Ids, choices: Choices): Uint8Array =>
  writeCmMessage({
    type: 'REP',
    ...ids,
    qpn: choices.pick(QPNS),
    startingPsn: 3,
    responderResources: choices.u8(),
    initiatorDepth: choices.u8(),
    ackDelay: choices.below(32),
    flowControl: false,
    rnrRetryCount: 7,
    hasSrq: false,
    caGuid: choices.pick(GUIDS),
  });

/** Of the manager's queue pair, where the message tells it. */
const qpnOf = (message: CmMessage, choices: Choices): number =>
  'qpn' in message && message.type !== 'DREQ' && !choices.oneIn(4) ? message.qpn : 0x100 + choices.below(16);
