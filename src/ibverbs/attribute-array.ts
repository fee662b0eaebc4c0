/**
 * Queue pair attributes as an array of numbers, which is how the addon takes and returns them; the places are those of
 * native/ibverbs/queue_pairs.cc. The mask says which of them count (`enum ibv_qp_attr_mask`).
 */
import { formatGid, UdpAddress } from '../verbs/address.js';
import type { AddressVector } from '../verbs/address-handle.js';
import type { Psn, QKey, Qpn } from '../verbs/brands.js';
import { mtuFromEnum, mtuToEnum } from '../verbs/mtu.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from '../verbs/qp-attributes.js';
import { type QpState, QpType } from '../verbs/qp-state.js';
import { parseDgid } from './gid-table.js';

const Place = {
  STATE: 0,
  CUR_STATE: 1,
  EN_SQD_ASYNC_NOTIFY: 2,
  ACCESS_FLAGS: 3,
  PKEY_INDEX: 4,
  PORT: 5,
  QKEY: 6,
  PATH_MTU: 7,
  TIMEOUT: 8,
  RETRY_COUNT: 9,
  RNR_RETRY: 10,
  RQ_PSN: 11,
  MAX_RD_ATOMIC: 12,
  MIN_RNR_TIMER: 13,
  SQ_PSN: 14,
  MAX_DEST_RD_ATOMIC: 15,
  DEST_QPN: 16,
  GID_WORD: 17,
  SGID_INDEX: 21,
  HOP_LIMIT: 22,
  TRAFFIC_CLASS: 23,
  FLOW_LABEL: 24,
  AV_PORT: 26,
  IS_GLOBAL: 27,
  MAX_SEND_WR: 28,
  MAX_RECV_WR: 29,
  MAX_SEND_SGE: 30,
  MAX_RECV_SGE: 31,
  MAX_INLINE_DATA: 32,
} as const;
const PLACES = 33;

const AV_BIT = 1 << 7;
/** Everything that `query` asks for. */
export const QUERY_MASK = (1 << 21) - 1;

/** Attribute, place and bit of the mask. */
const NUMBERS: readonly (readonly [keyof QpAttributes, number, number])[] = [
  ['state', Place.STATE, 0],
  ['curState', Place.CUR_STATE, 1],
  ['accessFlags', Place.ACCESS_FLAGS, 3],
  ['pkeyIndex', Place.PKEY_INDEX, 4],
  ['port', Place.PORT, 5],
  ['qkey', Place.QKEY, 6],
  ['timeout', Place.TIMEOUT, 9],
  ['retryCount', Place.RETRY_COUNT, 10],
  ['rnrRetry', Place.RNR_RETRY, 11],
  ['rqPsn', Place.RQ_PSN, 12],
  ['maxRdAtomic', Place.MAX_RD_ATOMIC, 13],
  ['minRnrTimer', Place.MIN_RNR_TIMER, 15],
  ['sqPsn', Place.SQ_PSN, 16],
  ['maxDestRdAtomic', Place.MAX_DEST_RD_ATOMIC, 17],
  ['destQpn', Place.DEST_QPN, 20],
];
const EN_SQD_BIT = 1 << 2;
const PATH_MTU_BIT = 1 << 8;

export const newPlaces = (): Float64Array => new Float64Array(PLACES);

/** Fills `places` and returns the mask. `port` and `sgidIndex` belong to the address vector. */
export function writeAttributes(
  places: Float64Array,
  attributes: QpAttributes,
  port: number,
  sgidIndex: number,
): number {
  let mask = 0;
  for (const [name, place, bit] of NUMBERS) {
    const value = attributes[name];
    if (value === undefined) continue;
    places[place] = value as number;
    mask |= 1 << bit;
  }
  if (attributes.enSqdAsyncNotify !== undefined) {
    places[Place.EN_SQD_ASYNC_NOTIFY] = attributes.enSqdAsyncNotify ? 1 : 0;
    mask |= EN_SQD_BIT;
  }
  if (attributes.pathMtu !== undefined) {
    places[Place.PATH_MTU] = mtuToEnum(attributes.pathMtu);
    mask |= PATH_MTU_BIT;
  }
  if (attributes.av !== undefined) {
    writeAddress(places, attributes.av, port, sgidIndex);
    mask |= AV_BIT;
  }
  return mask;
}

export function writeAddress(places: Float64Array, av: AddressVector, port: number, sgidIndex: number): void {
  const { w0, w1, w2, w3 } = parseDgid(av.dgid);
  for (const [i, word] of [w0, w1, w2, w3].entries()) places[Place.GID_WORD + i] = word >>> 0;
  places[Place.SGID_INDEX] = sgidIndex;
  places[Place.HOP_LIMIT] = av.hopLimit ?? 64;
  places[Place.TRAFFIC_CLASS] = av.trafficClass ?? 0;
  places[Place.FLOW_LABEL] = av.flowLabel ?? 0;
  places[Place.AV_PORT] = port;
  places[Place.IS_GLOBAL] = 1;
}

export function writeCapacity(places: Float64Array, capacity: QpCapacity): void {
  places[Place.MAX_SEND_WR] = capacity.maxSendWr;
  places[Place.MAX_RECV_WR] = capacity.maxRecvWr;
  places[Place.MAX_SEND_SGE] = capacity.maxSendSge;
  places[Place.MAX_RECV_SGE] = capacity.maxRecvSge;
  places[Place.MAX_INLINE_DATA] = capacity.maxInlineData;
}

const at = (places: Float64Array, place: number): number => places[place] ?? 0;

export const readCapacity = (places: Float64Array): QpCapacity => ({
  maxSendWr: at(places, Place.MAX_SEND_WR),
  maxRecvWr: at(places, Place.MAX_RECV_WR),
  maxSendSge: at(places, Place.MAX_SEND_SGE),
  maxRecvSge: at(places, Place.MAX_RECV_SGE),
  maxInlineData: at(places, Place.MAX_INLINE_DATA),
});

/** Where `createQp` puts the number of the new queue pair. */
export const readQpn = (places: Float64Array): Qpn => at(places, Place.DEST_QPN) as Qpn;
export const readState = (places: Float64Array): QpState => at(places, Place.STATE) as QpState;

/** What `queryQp` wrote, as far as it means something for this type of queue pair. */
export function readSnapshot(places: Float64Array, type: QpType, capacity: QpCapacity): QpSnapshot {
  const common = {
    state: readState(places),
    capacity,
    pkeyIndex: at(places, Place.PKEY_INDEX),
    port: at(places, Place.PORT),
    sqPsn: at(places, Place.SQ_PSN) as Psn,
  };
  if (type === QpType.UD) return { ...common, qkey: at(places, Place.QKEY) as QKey };
  const mtu = at(places, Place.PATH_MTU);
  return {
    ...common,
    accessFlags: at(places, Place.ACCESS_FLAGS),
    destQpn: at(places, Place.DEST_QPN) as Qpn,
    rqPsn: at(places, Place.RQ_PSN) as Psn,
    ...(mtu >= 1 && mtu <= 5 ? { pathMtu: mtuFromEnum(mtu) } : {}),
    ...(at(places, Place.IS_GLOBAL) !== 0 ? { av: readAddress(places) } : {}),
    ...(type === QpType.RC ? readReliable(places) : {}),
  };
}

const readReliable = (places: Float64Array): QpAttributes => ({
  timeout: at(places, Place.TIMEOUT),
  retryCount: at(places, Place.RETRY_COUNT),
  rnrRetry: at(places, Place.RNR_RETRY),
  maxRdAtomic: at(places, Place.MAX_RD_ATOMIC),
  maxDestRdAtomic: at(places, Place.MAX_DEST_RD_ATOMIC),
  minRnrTimer: at(places, Place.MIN_RNR_TIMER),
});

/** The port of the device that packets leave from. */
export const readAddressPort = (places: Float64Array): number => at(places, Place.AV_PORT);

export function readAddress(places: Float64Array): AddressVector {
  const address = new UdpAddress();
  address.w0 = at(places, Place.GID_WORD) | 0;
  address.w1 = at(places, Place.GID_WORD + 1) | 0;
  address.w2 = at(places, Place.GID_WORD + 2) | 0;
  address.w3 = at(places, Place.GID_WORD + 3) | 0;
  return {
    dgid: formatGid(address),
    sgidIndex: at(places, Place.SGID_INDEX),
    hopLimit: at(places, Place.HOP_LIMIT),
    trafficClass: at(places, Place.TRAFFIC_CLASS),
    flowLabel: at(places, Place.FLOW_LABEL),
  };
}
