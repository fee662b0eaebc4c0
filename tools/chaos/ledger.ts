/**
 * What all ends of all incarnations have told, and what follows from it. A message counts as lost when its sender was
 * told that it had arrived, and its receiver, which lived on, never got it.
 */
import type { Incarnation, Progress } from './protocol.js';

type Side = 'server' | 'client';

interface Ends {
  readonly server?: Progress;
  readonly client?: Progress;
}

export interface Totals {
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly corrupted: number;
  readonly messages: number;
  readonly streams: number;
  readonly recoveries: number;
  readonly incarnations: number;
}

export class Ledger {
  readonly #ends = new Map<string, Ends>();
  #messages = 0;

  /** Messages that were taken so far, at both sides. */
  get messages(): number {
    return this.#messages;
  }

  note(side: Side, progress: Progress): void {
    const key = keyOf(progress.incarnation);
    const ends: Ends = this.#ends.get(key) ?? {};
    this.#messages += progress.received - (ends[side]?.received ?? 0);
    this.#ends.set(key, { ...ends, [side]: progress });
  }

  /** What one client has taken and was acknowledged, over all its incarnations. */
  progressOf(client: number): { readonly received: number; readonly acknowledged: number } {
    let received = 0;
    let acknowledged = 0;
    for (const { client: end } of this.#ends.values()) {
      if (end?.incarnation.client !== client) continue;
      received += end.received;
      acknowledged += end.acknowledged;
    }
    return { received, acknowledged };
  }

  totals(): Totals {
    const sum = {
      lost: 0,
      duplicated: 0,
      reordered: 0,
      corrupted: 0,
      messages: 0,
      streams: 0,
      recoveries: 0,
    };
    for (const ends of this.#ends.values()) {
      for (const end of [ends.server, ends.client]) {
        if (end === undefined) continue;
        sum.lost += end.lost + end.streamsLost;
        sum.duplicated += end.duplicated + end.streamsDuplicated;
        sum.streams += end.streams;
        sum.reordered += end.reordered;
        sum.corrupted += end.corrupted;
        sum.messages += end.received;
        sum.recoveries += end.recoveries;
      }
      sum.lost += lostBetween(ends.client, ends.server) + lostBetween(ends.server, ends.client);
    }
    return { ...sum, incarnations: this.#ends.size };
  }
}

const keyOf = ({ client, number }: Incarnation): string => `${client}/${number}`;

/**
 * What the sender was told has arrived, beyond what the receiver got and what it knows to be missing. A receiver whose
 * process lived on always tells its end; of one that was killed it is unknown what it had taken and not told.
 */
function lostBetween(sender: Progress | undefined, receiver: Progress | undefined): number {
  if (sender === undefined || receiver?.over !== true) return 0;
  return Math.max(0, sender.acknowledged - (receiver.received - receiver.duplicated + receiver.lost));
}
