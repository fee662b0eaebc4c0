/**
 * A congestion notification carries no PSN: whoever knows the queue pair number can forge it, and a sender slows down.
 * What must hold is the floor: the window never goes below its minimum, and the transfer ends.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';
import type { TransferReport } from '../victims/verbs-victim.js';

const MESSAGES = 8000;
const BATCH = 64;
const MOST_CNPS = 500_000;
/** Packets in flight that a sender keeps, whatever it is told. */
const FLOOR = 3;

const goodput = ({ bytes, millis }: TransferReport): string => `${rounded(bytes / millis / 1000)} MB/s`;

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startVerbsVictim(context);
  const target = await victim.call('connect');
  await using injector = await Injector.open(HOSTS.server, HOSTS.client);
  const spec = { opcode: Opcode.CNP, psn: 0, destQpn: target.clientQpn, payload: new Uint8Array(16) };
  const packet = new PacketTemplate(spec, injector.source, injector.destination).packet();

  const quiet = await victim.call('transfer', MESSAGES);
  let isOver = false;
  const transfer = victim.call('transfer', MESSAGES).finally(() => {
    isOver = true;
  });
  let tries = 0;
  while (!isOver && tries < MOST_CNPS) {
    for (let i = 0; i < BATCH; i++) injector.send(packet);
    tries += BATCH;
    await injector.flush();
    context.progress(`${tries} CNPs`);
  }
  const slowed = await transfer;
  const { counters, state } = await victim.call('report', 'client');
  const taken = counters['cnpsReceived'] ?? 0;
  const lost = slowed.messages - slowed.intact;
  return {
    tries,
    hits: lost,
    expected: 0,
    pass: lost === 0 && state === 'RTS' && taken > 0 && slowed.smallestWindow >= FLOOR,
    note:
      `${taken} CNPs took effect; smallest window ${slowed.smallestWindow} packets (floor ${FLOOR}); ` +
      `${MESSAGES} messages of 4 KiB: ${goodput(slowed)} against ${goodput(quiet)} without`,
  };
}

export const FORGED_CNP: Attack = {
  name: 'A13',
  title: 'forged congestion notifications during a transfer (hits: messages lost)',
  run,
};
