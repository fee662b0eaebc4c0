/**
 * An attacker has recorded a session and plays it to the next one between the same two. As recorded it reaches nobody,
 * because the queue pair has another number; with the new number in it, it is right only if the new PSN happens to lie
 * among the recorded ones.
 */
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { readdress } from '../packet-template.js';
import { duration, fitsBinomial, rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';

const BITS = 16;
const RUNS = 64;
/** Packets of the recorded session. */
const RECORDED = 4096;
const MESSAGE_BYTES = 64;
const FULL_SPACE = 2 ** 24;

function withQpn(packet: Uint8Array, qpn: number): Uint8Array {
  const copy = Uint8Array.from(packet);
  copy.set([qpn >>> 16, (qpn >>> 8) & 0xff, qpn & 0xff], 5);
  return copy;
}

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startVerbsVictim(context, { psnBits: BITS });
  await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  await victim.call('tap', 'server', true);
  await victim.call('transfer', RECORDED, MESSAGE_BYTES);
  // Repetitions are of no use to the attacker.
  const heard = await victim.call('tap', 'server', false);
  const recorded = [...new Map(heard.map((packet) => [psnOf(packet), packet])).values()].map((packet) =>
    readdress(packet, injector.source, injector.destination),
  );
  const barrage = { victim, which: 'server', injector } as const;

  await victim.call('disconnect');
  await victim.call('connect');
  await fire(barrage, recorded.length, (index) => recorded[index] as Uint8Array);
  const asRecorded = await victim.call('takeReceived', 'server');

  let hits = 0;
  let tries = 0;
  const startedAt = performance.now();
  for (let number = 0; number < RUNS; number++) {
    await victim.call('disconnect');
    const { serverQpn } = await victim.call('connect');
    const packets = recorded.map((packet) =>
      readdress(withQpn(packet, serverQpn), injector.source, injector.destination),
    );
    tries += await fire(barrage, packets.length, (index) => packets[index] as Uint8Array);
    if ((await victim.call('takeReceived', 'server')).length > 0) hits++;
    context.progress(`session ${number + 1} of ${RUNS}: ${hits} hit`);
  }
  const rate = tries / ((performance.now() - startedAt) / 1000);
  const probability = recorded.length / 2 ** BITS;
  const full = recorded.length / FULL_SPACE;
  return {
    tries,
    hits,
    expected: RUNS * probability,
    pass: asRecorded.length === 0 && recorded.length >= RECORDED && fitsBinomial(hits, RUNS, probability),
    note:
      `${recorded.length} recorded packets; as recorded ${asRecorded.length} accepted; with the new queue pair number ` +
      `${hits} of ${RUNS} sessions hit on ${BITS} bits; on 2^24 one session in ${rounded(1 / full)}, ` +
      `${duration(1 / full / (rate / recorded.length))} of sessions at ${rounded(rate)} packets/s`,
  };
}

const psnOf = (packet: Uint8Array): number =>
  ((packet[9] as number) << 16) | ((packet[10] as number) << 8) | (packet[11] as number);

export const REPLAY: Attack = {
  name: 'A12',
  title: 'a recorded session played to the next one (hits: sessions that took any of it)',
  run,
};
