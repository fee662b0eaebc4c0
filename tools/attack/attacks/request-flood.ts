/**
 * Floods of rdma_cm requests from addresses of the attacker's choice, while honest clients connect from another one. What is
 * kept must stay within its bounds and be gone by its deadlines; who lends an address gets no more bytes than the attacker
 * sent, but where a program accepts what it knows nothing about; honest clients must get in; and what is no MAD of 256 bytes
 * must do nothing.
 */

import { ANSWERED_MILLIS } from '../../../src/roce/cm/timing.js';
import { CMA_HEADER_BYTES, writeCmaHeader } from '../../../src/roce/cm/wire/cma-header.js';
import { type CmMessage, writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import { CmTransport, type Req } from '../../../src/roce/cm/wire/req.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { ForgedGmp, forgedPacket } from '../forged-gmp.js';
import { Injector } from '../injector.js';
import { attackerHost, HOSTS } from '../loopback.js';
import { rounded } from '../statistics.js';
import { CmServicePort, type CmVictim } from '../victims/cm-victim.js';
import { startCmVictim } from '../victims/start.js';
import type { VictimProcess } from '../victims/victim-process.js';

const ADDRESSES = 64;
/** Of the attacker's addresses, each. */
const REFUSED_TRIES = 64;
const ACCEPTED_TRIES = 32;
const ODD_TRIES = 512;
const ODD_LENGTHS = [0, 4, 200, 252, 260, 512, 1024];
/** What the communication manager of a soft device keeps at most: unfinished requests, and what it remembers of refused ones. */
const MOST_HALF_OPEN = 1024;
const MOST_REMEMBERED = 256;
/** Of one that a program accepts without knowing better: the REP, its repetitions, and the REJ that ends them. */
const MOST_ANSWERS = 6;
/** An answered lookup is kept longest: longer than the last REP of a request that asks for haste, and the time after its end. */
const FREE_MILLIS = ANSWERED_MILLIS + 3000;

const NOTHING = new Uint8Array(0);
/** A code of 32 ms, and of 1 ms. */
const HASTE = 13;
const SHORT_PATH = 8;
const PORTS = 0xffff;

/** Requests of one address of the attacker; each names an ID and a queue pair that came up before. */
class Forger {
  readonly #injector: Injector;
  readonly #gmp: ForgedGmp;
  readonly #random: AttackContext['random'];

  constructor(injector: Injector, { random }: AttackContext) {
    this.#injector = injector;
    this.#gmp = new ForgedGmp(injector);
    this.#random = random;
  }

  req(port: number): Uint8Array {
    const { source, destination } = this.#injector;
    const req: Req = {
      type: 'REQ',
      transactionId: BigInt(this.#id()),
      localCommId: this.#id(),
      serviceId: serviceIdOf(PortSpace.TCP, port),
      caGuid: BigInt(this.#id()),
      qpn: 2 + this.#random.below(0xfffff0),
      responderResources: 1,
      initiatorDepth: 1,
      remoteResponseTimeout: HASTE,
      localResponseTimeout: HASTE,
      transport: CmTransport.RC,
      flowControl: false,
      startingPsn: 0,
      retryCount: 7,
      pkey: 0xffff,
      mtu: 3,
      rnrRetryCount: 7,
      maxCmRetries: 15,
      hasSrq: false,
      extendedTransport: 0,
      primary: {
        ...{ localLid: 0, remoteLid: 0, localGid: source, remoteGid: destination, flowLabel: 0 },
        ...{ packetRate: 0, trafficClass: 0, hopLimit: 64, serviceLevel: 0, isSubnetLocal: false },
        ackTimeout: SHORT_PATH,
      },
      alternate: null,
      privateData: this.#cmaHeader(),
    };
    return this.#gmp.packet(req);
  }

  sidrReq(port: number): Uint8Array {
    return this.#gmp.packet({
      type: 'SIDR_REQ',
      transactionId: BigInt(this.#id()),
      requestId: this.#id(),
      pkey: 0xffff,
      serviceId: serviceIdOf(PortSpace.UDP, port),
      privateData: this.#cmaHeader(),
    });
  }

  dreq(): Uint8Array {
    const names = { transactionId: 1n, localCommId: this.#id(), remoteCommId: this.#id() };
    return this.#gmp.packet({ type: 'DREQ', ...names, qpn: 2, privateData: NOTHING });
  }

  #id(): number {
    return this.#random.u32() || 1;
  }

  #cmaHeader(): Uint8Array {
    const { source, destination } = this.#injector;
    const bytes = new Uint8Array(CMA_HEADER_BYTES);
    writeCmaHeader(bytes, 0, { sourcePort: this.#random.below(PORTS), source, destination });
    return bytes;
  }
}

/** What nobody accepts: refused, silently dropped, or left waiting. */
const REFUSED: readonly ((forger: Forger) => Uint8Array)[] = [
  (forger) => forger.req(CmServicePort.NOBODY),
  (forger) => forger.req(CmServicePort.DEAF),
  (forger) => forger.sidrReq(CmServicePort.NOBODY),
  (forger) => forger.sidrReq(CmServicePort.OPEN),
  (forger) => forger.sidrReq(CmServicePort.DEAF),
  (forger) => forger.dreq(),
];

type Victim = VictimProcess<CmVictim>;

/** Sends so many packets from each address, in turns. Returns how many. */
async function flood(
  context: AttackContext,
  victim: Victim,
  triesOfEach: number,
  next: (forger: Forger, index: number) => Uint8Array,
): Promise<number> {
  let tries = 0;
  for (let number = 0; number < ADDRESSES; number++) {
    await using injector = await Injector.open(attackerHost(number), HOSTS.server);
    const forger = new Forger(injector, context);
    await fire({ victim, which: 'server', injector }, triesOfEach, (index) => next(forger, index));
    tries += triesOfEach;
    context.progress(`${tries} packets`);
  }
  return tries;
}

/** Honest clients and bounds, as long as an attack goes on. */
class Watch {
  readonly #victim: Victim;
  served = 0;
  failed = 0;
  slowestMillis = 0;
  mostHalfOpen = 0;
  mostKept = 0;

  constructor(victim: Victim) {
    this.#victim = victim;
  }

  /** Until `attack` is over, and once more. */
  async during<T>(attack: Promise<T>): Promise<T> {
    let isOver = false;
    const result = attack.finally(() => {
      isOver = true;
    });
    const watching = (async () => {
      while (!isOver) await this.#look();
    })();
    do await this.#connect();
    while (!isOver);
    await watching;
    return result;
  }

  async #connect(): Promise<void> {
    const startedAt = performance.now();
    try {
      await this.#victim.call('connect');
      this.served++;
      this.slowestMillis = Math.max(this.slowestMillis, performance.now() - startedAt);
    } catch {
      this.failed++;
    }
    await pause(HONEST_PAUSE_MILLIS);
  }

  async #look(): Promise<void> {
    const { halfOpen, connections, lookups } = await this.#victim.call('census', 'server');
    this.mostHalfOpen = Math.max(this.mostHalfOpen, halfOpen);
    this.mostKept = Math.max(this.mostKept, connections + lookups - this.served);
    await pause(LOOK_MILLIS);
  }
}

const HONEST_PAUSE_MILLIS = 50;
const LOOK_MILLIS = 10;
const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

interface Traffic {
  readonly arrived: number;
  readonly left: number;
  readonly counters: Readonly<Record<string, number>>;
}

async function trafficOf(victim: Victim): Promise<Traffic> {
  const counters = await victim.call('counters', 'server');
  return {
    arrived: await victim.call('arrived', 'server'),
    left: await victim.call('left', 'server'),
    counters,
  };
}

const grown = (before: Traffic, after: Traffic, name: string): number =>
  (after.counters[name] ?? 0) - (before.counters[name] ?? 0);

/** Packets of other lengths than a MAD's. Returns how many had an effect. */
async function oddPackets(victim: Victim): Promise<number> {
  const before = await trafficOf(victim);
  await using injector = await Injector.open(HOSTS.stranger, HOSTS.server);
  const packets = ODD_LENGTHS.map((length) => {
    const payload = new Uint8Array(length);
    payload.set(ODD_START.subarray(0, length));
    return forgedPacket(payload, injector);
  });
  await fire(
    { victim, which: 'server', injector },
    ODD_TRIES,
    (index) => packets[index % packets.length] as Uint8Array,
  );
  const after = await trafficOf(victim);
  return ODD_TRIES - grown(before, after, 'drop_bad_length') + grown(before, after, 'gmpsReceived');
}

/** Whether only honest connections are left by the deadline. Returns how long that took. */
async function freedAfter(victim: Victim, served: number): Promise<number | undefined> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < FREE_MILLIS) {
    const { connections, halfOpen, lookups } = await victim.call('census', 'server');
    if (connections <= served && halfOpen === 0 && lookups === 0) return performance.now() - startedAt;
    await pause(LOOK_MILLIS);
  }
  return undefined;
}

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startCmVictim(context);
  const watch = new Watch(victim);
  await victim.call('connect');
  watch.served++;
  const start = await trafficOf(victim);

  const refused = await watch.during(
    flood(context, victim, REFUSED_TRIES, (forger, index) =>
      (REFUSED[index % REFUSED.length] as (typeof REFUSED)[number])(forger),
    ),
  );
  await victim.call('refuseWaiting');
  const afterRefused = await trafficOf(victim);
  const answers = afterRefused.left - start.left;
  const odd = await oddPackets(victim);
  const beforeAccepted = await trafficOf(victim);
  const accepted = await watch.during(
    flood(context, victim, ACCEPTED_TRIES, (forger) => forger.req(CmServicePort.OPEN)),
  );
  const freed = await freedAfter(victim, watch.served);
  const end = await trafficOf(victim);
  const taken = grown(beforeAccepted, end, 'cm_requests');
  const given = end.left - beforeAccepted.left;
  const excess =
    Math.max(0, answers - (afterRefused.arrived - start.arrived)) + Math.max(0, given - MOST_ANSWERS * taken);
  const hits = watch.failed + excess + odd;
  const isBounded =
    watch.mostHalfOpen <= MOST_HALF_OPEN && watch.mostKept <= MOST_HALF_OPEN + 2 * MOST_REMEMBERED;
  return {
    tries: refused + accepted + ODD_TRIES,
    hits,
    expected: 0,
    pass: hits === 0 && isBounded && freed !== undefined,
    note: [
      `${ADDRESSES} addresses: ${refused} requests that nobody accepts got ${answers} answers; of ${accepted} at a program that ` +
        `accepts all, ${taken} were told to it, honest ones with them, and got ${given} packets ` +
        `(${rounded(given / Math.max(taken, 1))} each, ` +
        `${MOST_ANSWERS} at most)`,
      `${watch.served} honest clients connected meanwhile, ${watch.failed} not, the slowest in ${rounded(watch.slowestMillis)} ms`,
      `at most ${watch.mostHalfOpen} unfinished requests (${MOST_HALF_OPEN} allowed) and ${watch.mostKept} things kept, ` +
        `${freed === undefined ? 'NOT freed' : `all free ${rounded(freed / 1000)} s after`}`,
      `${ODD_TRIES} packets of other lengths than 256: ${odd} effects`,
      `counted: ${namesOfDrops(start, end)}`,
    ].join('; '),
  };
}

const ODD_START = writeCmMessage({
  type: 'DREQ',
  transactionId: 1n,
  localCommId: 1,
  remoteCommId: 1,
  qpn: 2,
  privateData: NOTHING,
} satisfies CmMessage);

function namesOfDrops(start: Traffic, end: Traffic): string {
  const drops = Object.keys(end.counters)
    .filter((name) => name.startsWith('drop_') || name === 'cm_evicted')
    .map((name) => [name, grown(start, end, name)] as const)
    .filter(([, count]) => count > 0);
  return drops.map(([name, count]) => `${count} × ${name}`).join(', ');
}

export const REQUEST_FLOOD: Attack = {
  name: 'A19',
  title:
    'floods of rdma_cm requests from many addresses (hits: clients kept out, packets too many, odd packets that did something)',
  run,
};
