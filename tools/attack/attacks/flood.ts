/**
 * A flood of SENDs with random PSNs at a queue pair that is in the middle of a transfer. It costs the transfer time, and
 * one that fills the socket's buffer ends the queue pair; but no message may be damaged, and none be acknowledged that
 * has not arrived. And whoever's address the attacker uses gets no more packets than the attacker sends.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';
import type { Target, TransferReport } from '../victims/verbs-victim.js';

const MESSAGES = 4000;
const IDLE_FLOOD = 100_000;
/** Packets a second; the last one is as fast as this sender can. */
const RATES = [5000, 20_000, Number.POSITIVE_INFINITY];
/** Replies that the victim may give: the burst of its limit with what it owes, and its rate. */
const MOST_REPLIES = 64;
const MOST_REPLIES_PER_MILLI = 10;
/** A flood ends by itself, whatever becomes of the transfer. */
const MOST_MILLIS = 20_000;

const PACE_MILLIS = 2;

function template({ serverQpn }: Target, { source, destination }: Injector): PacketTemplate {
  const spec = {
    opcode: Opcode.RC_SEND_ONLY,
    psn: 0,
    destQpn: serverQpn,
    payload: new Uint8Array(8),
    ackReq: true,
  };
  return new PacketTemplate(spec, source, destination);
}

/** Packets at about `perSecond`, until `isOver`. Returns how many. */
async function flood(
  injector: Injector,
  packet: () => Uint8Array,
  perSecond: number,
  isOver: () => boolean,
): Promise<number> {
  const startedAt = performance.now();
  let sent = 0;
  while (!isOver() && performance.now() - startedAt < MOST_MILLIS) {
    const due = ((performance.now() - startedAt) / 1000) * perSecond;
    const goal = Math.min(due, sent + 256);
    for (; sent < goal; sent++) injector.send(packet());
    await injector.flush();
    await new Promise((resolve) =>
      setTimeout(resolve, perSecond === Number.POSITIVE_INFINITY ? 0 : PACE_MILLIS),
    );
  }
  return sent;
}

/** Messages that came otherwise than sent, or did not come although the sender was told so. */
const damageOf = ({ arrived, intact, acknowledged }: TransferReport): number =>
  arrived - intact + Math.max(0, acknowledged - intact);

const goodput = ({ bytes, millis }: TransferReport): string => `${rounded(bytes / millis / 1000)} MB/s`;

async function run(context: AttackContext): Promise<Outcome> {
  const { random, progress } = context;
  await using victim = await startVerbsVictim(context);
  let target = await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);

  let packets = template(target, injector);
  const random24 = (): Uint8Array => packets.psn(random.u32() >>> 8).packet();
  const before = await victim.call('left', 'server');
  const floodedAt = performance.now();
  const idle = await fire({ victim, which: 'server', injector }, IDLE_FLOOD, random24);
  const replies = (await victim.call('left', 'server')) - before;
  const allowed = MOST_REPLIES + MOST_REPLIES_PER_MILLI * (performance.now() - floodedAt);

  const quiet = await victim.call('transfer', MESSAGES);
  const notes = [
    `idle: ${replies} replies to ${idle} packets, ${rounded(allowed)} allowed in that time`,
    `a transfer of ${MESSAGES} messages of 4 KiB: ${goodput(quiet)} without a flood`,
  ];
  let tries = idle;
  let damaged = damageOf(quiet);
  for (const rate of RATES) {
    await victim.call('disconnect');
    target = await victim.call('connect');
    packets = template(target, injector);
    let isOver = false;
    const transfer = victim.call('transfer', MESSAGES).finally(() => {
      isOver = true;
    });
    const startedAt = performance.now();
    const sent = await flood(injector, random24, rate, () => isOver);
    const report = await transfer;
    const perSecond = sent / ((performance.now() - startedAt) / 1000);
    tries += sent;
    damaged += damageOf(report);
    const end = report.end === 'RTS' ? '' : ` until ${report.end} after ${report.intact} messages`;
    notes.push(`${goodput(report)} under ${rounded(perSecond)} packets/s${end}`);
    progress(notes.at(-1) as string);
  }
  return {
    tries,
    hits: damaged,
    expected: 0,
    pass: damaged === 0 && replies <= Math.min(idle, allowed),
    note: notes.join('; '),
  };
}

export const FLOOD: Attack = {
  name: 'A8',
  title: 'a flood of random PSNs during a transfer (hits: messages damaged)',
  run,
};
