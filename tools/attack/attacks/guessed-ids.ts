/**
 * Whoever names a connection of rdma_cm ends it: an attacker who sees nothing guesses the numbers, from the peer's address. A
 * DREQ must name both communication IDs and the queue pair, a REJ both IDs; a client that waits for its answer takes a REJ
 * that names its ID and its transaction. On a space of few bits hits can be counted; on the full one none comes. An RTU or a
 * REP for a connection that lives does nothing, whatever it names.
 */
import { CmSubject } from '../../../src/roce/cm/wire/attributes.js';
import type { CmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { ForgedGmp } from '../forged-gmp.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { duration, fitsBinomial, rounded } from '../statistics.js';
import { CmServicePort, type CmVictim } from '../victims/cm-victim.js';
import { startCmVictim } from '../victims/start.js';
import type { VictimProcess } from '../victims/victim-process.js';

const BITS = 5;
const SPACE = 2 ** BITS;
/** 0 is no communication ID; 0 and 1 are no queue pair of a program. */
const IDS = SPACE - 1;
const QPNS = SPACE - 2;
const TARGETS = 12;
const CONSUMER_REJECT = 28;
const NOTHING = new Uint8Array(0);

/** Numbers as an attacker draws them who knows how large each space is. */
class Guesser {
  readonly #context: AttackContext;
  readonly #isFull: boolean;

  constructor(context: AttackContext, isFull: boolean) {
    this.#context = context;
    this.#isFull = isFull;
  }

  id(): number {
    return this.#isFull ? this.#u32() || 1 : 1 + this.#context.random.below(IDS);
  }

  qpn(): number {
    return this.#isFull ? this.#u32() >>> 8 : 2 + this.#context.random.below(QPNS);
  }

  transactionId(): bigint {
    const word = (): bigint => BigInt(this.#isFull ? this.#u32() : this.#context.random.below(SPACE));
    return (word() << 32n) | word();
  }

  #u32(): number {
    return this.#context.random.u32();
  }
}

interface Kind {
  readonly name: string;
  /** Whom it is sent to, and in whose name. */
  readonly to: 'server' | 'client';
  readonly from: string;
  readonly tries: number;
  /** That one try hits one target, on the reduced space; on the full one it has so many bits. */
  readonly probability: number;
  readonly bits: number;
  message(guess: Guesser): CmMessage;
}

const pair = (guess: Guesser) => ({
  transactionId: guess.transactionId(),
  localCommId: guess.id(),
  remoteCommId: guess.id(),
  privateData: NOTHING,
});

const rejection = { type: 'REJ', subject: CmSubject.REQ, reason: CONSUMER_REJECT, info: NOTHING } as const;

const KINDS: readonly Kind[] = [
  {
    name: 'DREQ',
    to: 'server',
    from: HOSTS.client,
    tries: 16_384,
    probability: 1 / (IDS * IDS * QPNS),
    bits: 88,
    message: (guess) => ({ type: 'DREQ', ...pair(guess), qpn: guess.qpn() }),
  },
  {
    name: 'REJ',
    to: 'server',
    from: HOSTS.client,
    tries: 1024,
    probability: 1 / (IDS * IDS),
    bits: 64,
    message: (guess) => ({ ...rejection, ...pair(guess) }),
  },
  {
    name: 'REJ for a REQ',
    to: 'client',
    from: HOSTS.stranger,
    tries: 16_384,
    probability: 1 / (IDS * SPACE * SPACE),
    bits: 96,
    message: (guess) => ({ ...rejection, ...pair(guess) }),
  },
];

const HARMLESS: readonly ((guess: Guesser) => CmMessage)[] = [
  (guess) => ({ type: 'RTU', ...pair(guess) }),
  (guess) => ({
    type: 'REP',
    ...pair(guess),
    qpn: guess.qpn(),
    startingPsn: 0,
    responderResources: 1,
    initiatorDepth: 1,
    ackDelay: 15,
    flowControl: false,
    rnrRetryCount: 7,
    hasSrq: false,
    caGuid: 1n,
  }),
];
const HARMLESS_TRIES = 2048;

interface Salvo {
  readonly kind: Kind;
  readonly tries: number;
  readonly hits: number;
  readonly expected: number;
  readonly fits: boolean;
}

async function salvo(
  victim: VictimProcess<CmVictim>,
  kind: Kind,
  guess: Guesser,
  isFull: boolean,
): Promise<Salvo> {
  const before = await hitsOf(victim, kind);
  await using injector = await Injector.open(kind.from, HOSTS[kind.to]);
  const forged = new ForgedGmp(injector);
  const arrived = await fire({ victim, which: kind.to, injector }, kind.tries, () =>
    forged.packet(kind.message(guess)),
  );
  // Packets of others may be among them.
  const tries = Math.min(arrived, kind.tries);
  const hits = (await hitsOf(victim, kind)) - before;
  const left = TARGETS - before;
  const perTarget = 1 - (1 - (isFull ? 2 ** -kind.bits : kind.probability)) ** tries;
  return { kind, tries, hits, expected: left * perTarget, fits: fitsBinomial(hits, left, perTarget) };
}

/** Targets that have fallen. */
async function hitsOf(victim: VictimProcess<CmVictim>, { to }: Kind): Promise<number> {
  if (to === 'client') return (await victim.call('requests')).filter((state) => state !== 'waiting').length;
  return (await victim.call('ends', 'server')).filter((state) => state !== 'live').length;
}

/** RTUs and REPs at both ends of connections that live. Returns how many of these ended. */
async function harmless(victim: VictimProcess<CmVictim>, guess: Guesser): Promise<number> {
  let effects = 0;
  for (const which of ['server', 'client'] as const) {
    const before = (await victim.call('ends', which)).filter((state) => state !== 'live').length;
    const from = which === 'server' ? HOSTS.client : HOSTS.server;
    await using injector = await Injector.open(from, HOSTS[which]);
    const forged = new ForgedGmp(injector);
    await fire({ victim, which, injector }, HARMLESS_TRIES, (index) =>
      forged.packet((HARMLESS[index % HARMLESS.length] as (typeof HARMLESS)[number])(guess)),
    );
    effects += (await victim.call('ends', which)).filter((state) => state !== 'live').length - before;
  }
  return effects;
}

async function attackAll(
  context: AttackContext,
  isFull: boolean,
): Promise<{ salvos: Salvo[]; effects: number; rate: number }> {
  await using victim = await startCmVictim(context, isFull ? {} : { bits: BITS });
  const guess = new Guesser(context, isFull);
  for (let i = 0; i < TARGETS; i++) await victim.call('connect');
  await victim.call('ask', HOSTS.stranger, CmServicePort.NOBODY, TARGETS);
  const effects = await harmless(victim, guess);
  const salvos: Salvo[] = [];
  const startedAt = performance.now();
  for (const kind of KINDS) {
    salvos.push(await salvo(victim, kind, guess, isFull));
    context.progress(`${kind.name}: ${salvos.at(-1)?.hits} hits`);
  }
  const packets = salvos.reduce((sum, { tries }) => sum + tries, 0);
  return { salvos, effects, rate: packets / ((performance.now() - startedAt) / 1000) };
}

const sum = (salvos: readonly Salvo[], of: (salvo: Salvo) => number): number =>
  salvos.reduce((total, each) => total + of(each), 0);

async function run(context: AttackContext): Promise<Outcome> {
  const reduced = await attackAll(context, false);
  const whole = await attackAll(context, true);
  const wholeHits = sum(whole.salvos, ({ hits }) => hits);
  const cost = (kind: Kind): string => duration(2 ** (kind.bits - 1) / TARGETS / whole.rate);
  const kinds = reduced.salvos.map(
    ({ kind, hits, expected, tries }) =>
      `${kind.name} ${hits} of ${TARGETS} in ${tries}, ${rounded(expected)} expected ` +
      `(${kind.bits} bits in full: ${cost(kind)})`,
  );
  return {
    tries: sum(reduced.salvos, ({ tries }) => tries),
    hits: sum(reduced.salvos, ({ hits }) => hits),
    expected: sum(reduced.salvos, ({ expected }) => expected),
    pass:
      reduced.salvos.every(({ fits, tries, kind }) => fits && tries > 0.99 * kind.tries) &&
      reduced.effects === 0 &&
      wholeHits === 0 &&
      whole.effects === 0,
    note:
      `numbers of ${BITS} bits: ${kinds.join('; ')}; with all bits ${wholeHits} hits in ` +
      `${sum(whole.salvos, ({ tries }) => tries)}; RTUs and REPs at live connections: ` +
      `${reduced.effects + whole.effects} effects`,
  };
}

export const GUESSED_IDS: Attack = {
  name: 'A17',
  title: "guesses the IDs of rdma_cm connections from the peer's address (hits: connections ended)",
  run,
};
