/**
 * The immediate data of rsocket messages: the kind in bits 31-29, a value in the others.
 *
 *     0  DATA     bytes that were written at the next place of the ring
 *     4  SGL      the limit: how many messages the receiver may have sent, modulo 2^16. With an entry of the table, or alone
 *     6  IOMAP    the index of the iomap entry that was written
 *     7  CONTROL  0 = disconnect, 1 = keepalive, 2 = no more data
 *
 * Kinds 1, 2, 3 and 5 are reserved.
 */

export const ImmediateKind = { DATA: 0, SGL: 4, IOMAP: 6, CONTROL: 7 } as const;
export type ImmediateKind = (typeof ImmediateKind)[keyof typeof ImmediateKind];

export const RsocketControl = { DISCONNECT: 0, KEEPALIVE: 1, SHUTDOWN: 2 } as const;
export type RsocketControl = (typeof RsocketControl)[keyof typeof RsocketControl];

const VALUE_MASK = 0x1fffffff;

export const immediateKind = (imm: number): number => imm >>> 29;
export const immediateValue = (imm: number): number => imm & VALUE_MASK;

/** Limits and indices, which are the low half of a value. */
export const immediateShort = (imm: number): number => imm & 0xffff;

export const writeImmediate = (kind: ImmediateKind, value: number): number => ((kind << 29) | value) >>> 0;
