/** The messages of the communication manager: their attribute IDs, and where their private data lies in the MAD. */

export const CmAttribute = {
  REQ: 0x0010,
  MRA: 0x0011,
  REJ: 0x0012,
  REP: 0x0013,
  RTU: 0x0014,
  DREQ: 0x0015,
  DREP: 0x0016,
  SIDR_REQ: 0x0017,
  SIDR_REP: 0x0018,
  /** Load alternate path, and its answer: known and never served. */
  LAP: 0x0019,
  APR: 0x001a,
} as const;
export type CmAttribute = (typeof CmAttribute)[keyof typeof CmAttribute];

/** The version of the management class that all of this is. */
export const CM_CLASS_VERSION = 2;

const NAMES = new Map<number, string>(Object.entries(CmAttribute).map(([name, id]) => [id, name]));
/** `SIDR_REQ`. */
export const cmAttributeName = (attribute: number): string =>
  NAMES.get(attribute) ?? `attribute 0x${attribute.toString(16)}`;

/** A message that an MRA or REJ speaks of. */
export const CmSubject = { REQ: 0, REP: 1, OTHER: 2 } as const;

export interface PrivateDataPlace {
  readonly at: number;
  readonly bytes: number;
}

/** Private data always fills its place: how much of it was meant is not on the wire. */
export const PRIVATE_DATA = {
  REQ: { at: 164, bytes: 92 },
  MRA: { at: 34, bytes: 222 },
  REJ: { at: 108, bytes: 148 },
  REP: { at: 60, bytes: 196 },
  RTU: { at: 32, bytes: 224 },
  DREQ: { at: 36, bytes: 220 },
  DREP: { at: 32, bytes: 224 },
  SIDR_REQ: { at: 40, bytes: 216 },
  SIDR_REP: { at: 120, bytes: 136 },
} as const satisfies Record<string, PrivateDataPlace>;

/** A copy, whole. */
export const readPrivateData = (mad: Uint8Array, { at, bytes }: PrivateDataPlace): Uint8Array =>
  mad.slice(at, at + bytes);

/** Writes into a MAD that is zero there; the caller has checked that it fits. */
export function writePrivateData(mad: Uint8Array, { at, bytes }: PrivateDataPlace, data: Uint8Array): void {
  mad.set(data.length > bytes ? data.subarray(0, bytes) : data, at);
}
