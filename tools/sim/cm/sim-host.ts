/**
 * A host of the simulation: a communication manager, queue pair numbers, and the programs' view of their connections. It
 * insists on what a manager promises its programs: one settlement, one ending, nothing after that, identifiers of their
 * own, deadlines.
 */
import type { CmState } from '../../../src/roce/cm/cm-connection.js';
import { CmMachine } from '../../../src/roce/cm/cm-machine.js';
import type { CmHandle, CmLimits, CmMachineEvent, CmOutput } from '../../../src/roce/cm/cm-outputs.js';
import type { UdpAddress } from '../../../src/verbs/address.js';
import { expect } from '../failure.js';
import type { Marks } from '../marks.js';
import type { MeetingPlan } from './scenario.js';

export type Side = 'active' | 'passive';

/** An end of a connection as its program sees it. */
export interface End {
  readonly id: CmHandle;
  readonly side: Side;
  readonly plan: MeetingPlan | null;
  readonly planNumber: number;
  readonly host: SimHost;
  readonly beganAt: number;
  qpn: number;
  peerQpn: number;
  /** Sent first by this end, and expected first. */
  psnOut: number;
  psnIn: number;
  commId: number;
  /** `response` or an ending was told. */
  isSettled: boolean;
  isEstablished: boolean;
  ending: string | null;
  isClosed: boolean;
  endedAt: number;
  isReleased: boolean;
  state: CmState | 'new' | 'gone';
  stateSince: number;
}

export interface SimHostOptions {
  readonly index: number;
  readonly generation: number;
  readonly address: UdpAddress;
  readonly random: () => number;
  readonly limits: Partial<CmLimits>;
  readonly qpns: number;
  readonly marks: Marks;
}

/** How long a state may last at most, whatever happens; undefined = for ever. */
const LONGEST_MILLIS: Partial<Record<CmState, number>> = {
  'rep-received': 60_000,
  'req-received': 120_000,
  'rep-sent': 120_000,
  'dreq-sent': 5000,
  timewait: 8192,
};
const SHORTEST_TIMEWAIT_MILLIS = 2048;
const ENDINGS: readonly CmMachineEvent['type'][] = ['rejected', 'unreachable', 'disconnected'];
const FIRST_QPN = 0x10;

export class SimHost {
  readonly index: number;
  readonly generation: number;
  readonly address: UdpAddress;
  readonly machine: CmMachine;
  readonly ends = new Map<CmHandle, End>();
  /** It died: what it does is seen by nobody. */
  isDead = false;
  readonly #options: SimHostOptions;
  readonly #freeQpns: number[];

  constructor(options: SimHostOptions) {
    this.#options = options;
    this.index = options.index;
    this.generation = options.generation;
    this.address = options.address;
    const { random, address, limits } = options;
    this.machine = new CmMachine({ random, addresses: [address], maxMtu: 4096, limits });
    this.#freeQpns = Array.from({ length: options.qpns }, (_, i) => FIRST_QPN + i);
  }

  /** A queue pair number that nobody has; undefined when all are taken. */
  takeQpn(): number | undefined {
    return this.#freeQpns.shift();
  }

  giveQpnBack(qpn: number): void {
    this.#freeQpns.push(qpn);
  }

  begin(
    end: Omit<
      End,
      | 'host'
      | 'state'
      | 'stateSince'
      | 'isSettled'
      | 'isEstablished'
      | 'ending'
      | 'isClosed'
      | 'endedAt'
      | 'isReleased'
      | 'commId'
    >,
  ): End {
    const whole: End = {
      ...end,
      host: this,
      commId: 0,
      isSettled: false,
      isEstablished: false,
      ending: null,
      isClosed: false,
      endedAt: 0,
      isReleased: false,
      state: 'new',
      stateSince: end.beganAt,
    };
    expect(!this.ends.has(end.id), 'handles', () => `handle ${end.id} was used before`);
    this.ends.set(end.id, whole);
    return whole;
  }

  nameOf({ side, planNumber }: End): string {
    return `the ${side} end of meeting ${planNumber} at host ${this.index}.${this.generation}`;
  }

  /** The end of an event, which must have one that may still hear. */
  hear(event: Exclude<CmMachineEvent, { type: `lookup-${string}` | 'request' }>, now: number): End {
    const end = this.ends.get(event.id);
    expect(end !== undefined, 'events', () => `'${event.type}' of a connection that nobody knows`);
    const name = (): string => this.nameOf(end);
    if (event.type === 'released') {
      expect(!end.isReleased, 'events', () => `${name()} was released twice`);
      expect(
        event.qpn === end.qpn,
        'events',
        () => `${name()} released queue pair ${event.qpn}, not ${end.qpn}`,
      );
      const rest = now - end.endedAt;
      expect(
        rest >= SHORTEST_TIMEWAIT_MILLIS - 0.001,
        'timewait',
        () => `${name()} was released ${rest} ms after its end`,
      );
      end.isReleased = true;
      this.giveQpnBack(end.qpn);
      return end;
    }
    expect(!end.isClosed, 'events', () => `${name()} heard '${event.type}' after it was closed`);
    expect(
      end.ending === null,
      'settling',
      () => `${name()} ended by ${end.ending}, then heard '${event.type}'`,
    );
    if (ENDINGS.includes(event.type)) {
      end.ending = event.type;
      end.isSettled = true;
    } else if (event.type === 'response') {
      expect(!end.isSettled && end.side === 'active', 'settling', () => `${name()} settled twice`);
      end.isSettled = true;
    }
    return end;
  }

  /** What a step of the machine gives, in order. */
  takeAll(): CmOutput[] {
    const outputs: CmOutput[] = [];
    for (let next = this.machine.takeOutput(); next !== undefined; next = this.machine.takeOutput())
      outputs.push(next);
    return outputs;
  }

  /** Looks at every state, after every step. */
  watch(now: number): void {
    const { marks, limits } = this.#options;
    for (const end of this.ends.values()) {
      if (end.state === 'gone') continue;
      const state = this.machine.stateOf(end.id) ?? 'gone';
      if (state !== end.state) {
        marks.hit(`${end.side} ${end.state} → ${state}`);
        if (state === 'timewait') end.endedAt = now;
        end.state = state;
        end.stateSince = now;
      }
      if (state === 'gone' || state === 'established') continue;
      const longest = state === 'req-sent' ? (end.plan?.timeoutMillis ?? 0) : LONGEST_MILLIS[state];
      const lasts = now - end.stateSince;
      expect(
        longest === undefined || lasts <= longest + 1,
        'deadlines',
        () => `${this.nameOf(end)} is in ${state} for ${lasts} ms`,
      );
    }
    const { halfOpen, connections } = this.machine.census;
    const most = limits.maxHalfOpen ?? Number.POSITIVE_INFINITY;
    expect(halfOpen <= most, 'bounds', () => `${halfOpen} unfinished requests`);
    const limit = limits.maxConnections ?? Number.POSITIVE_INFINITY;
    expect(connections <= limit, 'bounds', () => `${connections} connections`);
  }

  /** A communication ID goes out for the first time. */
  claim(end: End, commId: number): void {
    expect(commId !== 0, 'identifiers', () => `${this.nameOf(end)} has communication ID 0`);
    for (const other of this.ends.values()) {
      if (other === end || other.commId !== commId || this.machine.stateOf(other.id) === undefined) continue;
      expect(
        false,
        'identifiers',
        () => `${this.nameOf(end)} and ${this.nameOf(other)} have one communication ID`,
      );
    }
    end.commId = commId;
  }
}
