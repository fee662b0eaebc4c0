/**
 * A man in the middle who sees every packet and can change it, ICRC and all, against encrypted connections: single bits,
 * messages exchanged, messages repeated, bytes of RDMA writes. None of it may reach the program. The same against
 * connections in the clear shows that the man in the middle can do it.
 */
import { randomBytes } from 'node:crypto';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import type { Listening, ServerVictim } from '../victims/server-victim.js';
import { clientOf, connectServed, startServerVictim } from '../victims/start.js';
import type { TamperPlan } from '../victims/tampering-port.js';
import type { VictimProcess } from '../victims/victim-process.js';

const MESSAGES = 12;
const MESSAGE_BYTES = 200;
/** Of the header before every message, which is not the program's. */
const HEADER_BYTES = 24;
const END_MILLIS = 15_000;

interface Kind {
  readonly name: string;
  readonly plan: Pick<TamperPlan, 'kind' | 'of'>;
  readonly runs: number;
}

const KINDS: readonly Kind[] = [
  { name: 'bits of messages', plan: { kind: 'flip', of: 'send' }, runs: 40 },
  { name: 'messages exchanged', plan: { kind: 'swap', of: 'send' }, runs: 12 },
  { name: 'messages repeated', plan: { kind: 'repeat', of: 'send' }, runs: 12 },
  { name: 'bits of RDMA writes', plan: { kind: 'flip', of: 'write' }, runs: 16 },
];
const CLEAR_RUNS = 8;

interface Verdict {
  readonly altered: number;
  readonly isTampered: boolean;
  readonly end: string;
}

async function attackOnce(
  victim: VictimProcess<ServerVictim>,
  listening: Listening,
  plan: TamperPlan,
  isEncrypted: boolean,
): Promise<Verdict> {
  await victim.call('arm', plan);
  const connection = await connectServed(victim, {
    ...clientOf(listening),
    recoveryMillis: 2000,
    ...(isEncrypted ? { encryption: 'aes-256-gcm' as const } : {}),
  });
  const late = setTimeout(() => void connection.close(), END_MILLIS);
  const sent = Array.from({ length: MESSAGES }, () => randomBytes(MESSAGE_BYTES));
  const written = randomBytes(1024);
  const work: Promise<unknown>[] = [];
  if (plan.of === 'write' && connection.remoteBuffer !== null) {
    work.push(connection.write(connection.remoteBuffer.at(0, written.length), written));
  }
  for (const message of sent) work.push(connection.send(message));
  await Promise.allSettled(work);
  await connection.close();
  clearTimeout(late);
  const { messages, memory, end } = await victim.call('outcome');
  const tampered = await victim.call('tampered');
  await victim.call('arm', null);
  const altered = messages.filter((message, index) => !sent[index]?.equals(message)).length;
  const isWritten = plan.of === 'write' && !isHarmless(memory.subarray(0, written.length), written);
  return { altered: altered + (isWritten ? 1 : 0), isTampered: tampered > 0, end };
}

/** The program's memory holds what was written, or nothing; not what the man in the middle made of it. */
function isHarmless(memory: Uint8Array, written: Buffer): boolean {
  return memory.every((byte) => byte === 0) || written.equals(memory);
}

function planOf({ plan }: Kind, { random }: AttackContext, isEncrypted: boolean): TamperPlan {
  const at = plan.of === 'write' ? 0 : 2 + random.below(MESSAGES - 4);
  const skipBytes = isEncrypted || plan.of === 'write' ? 0 : HEADER_BYTES;
  return { ...plan, at, bit: random.u32(), skipBytes, leastBytes: MESSAGE_BYTES };
}

async function run(context: AttackContext): Promise<Outcome> {
  const { victim, listening } = await startServerVictim({ echo: false });
  await using _ = victim;
  let tries = 0;
  let hits = 0;
  let missed = 0;
  let clear = 0;
  const ends = new Map<string, number>();
  for (const kind of KINDS) {
    for (let number = 0; number < kind.runs; number++) {
      const verdict = await attackOnce(victim, listening, planOf(kind, context, true), true);
      tries++;
      hits += verdict.altered;
      if (!verdict.isTampered) missed++;
      ends.set(verdict.end, (ends.get(verdict.end) ?? 0) + 1);
      context.progress(`${kind.name}: ${number + 1} of ${kind.runs}, ${hits} altered so far`);
    }
  }
  for (let number = 0; number < CLEAR_RUNS; number++) {
    const kind = KINDS[number % 2 === 0 ? 0 : 3] as Kind;
    const plan = planOf(kind, context, false);
    const verdict = await attackOnce(victim, listening, plan, false);
    if (verdict.altered > 0) clear++;
  }
  await victim.call('stop');
  const seen = ends.get('ERR_RDMA_INTEGRITY') ?? 0;
  return {
    tries,
    hits,
    expected: 0,
    pass: hits === 0 && missed === 0 && seen === tries && clear === CLEAR_RUNS,
    note: [
      `${KINDS.map(({ name, runs }) => `${runs} × ${name}`).join(', ')}, each with the right ICRC`,
      `the server ended with ${[...ends].map(([end, count]) => `${count} × ${end}`).join(', ')}`,
      `in the clear ${clear} of ${CLEAR_RUNS} reached the program unnoticed`,
      'visible in either mode: who talks to whom, when, sizes, message headers, addresses and keys of memory',
    ].join('; '),
  };
}

export const TAMPERING: Attack = {
  name: 'A15',
  title: 'a man in the middle changes, exchanges and repeats encrypted packets (hits: altered and delivered)',
  run,
};
