/**
 * Any message of the communication manager, out of a MAD and into one.
 *
 * Invariants: parsing takes any bytes and never throws: what it gives is a message, or the reason why there is none.
 * Private data is copied, so that the buffer of a packet can be used again. Writing gives a new MAD of 256 bytes.
 */
import {
  MAD_BASE_VERSION,
  MAD_BYTES,
  MadClass,
  MadMethod,
  madAttributeId,
  madBaseVersion,
  madClass,
  madClassVersion,
  madMethod,
  madTransactionId,
  newMad,
} from '../../mad/mad.js';
import { CmDropReason } from '../cm-drop-reason.js';
import { CM_CLASS_VERSION, CmAttribute } from './attributes.js';
import {
  type Drep,
  type Dreq,
  type Mra,
  type Rtu,
  readDrep,
  readDreq,
  readMra,
  readRtu,
  writeDrep,
  writeDreq,
  writeMra,
  writeRtu,
} from './pair-messages.js';
import { type Rej, readRej, writeRej } from './rej.js';
import { type Rep, readRep, writeRep } from './rep.js';
import { type Req, readReq, writeReq } from './req.js';
import { readSidrRep, readSidrReq, type SidrRep, type SidrReq, writeSidrRep, writeSidrReq } from './sidr.js';

export type CmMessage = Req | Mra | Rej | Rep | Rtu | Dreq | Drep | SidrReq | SidrRep;

/** The message in `mad`, or why there is none. */
export function parseCmMessage(mad: Uint8Array): CmMessage | CmDropReason {
  if (mad.length !== MAD_BYTES) return CmDropReason.BAD_LENGTH;
  if (madBaseVersion(mad) !== MAD_BASE_VERSION) return CmDropReason.BAD_VERSION;
  if (madClass(mad) !== MadClass.COMMUNICATION_MANAGEMENT) return CmDropReason.WRONG_CLASS;
  if (madClassVersion(mad) !== CM_CLASS_VERSION) return CmDropReason.BAD_VERSION;
  if (madMethod(mad) !== MadMethod.SEND) return CmDropReason.BAD_METHOD;
  const message = readMessage(mad, madTransactionId(mad));
  if (typeof message === 'number') return message;
  return hasIds(message) ? message : CmDropReason.BAD_ID;
}

function readMessage(mad: Uint8Array, transactionId: bigint): CmMessage | CmDropReason {
  switch (madAttributeId(mad)) {
    case CmAttribute.REQ:
      return readReq(mad, transactionId);
    case CmAttribute.MRA:
      return readMra(mad, transactionId);
    case CmAttribute.REJ:
      return readRej(mad, transactionId);
    case CmAttribute.REP:
      return readRep(mad, transactionId);
    case CmAttribute.RTU:
      return readRtu(mad, transactionId);
    case CmAttribute.DREQ:
      return readDreq(mad, transactionId);
    case CmAttribute.DREP:
      return readDrep(mad, transactionId);
    case CmAttribute.SIDR_REQ:
      return readSidrReq(mad, transactionId);
    case CmAttribute.SIDR_REP:
      return readSidrRep(mad, transactionId);
    case CmAttribute.LAP:
    case CmAttribute.APR:
      return CmDropReason.ALTERNATE_PATH;
    default:
      return CmDropReason.UNKNOWN_ATTRIBUTE;
  }
}

/** Only a REJ may come from somebody without an ID, or be for somebody whose ID is not known. */
function hasIds(message: CmMessage): boolean {
  if (message.type === 'REJ') return true;
  if (message.type === 'SIDR_REQ' || message.type === 'SIDR_REP') return message.requestId !== 0;
  return message.localCommId !== 0 && (message.type === 'REQ' || message.remoteCommId !== 0);
}

/** The message as a MAD of its own. */
export function writeCmMessage(message: CmMessage): Uint8Array {
  const { COMMUNICATION_MANAGEMENT } = MadClass;
  const attribute = CmAttribute[message.type];
  const mad = newMad(
    COMMUNICATION_MANAGEMENT,
    CM_CLASS_VERSION,
    MadMethod.SEND,
    message.transactionId,
    attribute,
  );
  switch (message.type) {
    case 'REQ':
      writeReq(mad, message);
      break;
    case 'MRA':
      writeMra(mad, message);
      break;
    case 'REJ':
      writeRej(mad, message);
      break;
    case 'REP':
      writeRep(mad, message);
      break;
    case 'RTU':
      writeRtu(mad, message);
      break;
    case 'DREQ':
      writeDreq(mad, message);
      break;
    case 'DREP':
      writeDrep(mad, message);
      break;
    case 'SIDR_REQ':
      writeSidrReq(mad, message);
      break;
    case 'SIDR_REP':
      writeSidrRep(mad, message);
      break;
  }
  return mad;
}
