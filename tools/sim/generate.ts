/** Makes a scenario of a seed. Everything about a run is decided here; the rest of the simulator only carries it out. */
import type { PathMtu } from '../../src/verbs/mtu.js';
import { Random } from '../../testkit/random.js';
import { generateEpochs } from './generate-epochs.js';
import type { Connection, HostProfile, LinkProfile, Outage, PortProfile, Scenario } from './scenario.js';

const MTUS: readonly PathMtu[] = [256, 512, 1024, 2048, 4096];

const READ_LIMITS = [1, 2, 4, 16];

type Weather = 'calm' | 'light' | 'heavy' | 'corrupting' | 'shuffling' | 'narrow' | 'outages' | 'mixed';

const WEATHER: Readonly<Record<Weather, number>> = {
  calm: 4,
  light: 4,
  heavy: 2,
  corrupting: 2,
  shuffling: 2,
  narrow: 2,
  outages: 2,
  mixed: 4,
};

export function generateScenario(seed: number): Scenario {
  const random = new Random(seed);
  const weather = random.weighted(WEATHER);
  const nics = random.chance(0.6) ? 2 : random.int(3, 8);
  const links = Array.from({ length: nics }, () =>
    Array.from({ length: nics }, () => generateLink(weather, random)),
  );
  const ports = Array.from({ length: nics }, () => generatePort(weather, random));
  const scenario: Scenario = {
    seed,
    nics,
    links,
    ports,
    hosts: Array.from({ length: nics }, () => generateHost(random)),
    outages: weather === 'outages' ? generateOutages(nics, random) : [],
    resumeInside: random.chance(0.2),
    words: random.int(1, 4),
    connections: [],
  };
  const count = random.chance(0.5) ? random.int(1, 2) : random.int(2, 6);
  for (let i = 0; i < count; i++) scenario.connections.push(generateConnection(scenario, random));
  let id = 1;
  for (const connection of scenario.connections) {
    id = generateEpochs(connection, scenario, random, id);
  }
  return scenario;
}

function generateLink(weather: Weather, random: Random): LinkProfile {
  const delayMicros = random.pick([1, 5, 20, 100, 500]);
  const link: LinkProfile = {
    delayMicros,
    jitterMicros: 0,
    loss: 0,
    duplicate: 0,
    reorder: 0,
    reorderMicros: delayMicros * random.int(1, 4),
    corrupt: 0,
  };
  if (weather === 'light' || weather === 'mixed') {
    link.loss = random.pick([0, 0.001, 0.005, 0.01, 0.03]);
    link.duplicate = random.pick([0, 0.005, 0.02]);
    link.reorder = random.pick([0, 0.01, 0.03]);
  }
  if (weather === 'heavy') link.loss = random.pick([0.02, 0.05, 0.1, 0.2]);
  if (weather === 'corrupting' || weather === 'mixed') link.corrupt = random.pick([0, 0.003, 0.01, 0.03]);
  if (weather === 'shuffling') {
    link.reorder = random.pick([0.05, 0.1, 0.3]);
    link.duplicate = random.pick([0, 0.05, 0.1]);
    link.jitterMicros = random.pick([0, 1, delayMicros]);
  }
  return link;
}

function generatePort(weather: Weather, random: Random): PortProfile {
  const narrow = weather === 'narrow';
  return {
    bytesPerMicro: random.pick(narrow ? [12, 125, 1250] : [125, 1250, 12500]),
    queuePackets: narrow ? random.pick([16, 32, 64]) : 4096,
    ecnPackets: random.pick(narrow ? [0, 4, 12] : [0, 0, 0, 20]),
  };
}

function generateHost(random: Random): HostProfile {
  if (random.chance(0.5)) return { turnMicros: 0, turnPackets: 64 };
  return { turnMicros: random.pick([1, 5, 20, 100]), turnPackets: random.pick([1, 4, 16, 64]) };
}

function generateOutages(nics: number, random: Random): Outage[] {
  return Array.from({ length: random.int(1, 3) }, () => {
    const fromMicros = random.pick([0, random.int(0, 500), random.int(0, 5000)]);
    const lasting = random.pick([random.int(20, 500), random.int(500, 20_000), random.int(20_000, 200_000)]);
    return {
      kind: random.pick(['partition', 'clog'] as const),
      nic: random.int(0, nics - 1),
      fromMicros,
      untilMicros: fromMicros + lasting,
    };
  });
}

function generateConnection(scenario: Scenario, random: Random): Connection {
  const a = random.int(0, scenario.nics - 1);
  // A NIC may talk to itself.
  const b = random.chance(0.05) ? a : (a + random.int(1, scenario.nics - 1)) % scenario.nics;
  const impatient = random.chance(0.15);
  const rnrRetry = random.chance(0.15) ? random.int(0, 6) : 7;
  const mtu = random.pick(MTUS);
  return {
    nics: [a, b],
    ipv6: random.chance(0.5),
    mtu,
    timeout: Math.min(20, smallestTimeout(scenario, a, b, mtu) + random.int(0, 3)),
    retryCount: impatient ? random.int(0, 6) : 7,
    rnrRetry,
    minRnrTimer: random.chance(0.05) ? 0 : random.int(1, 18),
    maxRdAtomic: [random.pick(READ_LIMITS), random.pick(READ_LIMITS)],
    spareRdAtomic: random.pick([0, 0, 1, 4]),
    maxSendWr: random.pick([1, 3, 8, 32]),
    maxRecvWr: rnrRetry < 7 ? 64 : random.pick([1, 3, 8, 64]),
    maxSge: random.pick([1, 2, 4, 16]),
    signalAll: random.chance(0.2),
    srq: rnrRetry === 7 && random.chance(0.2),
    tinyCq: random.chance(0.02) ? random.int(1, 3) : 0,
    epochs: [],
  };
}

/** The code of a timeout that no packet of a calm network reaches: several times the slowest round trip. */
function smallestTimeout(scenario: Scenario, a: number, b: number, mtu: number): number {
  let micros = 100;
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const link = scenario.links[from]?.[to] as LinkProfile;
    const port = scenario.ports[to] as PortProfile;
    const host = scenario.hosts[to] as HostProfile;
    micros += (host.turnMicros * 512) / host.turnPackets;
    micros += link.delayMicros + link.jitterMicros + link.reorderMicros;
    micros += (Math.min(port.queuePackets, 512) * (mtu + 100)) / port.bytesPerMicro;
  }
  return Math.max(6, Math.ceil(Math.log2((micros * 4) / 4.096)));
}
