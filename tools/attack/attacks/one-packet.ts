/**
 * An attacker who knows the PSN needs one packet to end a connection: the protocol answers a request that may not be
 * carried out by putting the queue pair into ERR. What must hold is that memory does not change, that no other queue
 * pair of the device notices, and that the connection works again soon.
 */

import { connect } from '../../../src/connection/client/client.js';
import { psnAdd } from '../../../src/roce/psn.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { craftPacket, type PacketSpec } from '../../../testkit/craft-packet.js';
import { UDP_ONLY } from '../../../testkit/udp-only.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { rounded } from '../statistics.js';
import type { Listening } from '../victims/server-victim.js';
import { clientOf, startServerVictim, startVerbsVictim } from '../victims/start.js';
import type { Target } from '../victims/verbs-victim.js';

const payload = new Uint8Array(16).fill(0xaa);

/** Name and what is wrong with it, given a target. */
const POISONS: readonly (readonly [string, (target: Target) => Partial<PacketSpec> & { opcode: number }])[] =
  [
    [
      'a WRITE with an rkey of nothing',
      ({ va, rkey }) => ({ opcode: Opcode.RC_WRITE_ONLY, payload, reth: { va, rkey: rkey ^ 1, length: 16 } }),
    ],
    [
      'a WRITE beyond the window',
      ({ va, rkey, windowBytes }) => ({
        opcode: Opcode.RC_WRITE_ONLY,
        payload,
        reth: { va: va + windowBytes - 8, rkey, length: 16 },
      }),
    ],
    [
      'a WRITE whose length is not that of its payload',
      ({ va, rkey }) => ({ opcode: Opcode.RC_WRITE_ONLY, payload, reth: { va, rkey, length: 4096 } }),
    ],
    [
      'a READ with an rkey of nothing',
      ({ va, rkey }) => ({ opcode: Opcode.RC_READ_REQUEST, reth: { va, rkey: rkey ^ 1, length: 16 } }),
    ],
    [
      'a READ around the end of the address space',
      ({ rkey }) => ({
        opcode: Opcode.RC_READ_REQUEST,
        reth: { va: 0, rkey, length: 4096 },
        va64: 0xffff_ffff_ffff_ff00n,
      }),
    ],
    [
      'a SEND that begins in the middle',
      () => ({ opcode: Opcode.RC_SEND_MIDDLE, payload: new Uint8Array(4096) }),
    ],
    [
      'an atomic without the right',
      ({ va, rkey }) => ({ opcode: Opcode.RC_FETCH_ADD, atomic: { va, rkey, swapAdd: 1 } }),
    ],
  ];

const RECOVERY_RUNS = 5;

/** Milliseconds from the poisoned packet until a message has gone there and back; `undefined` when it never did. */
async function recoveryMillis(listening: Listening, injector: Injector): Promise<number | undefined> {
  let destQpn = 0;
  let firstPsn = 0;
  const connection = await connect({
    ...clientOf(listening),
    // The standard port, from which others may send too.
    device: `soft:${HOSTS.client}?io=${UDP_ONLY}`,
    revealPsns: true,
    onStep: ({ details }) => {
      destQpn = Number(details['peerQpn'] ?? destQpn);
      firstPsn = Number(details['sqPsn'] ?? firstPsn);
    },
  });
  const reth = { va: 2 ** 45, rkey: 1, length: payload.length };
  // The first two packets of a connection were the proof that packets come through.
  const psn = psnAdd(firstPsn, 2);
  const spec = { opcode: Opcode.RC_WRITE_ONLY, psn, destQpn, payload, reth, ackReq: true };
  injector.send(craftPacket(spec, injector.source, injector.destination));
  await injector.flush();
  const startedAt = performance.now();
  try {
    await connection.send('is this still going?');
    const answer = await connection.receive();
    const millis = performance.now() - startedAt;
    const { recoveries } = connection.statistics;
    return answer !== undefined && recoveries > 0 ? millis : undefined;
  } finally {
    await connection.close();
  }
}

/** How long a whole connection takes to work again. */
async function recoveries(): Promise<(number | undefined)[]> {
  const { victim, listening } = await startServerVictim();
  await using _ = victim;
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  const results: (number | undefined)[] = [];
  for (let run = 0; run < RECOVERY_RUNS; run++) results.push(await recoveryMillis(listening, injector));
  await victim.call('stop');
  return results;
}

async function kill(context: AttackContext): Promise<{ hits: number; wrong: string[] }> {
  await using victim = await startVerbsVictim(context);
  await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  let hits = 0;
  const wrong: string[] = [];
  for (const [name, poison] of POISONS) {
    await victim.call('disconnect');
    const target = await victim.call('connect');
    const spec = { ...poison(target), psn: target.clientPsn, destQpn: target.serverQpn };
    const packet = craftPacket(spec, injector.source, injector.destination);
    await fire({ victim, which: 'server', injector }, 1, () => packet);
    const { state } = await victim.call('report', 'server');
    if (state === 'ERR') hits++;
    else wrong.push(`${name} left the queue pair in ${state}`);
    if (!(await victim.call('windowIsClean'))) wrong.push(`${name} changed memory`);
    // The bystander was connected after the attack, on the same two devices.
    await victim.call('connect');
    const { failures } = await victim.call('send', 'client', Buffer.from('unharmed'));
    if (failures.length > 0) wrong.push(`after ${name} another queue pair failed: ${failures.join()}`);
  }
  return { hits, wrong };
}

async function run(context: AttackContext): Promise<Outcome> {
  const { hits, wrong } = await kill(context);
  const times = await recoveries();
  const worked = times.filter((millis) => millis !== undefined).sort((a, b) => a - b);
  return {
    tries: POISONS.length,
    hits,
    expected: POISONS.length,
    pass: hits === POISONS.length && wrong.length === 0 && worked.length === RECOVERY_RUNS,
    note: [
      `one packet each ends the queue pair, as the protocol demands: ${POISONS.map(([name]) => name).join(', ')}`,
      'no byte of memory changed, and other queue pairs of both devices go on',
      `a whole connection works again after ${worked.map((millis) => rounded(millis)).join(', ')} ms ` +
        `(${worked.length} of ${RECOVERY_RUNS} recovered)`,
      ...wrong,
    ].join('; '),
  };
}

export const ONE_PACKET: Attack = {
  name: 'A6',
  title: 'one packet with the right PSN that may not be carried out',
  run,
};
