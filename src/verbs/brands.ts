/**
 * The numbers that must never be mixed up. A brand costs nothing at run time; the constructors here are the only
 * places that turn a plain number into a branded one after checking its range.
 */
import { usageError } from './errors.js';

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Packet sequence number, 24 bits. */
export type Psn = Branded<'Psn'>;
/** Queue pair number, 24 bits. */
export type Qpn = Branded<'Qpn'>;
/** Local key of a memory region, 32 bits. Opaque: never assume that it equals the rkey. */
export type LKey = Branded<'LKey'>;
/** Remote key of a memory region or memory window, 32 bits. 0 means that nothing remote is granted. */
export type RKey = Branded<'RKey'>;
/** Q_Key that a UD datagram must carry, 32 bits. */
export type QKey = Branded<'QKey'>;

export const PSN_MASK = 0xffffff;
export const QPN_MASK = 0xffffff;

function checked(value: number, max: number, name: string): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw usageError(`${name} must be an integer from 0 to 0x${max.toString(16)}, not ${value}`);
  }
  return value;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `value` is an integer of 24 bits. */
export const toPsn = (value: number): Psn => checked(value, PSN_MASK, 'a PSN') as Psn;
/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `value` is an integer of 24 bits. */
export const toQpn = (value: number): Qpn => checked(value, QPN_MASK, 'a QPN') as Qpn;
/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `value` is an integer of 32 bits. */
export const toRKey = (value: number): RKey => checked(value, 0xffffffff, 'an rkey') as RKey;
/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `value` is an integer of 32 bits. */
export const toQKey = (value: number): QKey => checked(value, 0xffffffff, 'a Q_Key') as QKey;
