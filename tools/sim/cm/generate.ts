/** A scenario of communication managers for a seed. */
import { Random } from '../../../testkit/random.js';
import type { EndKind, LookupPlan, MeetingPlan, OutagePlan, RestartPlan, Scenario } from './scenario.js';

const TYPES = ['REQ', 'MRA', 'REP', 'RTU', 'REJ', 'DREQ', 'DREP', 'SIDR_REQ', 'SIDR_REP', 'all'];

export function generateScenario(seed: number): Scenario {
  const random = new Random(seed);
  const hosts = random.chance(0.7) ? 2 : 3;
  const spanMillis = random.pick([100, 3000, 20_000]);
  const many = <T>(counts: readonly number[], make: () => T): T[] =>
    Array.from({ length: random.pick(counts) }, make);
  const when = (): number => random.int(0, spanMillis);
  const meetings = many([1, 2, 4, 8, 12], () => generateMeeting(random, hosts, when()));
  if (random.chance(0.25)) meetings.push(...crossingOf(meetings[0] as MeetingPlan));
  const isLossy = random.chance(0.5);
  const scenario = {
    seed,
    hosts,
    meetings,
    lookups: many([0, 0, 1, 4], () => generateLookup(random, hosts, when())),
    restarts: many([0, 0, 0, 1, 2], () => generateRestart(random, hosts, when() * 2)),
    outages: many([0, 0, 1, 3], () => generateOutage(random, when())),
    network: {
      delayMillis: random.pick([0.05, 1, 20]),
      jitterMillis: random.pick([0, 0, 1, 30]),
      loss: isLossy ? random.pick([0.05, 0.2, 0.5]) : 0,
      duplicate: random.pick([0, 0, 0.1, 0.5]),
      straggle: random.pick([0, 0, 0, 0.1]),
    },
    backlog: random.pick([1, 2, 16, 16]),
    maxHalfOpen: random.pick([2, 16, 16]),
    maxHalfOpenOfSource: random.pick([1, 3, 128, 128]),
    qpns: random.pick([2, 4, 64]),
    randomBits: random.pick([7, 32, 32, 32]),
    isIpv6: random.chance(0.3),
    udpPort: random.pick([4791, 4791, 5000]),
    healAt: spanMillis * 2 + random.pick([5000, 40_000]),
  };
  // Where something of a meeting may stay behind, its numbers must not come again by chance.
  const { loss, straggle } = scenario.network;
  const mayStay = loss > 0 || straggle > 0 || scenario.outages.length > 0 || scenario.restarts.length > 0;
  return mayStay ? { ...scenario, randomBits: 32 } : scenario;
}

function otherHost(random: Random, hosts: number, from: number): number {
  // A host may talk with itself.
  return random.chance(0.05) ? from : (from + random.int(1, hosts - 1)) % hosts;
}

function generateMeeting(random: Random, hosts: number, at: number): MeetingPlan {
  const from = random.int(0, hosts - 1);
  const soon = (): number => random.pick([0, 1, 50, 900, 3000]);
  const maybe = (probability: number): number | null => (random.chance(probability) ? soon() : null);
  return {
    at,
    from,
    to: otherHost(random, hosts, from),
    timeoutMillis: random.pick([20, 1000, 5000, 20_000, 200_000]),
    answerAfter: random.chance(0.05) ? null : random.pick([0, 0, 1, 30, 1500, 6000]),
    isAccepted: random.chance(0.85),
    establishAfter: random.chance(0.05) ? null : random.pick([0, 0, 1, 30, 2500]),
    isRefusedByActive: random.chance(0.05),
    sendsData: random.chance(0.4),
    endAfter: random.pick([0, 0, 1, 100, 3000]),
    enders: random.pick(['active', 'passive', 'both'] as const),
    end: random.weighted<EndKind>({ disconnect: 6, close: 3, vanish: 1 }),
    abortAfter: maybe(0.15),
    abortByPassiveAfter: maybe(0.1),
  };
}

/** The same, at the same time, the other way round. */
const crossingOf = (meeting: MeetingPlan): MeetingPlan[] => [
  { ...meeting, from: meeting.to, to: meeting.from },
];

function generateLookup(random: Random, hosts: number, at: number): LookupPlan {
  const from = random.int(0, hosts - 1);
  return {
    at,
    from,
    to: otherHost(random, hosts, from),
    timeoutMillis: random.pick([20, 1500, 5000]),
    answerAfter: random.chance(0.1) ? null : random.pick([0, 1, 1200]),
    status: random.pick([0, 0, 2]),
  };
}

const generateRestart = (random: Random, hosts: number, at: number): RestartPlan => ({
  at,
  host: random.int(0, hosts - 1),
  isOrderly: random.chance(0.5),
});

const generateOutage = (random: Random, at: number): OutagePlan => ({
  at,
  lasts: random.pick([100, 2500, 20_000]),
  type: random.pick(TYPES),
});
