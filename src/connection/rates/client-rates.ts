/** How much one identity may send and be sent, as programs say it. */
import { MOST_BURST } from '../../session/token-bucket.js';

/** So much a second over all connections of an identity; what is left out is not bounded. */
export interface TrafficRate {
  /** Bytes of messages and streams, with 24 for each fragment. */
  readonly bytesPerSecond?: number;
  /** Messages, and fragments of streams. */
  readonly messagesPerSecond?: number;
  /** Bytes that may go at once after a while of silence. Default: those of a second, 1 GiB at most. */
  readonly burstBytes?: number;
  /** Messages that may go at once after a while of silence. Default: those of a second. */
  readonly burstMessages?: number;
}

export interface ClientRates {
  /** What the identity may send. */
  readonly fromClient?: TrafficRate;
  /** What the identity may be sent. */
  readonly toClient?: TrafficRate;
}

/** With its defaults, as plain data. */
export interface FullRate {
  readonly bytesPerSecond: number | null;
  readonly messagesPerSecond: number | null;
  readonly burstBytes: number;
  readonly burstMessages: number;
}

/** `null` for a rate that bounds nothing. */
export function fullRate(rate: TrafficRate = {}): FullRate | null {
  const { bytesPerSecond = null, messagesPerSecond = null } = rate;
  if (bytesPerSecond === null && messagesPerSecond === null) return null;
  const { burstBytes = bytesPerSecond ?? 0, burstMessages = messagesPerSecond ?? 0 } = rate;
  return {
    bytesPerSecond,
    messagesPerSecond,
    burstBytes: Math.min(MOST_BURST, burstBytes),
    burstMessages: Math.min(MOST_BURST, burstMessages),
  };
}

/** Receives that a client may be told of, where it may send so much at once. */
export function receivesWithin(rate: FullRate | null, slotBytes: number, mostSlots: number): number {
  if (rate === null) return mostSlots;
  const { bytesPerSecond, messagesPerSecond, burstBytes, burstMessages } = rate;
  const byBytes = bytesPerSecond === null ? mostSlots : Math.floor(burstBytes / slotBytes);
  const byMessages = messagesPerSecond === null ? mostSlots : burstMessages;
  return Math.min(mostSlots, byBytes, byMessages);
}
