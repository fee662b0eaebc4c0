/** Faults of one room, which mostly have the same judges. */
import type { Fault, Judge, Room } from './fault.js';

export type Entry = Omit<Fault, 'room' | 'judges'> & { readonly judges?: readonly Judge[] };

export const faultsOf = (room: Room, judges: readonly Judge[], entries: readonly Entry[]): readonly Fault[] =>
  entries.map((entry) => ({ judges, ...entry, room }));
