/** What happens in one simulation of communication managers. Plain data, so that a failing one can be made smaller. */

/** How an end is brought about. `vanish`: nobody does anything. */
export type EndKind = 'disconnect' | 'close' | 'vanish';

/** One meeting. Times are milliseconds after the step before. */
export interface MeetingPlan {
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly timeoutMillis: number;
  /** The program of the asked side: null = it never answers. */
  readonly answerAfter: number | null;
  readonly isAccepted: boolean;
  /** The program of the asking side, after the REP: null = it never answers. */
  readonly establishAfter: number | null;
  /** The asking side has trouble with its queue pair, and rejects. */
  readonly isRefusedByActive: boolean;
  /** Whether the asking side sends something as soon as it may. */
  readonly sendsData: boolean;
  /** When the connection shall end, after both programs have it, and by whom. */
  readonly endAfter: number;
  readonly enders: 'active' | 'passive' | 'both';
  readonly end: EndKind;
  /** The asking side gives up at this time after it began, wherever it is. */
  readonly abortAfter: number | null;
  /** So does the asked side, after it was told. */
  readonly abortByPassiveAfter: number | null;
}

export interface LookupPlan {
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly timeoutMillis: number;
  readonly answerAfter: number | null;
  readonly status: number;
}

/** A host dies and comes back with another GUID: after a word to its peers, or without. */
export interface RestartPlan {
  readonly at: number;
  readonly host: number;
  readonly isOrderly: boolean;
}

/** Messages of one type do not arrive for a while. */
export interface OutagePlan {
  readonly at: number;
  readonly lasts: number;
  /** A name, or all. */
  readonly type: string;
}

export interface Scenario {
  readonly seed: number;
  readonly hosts: number;
  readonly meetings: MeetingPlan[];
  readonly lookups: LookupPlan[];
  readonly restarts: RestartPlan[];
  readonly outages: OutagePlan[];
  readonly network: {
    delayMillis: number;
    jitterMillis: number;
    loss: number;
    duplicate: number;
    /** Of a packet to arrive much later. */
    straggle: number;
  };
  readonly backlog: number;
  readonly maxHalfOpen: number;
  readonly maxHalfOpenOfSource: number;
  /** Queue pair numbers of a host: few are used again soon. */
  readonly qpns: number;
  /** Bits of the numbers that the managers draw: with few, numbers meet. */
  readonly randomBits: number;
  readonly isIpv6: boolean;
  /** Hosts of one process that share an address have ports of their own. */
  readonly udpPort: number;
  readonly healAt: number;
}
