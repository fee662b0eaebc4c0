/**
 * An attacker who knows neither the queue pair's number nor its PSN sends SENDs with both at random. On a space of 16
 * bits for the two together hits can be counted; on the full one, of 48 bits, none comes.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { duration, fitsBinomial, rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';

const PSN_BITS = 8;
const QPN_BITS = 8;
const OPEN_QPS = 4;
const TRIES = 200_000;
const FULL_BITS = 48;

interface Salvo {
  readonly tries: number;
  readonly hits: number;
  readonly rate: number;
}

async function salvo(
  context: AttackContext,
  psnBits: number,
  qpnBits: number,
  tries: number,
): Promise<Salvo> {
  const { random } = context;
  await using victim = await startVerbsVictim(context, qpnBits === 24 ? {} : { psnBits, qpnBits });
  for (let i = 0; i < OPEN_QPS; i++) await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  const spec = { opcode: Opcode.RC_SEND_ONLY, psn: 0, destQpn: 0, payload: new Uint8Array(8) };
  const template = new PacketTemplate(spec, injector.source, injector.destination);
  const startedAt = performance.now();
  let hits = 0;
  const arrived = await fire(
    { victim, which: 'server', injector },
    tries,
    () =>
      template
        .qpn(random.u32() >>> (32 - qpnBits))
        .psn(random.u32() >>> (32 - psnBits))
        .packet(),
    async (sent) => {
      hits += await victim.call('takeReceivedOfAll', 'server');
      context.progress(`${sent} of ${tries} packets, ${hits} hits`);
      return false;
    },
  );
  return { tries: arrived, hits, rate: arrived / ((performance.now() - startedAt) / 1000) };
}

async function run(context: AttackContext): Promise<Outcome> {
  const reduced = await salvo(context, PSN_BITS, QPN_BITS, TRIES);
  const whole = await salvo(context, 24, 24, TRIES);
  const probability = OPEN_QPS / 2 ** (PSN_BITS + QPN_BITS);
  const cost = 2 ** FULL_BITS / OPEN_QPS / reduced.rate;
  return {
    tries: reduced.tries,
    hits: reduced.hits,
    expected: reduced.tries * probability,
    pass: fitsBinomial(reduced.hits, reduced.tries, probability) && whole.hits === 0,
    note:
      `${OPEN_QPS} queue pairs open, ${PSN_BITS + QPN_BITS} bits to guess; on all ${FULL_BITS} bits ${whole.hits} hits ` +
      `in ${whole.tries}, and one takes ${duration(cost)} at the ${rounded(reduced.rate)} packets/s of this sender`,
  };
}

export const RANDOM_QPN: Attack = {
  name: 'A3',
  title: 'blind SENDs with queue pair number and PSN at random',
  run,
};
