/**
 * An attacker who knows everything, PSN and key included, but cannot send from the peer's address, or not from the port
 * that the peer declared.
 */
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { PacketTemplate } from '../packet-template.js';
import { rounded } from '../statistics.js';
import { startVerbsVictim } from '../victims/start.js';
import type { Target } from '../victims/verbs-victim.js';

const TRIES = 1_000_000;
/** A port of the client that is not the standard one, so that the server holds it to that port. */
const DECLARED_PORT = 4792;

const KINDS = ['SEND', 'WRITE', 'ACK', 'CNP'] as const;

/** What would be accepted at once if it came from the right place. */
function templates(target: Target, { source, destination }: Injector): PacketTemplate[] {
  const { serverQpn: destQpn, clientPsn: psn, serverPsn, va, rkey } = target;
  const payload = new Uint8Array(8);
  const reth = { va, rkey, length: payload.length };
  return [
    { opcode: Opcode.RC_SEND_ONLY, psn, destQpn, payload, ackReq: true },
    { opcode: Opcode.RC_WRITE_ONLY, psn, destQpn, payload, reth, ackReq: true },
    { opcode: Opcode.RC_ACKNOWLEDGE, psn: serverPsn, destQpn, aeth: { syndrome: 0x1f } },
    { opcode: Opcode.CNP, psn: 0, destQpn, payload: new Uint8Array(16) },
  ].map((spec) => new PacketTemplate(spec, source, destination));
}

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startVerbsVictim(context, { clientPort: DECLARED_PORT });
  const target = await victim.call('connect');
  await using elsewhere = await Injector.open(HOSTS.stranger, HOSTS.server, DECLARED_PORT);
  await using otherPort = await Injector.open(HOSTS.client, HOSTS.server);
  const startedAt = performance.now();
  let tries = 0;
  for (const injector of [elsewhere, otherPort]) {
    const packets = templates(target, injector).map((template) => template.packet());
    tries += await fire(
      { victim, which: 'server', injector },
      TRIES / 2,
      (index) => packets[index % packets.length] as Uint8Array,
      (sent) => {
        context.progress(`${tries + sent} of ${TRIES} packets`);
        return false;
      },
    );
  }
  const rate = tries / ((performance.now() - startedAt) / 1000);
  const { counters, received, state } = await victim.call('report', 'server');
  const refused = counters['drop_wrong_source'] ?? 0;
  const answered = await victim.call('left', 'server');
  const hits = tries - refused;
  return {
    tries,
    hits,
    expected: 0,
    // Lost packets would be no tries.
    pass: hits === 0 && tries > 0.99 * TRIES && received === 0 && state === 'RTS' && answered === 0,
    note:
      `${KINDS.join(', ')} with all numbers right, from another address and from another port: ${refused} counted as ` +
      `wrong_source, ${answered} answered, at ${rounded(rate)} packets/s`,
  };
}

export const WRONG_SOURCE: Attack = {
  name: 'A7',
  title: 'right numbers from the wrong address or port',
  run,
};
