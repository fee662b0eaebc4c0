/**
 * What happened, as plain numbers that only grow: one instance for a NIC, and one for each of its queue pairs, which
 * counts for the NIC as well.
 * `drops` is indexed by {@link DropReason}.
 */
import { DROP_REASON_COUNT, type DropReason, dropReasonName } from './drop-reason.js';

export class Counters {
  #drops: Float64Array | null = null;
  rxPackets = 0;
  rxBytes = Number.NaN;
  txPackets = 0;
  txBytes = Number.NaN;
  retransmittedPackets = 0;
  timeouts = 0;
  probes = 0;
  sequenceNaksSent = 0;
  sequenceNaksReceived = 0;
  rnrNaksSent = 0;
  rnrNaksReceived = 0;
  fatalNaksSent = 0;
  fatalNaksReceived = 0;
  acksSent = 0;
  acksReceived = 0;
  duplicateRequests = 0;
  answersDelayed = 0;
  readReplays = 0;
  atomicReplays = 0;
  responseGaps = 0;
  cnpsSent = 0;
  cnpsReceived = 0;
  congestionMarks = 0;
  cqOverruns = 0;

  constructor() {
    // What began as a small integer becomes another kind of field beyond 2 GiB, and V8 would throw away all code that counts.
    this.rxBytes = 0;
    this.txBytes = 0;
  }

  /** Made when first needed: most queue pairs drop nothing. */
  get drops(): Float64Array {
    this.#drops ??= new Float64Array(DROP_REASON_COUNT);
    return this.#drops;
  }

  drop(reason: DropReason): void {
    this.drops[reason] = (this.drops[reason] as number) + 1;
  }

  /** Every counter by name; a drop reason appears as `drop_<name>`. */
  snapshot(): Record<string, number> {
    return countsByName(this, '', dropReasonName);
  }
}

/** All numbers of `counters` by name, behind `prefix`; a drop reason appears as `drop_<name>`. */
export function countsByName(
  counters: { readonly drops: Float64Array },
  prefix: string,
  reasonName: (reason: number) => string,
): Record<string, number> {
  const result: Record<string, number> = {};
  for (const [name, value] of Object.entries(counters)) {
    if (typeof value === 'number') result[`${prefix}${name}`] = value;
  }
  // 0 is no reason.
  for (let reason = 1; reason < counters.drops.length; reason++) {
    result[`drop_${reasonName(reason)}`] = counters.drops[reason] as number;
  }
  return result;
}

/** What is counted one by one. */
export type CounterName = Exclude<keyof Counters, 'drops' | 'drop' | 'snapshot'>;

/**
 * Of one queue pair. What every packet counts is here; all else, which in most of thousands of queue pairs never happens, has its
 * numbers from the first time on.
 */
export class QpCounters {
  rxPackets = 0;
  rxBytes = Number.NaN;
  txPackets = 0;
  txBytes = Number.NaN;
  #acksSent = 0;
  #acksReceived = 0;
  #others: Counters | null = null;
  readonly #nic: Counters;

  constructor(nic: Counters) {
    this.#nic = nic;
    this.rxBytes = 0;
    this.txBytes = 0;
  }

  /** An acknowledgement left: often enough to be worth a name of its own. */
  ackSent(): void {
    this.#acksSent++;
    this.#nic.acksSent++;
  }

  ackReceived(): void {
    this.#acksReceived++;
    this.#nic.acksReceived++;
  }

  /** Once here and once for the NIC. */
  count(name: CounterName): void {
    this.#theOthers[name]++;
    this.#nic[name]++;
  }

  /** Here alone: whoever drops a packet has counted that for the NIC. */
  drop(reason: DropReason): void {
    this.#theOthers.drop(reason);
  }

  /** As that of the NIC. */
  snapshot(): Record<string, number> {
    const { rxPackets, rxBytes, txPackets, txBytes } = this;
    const often = { rxPackets, rxBytes, txPackets, txBytes };
    const counts = { ...often, acksSent: this.#acksSent, acksReceived: this.#acksReceived };
    return { ...(this.#others ?? NOTHING).snapshot(), ...counts };
  }

  get #theOthers(): Counters {
    this.#others ??= new Counters();
    return this.#others;
  }
}

const NOTHING = new Counters();
