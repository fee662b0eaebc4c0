/** A scenario for a seed. */
import { StepName } from '../../../src/connection/common/steps.js';
import { nearWraps } from '../../../testkit/near-wraps.js';
import { Random } from '../../../testkit/random.js';
import { ControlVerb } from '../../../testkit/virtual-device.js';
import type {
  ConnectionPlan,
  Direction,
  EndOptions,
  Fault,
  FaultKind,
  Operation,
  Patience,
  Scenario,
  Side,
  StreamOperation,
  StreamPart,
  Trigger,
} from './scenario.js';

const SIDES = ['client', 'server'] as const;
/** Added to a seed, for what was not drawn from the first: whoever draws more there changes nothing of the rest. */
const MORE = 2 ** 40;
export const FROM_ZERO = {
  fragment: 0,
  messageCost: 0,
  streamByte: 0,
  stream: 0,
  sealedPiece: 0,
  sealedRequest: 0,
};
const DIRECTIONS: readonly Direction[] = ['both', 'toClient', 'toServer'];

/** Steps during which something may go wrong. */
const HALT_MILLIS = 12_000;
const STEPS: readonly StepName[] = [
  StepName.TLS,
  StepName.PSN_EXCHANGED,
  StepName.OBJECTS_CREATED,
  StepName.PARAMETERS_EXCHANGED,
  StepName.INIT,
  StepName.RTR,
  StepName.RTS,
  StepName.RECEIVES_POSTED,
  StepName.READY,
  StepName.RECOVERING,
  StepName.RECOVERED,
  StepName.QUIT,
  StepName.MEMORY_DEREGISTERED,
];

export function generateScenario(seed: number): Scenario {
  const random = new Random(seed);
  const more = new Random(seed + MORE);
  const spanMillis = random.pick([50, 300, 2000, 6000]);
  const plans = Array.from({ length: random.chance(0.75) ? 1 : random.int(2, 3) }, (_, i) =>
    generatePlan(random, more, i, spanMillis),
  );
  const blocked = more.chance(0.03) ? { host: 0, direction: more.pick(DIRECTIONS) } : null;
  const faultCount = random.chance(0.15) ? 0 : random.int(1, random.pick([1, 2, 3, 6]));
  const faults = Array.from({ length: faultCount }, () => generateFault(random, plans.length, spanMillis));
  const delayMillis = random.pick([0.01, 0.05, 0.5, 5]);
  const lossy = random.chance(0.3);
  const cut = generateCut(new Random(seed + 3 * MORE), delayMillis);
  const server = generateOptions(random, more);
  chooseLifelines(new Random(seed + 4 * MORE), server, plans, faults);
  const scenario: Scenario = {
    seed,
    server,
    slots: random.chance(0.2) ? 1 : 4,
    streams: { open: more.pick([1, 2, 3, 8]), windowBytes: more.pick([40, 500, 4096, 12_000]) },
    rates: generateRates(new Random(seed + 2 * MORE)),
    first: more.chance(0.4) ? nearWraps(more) : FROM_ZERO,
    nearPsns: more.chance(0.3),
    plans,
    // What a blocked path is told as must not depend on anything else.
    faults: blocked === null ? (cut ?? faults) : [],
    blocked,
    path: {
      delayMillis,
      jitterMillis: random.chance(0.3) ? delayMillis : 0,
      loss: lossy ? random.pick([0.01, 0.05]) : 0,
      duplicate: lossy && random.chance(0.3) ? 0.05 : 0,
      reorder: random.chance(0.15) ? 0.05 : 0,
    },
    verbMillis: random.pick([0, 0, 1, 20]),
    healAt: spanMillis + random.int(0, 3000),
  };
  chooseHalt(new Random(seed + 5 * MORE), scenario);
  chooseAbort(new Random(seed + 6 * MORE), scenario);
  return scenario;
}

/** A session that is cut about the moment, which is short, in which one end is up and the other is not: nothing else fails. */
function generateCut(random: Random, delayMillis: number): Fault[] | null {
  if (random.chance(0.9)) return null;
  const after = 2 * delayMillis + random.unit() * 0.4;
  const trigger = { side: random.pick(SIDES), step: StepName.RECEIVES_POSTED, count: 1, after };
  return [{ plan: 0, trigger, lasts: 1, what: { kind: 'reset', whoLearns: 'both' } }];
}

/** Who leaves the session, and faults just when that happens. An end that leaves it must look after its peer. */
function chooseLifelines(
  random: Random,
  server: EndOptions,
  plans: readonly ConnectionPlan[],
  faults: readonly Fault[],
): void {
  if (random.chance(0.5)) return;
  for (const options of [server, ...plans.map(({ client }) => client)]) {
    if (random.chance(0.1)) continue;
    options.lifeline = 'brief';
    if (options.keepAliveMillis === 0) options.keepAliveMillis = random.pick([50, 500, 5000]);
  }
  for (const { trigger } of faults)
    if ('step' in trigger && random.chance(0.25)) trigger.step = StepName.SESSION_LEFT;
}

/** One end of a brief connection stops for long, behind a device that goes on: the other must find out, and looks after it. */
function chooseHalt(random: Random, scenario: Scenario): void {
  const { server, plans, faults } = scenario;
  const [plan, ...others] = plans;
  const isBrief = server.lifeline === 'brief' && plan?.client.lifeline === 'brief';
  if (!isBrief || others.length > 0 || scenario.blocked !== null || random.chance(0.9)) return;
  for (const options of [server, plan.client]) options.keepAliveMillis = random.pick([50, 500]);
  // The client stays for so long.
  plan.operations.client.push({ kind: 'sleep', at: HALT_MILLIS, millis: 0 });
  scenario.healAt = Math.max(scenario.healAt, HALT_MILLIS);
  const trigger = {
    side: random.pick(SIDES),
    step: StepName.SESSION_LEFT,
    count: 1,
    after: random.pick([0.3, 40, 700]),
  };
  const what = { kind: 'halt', side: random.pick(SIDES) } as const;
  faults.push({ plan: 0, trigger, lasts: random.pick([100, HALT_MILLIS, HALT_MILLIS]), what });
}

/** One end of a brief connection gives up where nothing else goes wrong: the other must learn of it. */
function chooseAbort(random: Random, scenario: Scenario): void {
  const { server, plans, faults, path } = scenario;
  const [plan, ...others] = plans;
  const isBrief = server.lifeline === 'brief' && plan?.client.lifeline === 'brief';
  if (!isBrief || others.length > 0 || scenario.blocked !== null || faults.length > 1 || random.chance(0.9))
    return;
  faults.length = 0;
  Object.assign(path, { loss: 0, reorder: 0 });
  const { operations } = plan;
  for (const side of SIDES)
    operations[side] = operations[side].filter(
      (one) => one.kind !== 'grant' && one.kind !== 'close' && !('wrong' in one && one.wrong),
    );
  operations[random.pick(SIDES)].push({ kind: 'abort', at: 20 + random.unit() * 200 });
  // Nobody closes before.
  for (const side of SIDES) operations[side].push({ kind: 'sleep', at: 1000, millis: 0 });
}

/** Low enough that programs wait, and high enough that none waits for longer than an orderly end may take. */
function generateRates(random: Random): Scenario['rates'] {
  if (random.chance(0.75)) return null;
  const bounds = () => ({
    bytesPerSecond: random.pick([20_000, 60_000, 400_000]),
    burstBytes: random.pick([100, 1000, 10_000]),
  });
  return { fromClient: bounds(), toClient: bounds() };
}

function generateOptions(random: Random, more: Random): EndOptions {
  const slotBytes = random.pick([64, 200, 1024]);
  return {
    receiveSlots: random.pick([1, 2, 3, 8, 16]),
    slotBytes,
    maxMessageBytes: random.pick([4096, 65_536]),
    bufferBytes: random.chance(0.8) ? 4096 : 0,
    encryption: random.chance(0.25),
    recoveryMillis: Number(random.weighted({ '0': 1, '300': 2, '3000': 3, '10000': 4 })),
    keepAliveMillis: random.pick([0, 50, 500, 5000]),
    lifeline: 'session',
    handshakeDeadlineMillis: more.chance(0.85) ? 5000 : more.pick([5, 100, 1500]),
    maxOperations: more.chance(0.9) ? 1024 : more.pick([1, 2]),
    sendQueueBytes: more.chance(0.8) ? 64 * 2 ** 20 : more.pick([1, 2000, 10_000]),
  };
}

function generatePlan(random: Random, more: Random, index: number, spanMillis: number): ConnectionPlan {
  const client = generateOptions(random, more);
  const takeMillis = { client: takingOf(random), server: takingOf(random) };
  return {
    startAt: index === 0 ? 0 : random.int(0, spanMillis),
    host: random.chance(0.3) ? 0 : index,
    client,
    operations: {
      client: operationsOf(random, more, spanMillis, true),
      server: operationsOf(random, more, spanMillis, false),
    },
    takeMillis,
    takePatience: {
      client: more.chance(0.2) ? generatePatience(more) : null,
      server: more.chance(0.2) ? generatePatience(more) : null,
    },
    abortAfter: more.chance(0.06) ? more.pick([-1, 0, 0.15, 0.5, 3, 30, 500, 2500]) : null,
    isPatient: more.chance(0.6),
  };
}

function operationsOf(random: Random, more: Random, spanMillis: number, isClient: boolean): Operation[] {
  const operations = generateOperations(random, spanMillis, isClient);
  for (const operation of operations) {
    if (!('patience' in operation)) continue;
    if (more.chance(operation.kind === 'send' ? 0.12 : 0.3)) operation.patience = generatePatience(more);
  }
  return [...operations, ...generateStreams(more, spanMillis)].sort((a, b) => a.at - b.at);
}

function generatePatience(random: Random): Patience {
  const kind = random.weighted({ signal: 4, timeout: 4, both: 1 });
  return {
    abortAfter: kind === 'timeout' ? null : random.pick([-1, 0, 0.05, 0.3, 2, 20, 300]),
    timeoutMillis: kind === 'signal' ? null : random.pick([1, 2, 5, 50, 700]),
  };
}

const takingOf = (random: Random): number => random.pick([0, 0, 0, 1, 30]);

function generateOperations(random: Random, spanMillis: number, isClient: boolean): Operation[] {
  const operations: Operation[] = [];
  const when = (): number => whenIn(random, spanMillis);
  const bytes = (): number =>
    random.weighted({ none: 1, tiny: 4, slot: 3, some: 3, many: 1 }) === 'many'
      ? random.int(2000, 4096)
      : random.pick([0, 1, 3, 4, 20, 40, 64, 160, 176, 177, 500, 984, 1000, 1500]);
  const count = random.pick([0, 3, 10, 30]);
  const burstAt = when();
  for (let i = 0; i < count; i++) {
    operations.push({
      kind: 'send',
      at: random.chance(0.4) ? burstAt : when(),
      bytes: bytes(),
      patience: null,
    });
  }
  if (random.chance(0.01)) operations.push({ kind: 'send', at: when(), bytes: 70_000, patience: null });
  const oneSided = random.pick([0, 0, 2, 6]);
  for (let i = 0; i < oneSided; i++) {
    const kind = random.pick(['write', 'read'] as const);
    operations.push({
      kind,
      at: random.chance(0.4) ? burstAt : when(),
      bytes: random.pick([8, 16, 100, 256]),
      repeatable: random.chance(0.5),
      wrong: random.chance(0.06),
      patience: null,
    });
  }
  const grants = random.pick([0, 0, 0, 1, 3]);
  for (let i = 0; i < grants; i++) {
    const revokeAfter = random.pick([null, 0, 1, 20, 200]);
    operations.push({ kind: 'grant', at: when(), bytes: random.pick([8, 64, 256]), revokeAfter });
  }
  if (random.chance(0.2))
    operations.push({ kind: 'sleep', at: when(), millis: random.pick([50, 500, 4000]) });
  if (random.chance(isClient ? 0.15 : 0.1)) operations.push({ kind: 'close', at: when() });
  if (random.chance(0.05)) operations.push({ kind: 'abort', at: when() });
  return operations;
}

function generateStreams(random: Random, spanMillis: number): StreamOperation[] {
  const burstAt = whenIn(random, spanMillis);
  return Array.from({ length: random.pick([0, 0, 1, 2, 5]) }, () => ({
    kind: 'stream',
    at: random.chance(0.4) ? burstAt : whenIn(random, spanMillis),
    opener: generatePart(random),
    acceptor: generatePart(random),
  }));
}

function generatePart(random: Random): StreamPart {
  const writes = random.pick([0, 1, 2, 4]);
  return {
    writes: Array.from({ length: writes }, () => random.pick([0, 1, 30, 41, 200, 900, 1000, 5000])),
    gapMillis: random.pick([0, 0, 0.1, 3, 40]),
    ending: random.weighted({ end: 6, reset: 2, leave: 1 }),
    readMillis: random.pick([0, 0, 0.2, 5]),
    stallMillis: random.pick([0, 0, 0, 0, 50, 700, null]),
    code: random.int(0, 0xffffffff),
  };
}

const whenIn = (random: Random, spanMillis: number): number =>
  Math.round(random.unit() * spanMillis * 100) / 100;

function generateFault(random: Random, plans: number, spanMillis: number): Fault {
  return {
    plan: random.int(0, plans - 1),
    trigger: generateTrigger(random, spanMillis),
    lasts: random.pick([1, 20, 100, 600, 1500, 4000, 12_000]),
    what: generateFaultKind(random),
  };
}

function generateTrigger(random: Random, spanMillis: number): Trigger {
  if (random.chance(0.4)) return { at: whenIn(random, spanMillis) };
  return {
    side: random.pick(SIDES),
    step: random.pick(STEPS),
    count: Number(random.weighted({ '1': 6, '2': 3, '3': 1 })),
    after: random.pick([0, 0, 0.02, 0.3, 2]),
  };
}

function generateFaultKind(random: Random): FaultKind {
  const side: Side = random.pick(SIDES);
  const kind = random.weighted({
    dark: 4,
    loss: 1,
    stall: 3,
    blackout: 2,
    reset: 5,
    queuePair: 4,
    verb: 2,
    restart: 1,
    ghost: 2,
    closeServer: 0.7,
  });
  switch (kind) {
    case 'dark':
    case 'stall':
      return { kind, direction: random.pick(DIRECTIONS) };
    case 'loss':
      return { kind, direction: random.pick(DIRECTIONS), probability: random.pick([0.1, 0.4]) };
    case 'reset':
      return { kind, whoLearns: random.pick(['both', 'both', 'client', 'server'] as const) };
    case 'queuePair':
      return { kind, side, withEvent: random.chance(0.3) };
    case 'verb':
      return { kind, side, verb: random.pick(Object.values(ControlVerb)), times: random.pick([1, 1, 2, 8]) };
    case 'ghost':
      return { kind, goesOn: random.chance(0.5) };
    case 'blackout':
    case 'restart':
    case 'closeServer':
      return { kind };
  }
}
