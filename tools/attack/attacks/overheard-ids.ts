/**
 * An attacker on the path of rdma_cm reads the IDs and uses them: one forged DREQ or REJ ends a connection, one REJ a request
 * that waits. That works, because nothing in the protocol proves who says it. What must hold is the rest: the one connection
 * ends and is told why, no byte of memory changes, and the others go on. A REQ that names the queue pair of a connection, as
 * after a restart of the peer, ends nothing: the peer lives and confirms it.
 */

import { setTimeout } from 'node:timers/promises';
import { CmSubject } from '../../../src/roce/cm/wire/attributes.js';
import { type CmMessage, parseCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Dreq } from '../../../src/roce/cm/wire/pair-messages.js';
import type { Rej } from '../../../src/roce/cm/wire/rej.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { ForgedGmp, madOf } from '../forged-gmp.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { CmServicePort, type CmVictim } from '../victims/cm-victim.js';
import { startCmVictim } from '../victims/start.js';
import type { VictimProcess } from '../victims/victim-process.js';

/** One for each way to end it, and two that go on. */
const CONNECTIONS = 5;
const CONSUMER_REJECT = 28;
const NOTHING = new Uint8Array(0);
const NOTICE_MILLIS = 2000;
/** By then a connection has ended whose peer did not confirm it. */
const DOUBT_MILLIS = 5000;

/** What an attacker on the path knows of a connection. */
interface Overheard {
  readonly req: Req;
  readonly rep: Rep;
}

interface Way {
  readonly name: string;
  /** `null`: it must go on. */
  readonly ending: string | null;
  readonly counter: string;
  message(overheard: Overheard): CmMessage;
}

const WAYS: readonly Way[] = [
  {
    name: 'DREQ',
    ending: 'disconnected',
    counter: 'cm_disconnected',
    message: ({ req, rep }): Dreq => ({ ...namesOf(req, rep), type: 'DREQ', qpn: rep.qpn }),
  },
  {
    name: 'REJ',
    ending: 'rejected',
    counter: 'cm_rejected',
    message: ({ req, rep }) => rejection(namesOf(req, rep)),
  },
  {
    name: 'REQ of a restart',
    ending: null,
    counter: 'drop_cm_stale',
    message: ({ req }) => ({ ...req, localCommId: (req.localCommId ^ 1) >>> 0 || 2 }),
  },
];

const namesOf = (req: Req, rep: Rep) => ({
  transactionId: req.transactionId,
  localCommId: req.localCommId,
  remoteCommId: rep.localCommId,
  privateData: NOTHING,
});

const rejection = (names: Omit<Rej, 'type' | 'subject' | 'reason' | 'info'>): Rej => ({
  ...names,
  type: 'REJ',
  subject: CmSubject.REQ,
  reason: CONSUMER_REJECT,
  info: NOTHING,
});

const messagesOf = (packets: readonly Uint8Array[]): CmMessage[] =>
  packets.map((packet) => parseCmMessage(madOf(packet))).filter((found) => typeof found === 'object');

async function overhear(victim: VictimProcess<CmVictim>): Promise<Overheard[]> {
  const reqs = messagesOf(await victim.call('overhear', 'server')).filter((found) => found.type === 'REQ');
  const reps = messagesOf(await victim.call('overhear', 'client')).filter((found) => found.type === 'REP');
  return reqs.flatMap((req) => {
    const rep = reps.find(({ remoteCommId }) => remoteCommId === req.localCommId);
    return rep === undefined ? [] : [{ req, rep }];
  });
}

async function counter(
  victim: VictimProcess<CmVictim>,
  which: 'server' | 'client',
  name: string,
): Promise<number> {
  return (await victim.call('counters', which))[name] ?? Number.NaN;
}

/** A client that waits for an answer gets one that its peer has not said. */
async function rejectRequest(victim: VictimProcess<CmVictim>): Promise<boolean> {
  // What was heard until now is no news.
  await victim.call('overhear', 'server');
  await victim.call('ask', HOSTS.server, CmServicePort.DEAF, 1);
  let req: Req | undefined;
  const isHeard = await holdsSoon(async () => {
    const heard = messagesOf(await victim.call('overhear', 'server'));
    req = heard.find((message): message is Req => message.type === 'REQ');
    return req !== undefined;
  });
  if (!isHeard || req === undefined) return false;
  const { transactionId, localCommId: remoteCommId } = req;
  await using injector = await Injector.open(HOSTS.server, HOSTS.client);
  const forged = new ForgedGmp(injector).packet(
    rejection({ transactionId, localCommId: 0, remoteCommId, privateData: NOTHING }),
  );
  await fire({ victim, which: 'client', injector }, 1, () => forged);
  return holdsSoon(async () => (await victim.call('requests'))[0] === 'ERR_RDMA_REJECTED');
}

/** Whether it is so within the time in which anybody would notice. */
async function holdsSoon(condition: () => Promise<boolean>): Promise<boolean> {
  const until = performance.now() + NOTICE_MILLIS;
  do if (await condition()) return true;
  while (performance.now() < until);
  return false;
}

async function run(context: AttackContext): Promise<Outcome> {
  await using victim = await startCmVictim(context);
  await victim.call('overhear', 'server');
  await victim.call('overhear', 'client');
  for (let i = 0; i < CONNECTIONS; i++) await victim.call('connect');
  const overheard = await overhear(victim);
  let hits = 0;
  let isNamed = true;
  let isEach = true;
  const outcomes: string[] = [];
  {
    await using injector = await Injector.open(HOSTS.client, HOSTS.server);
    const forged = new ForgedGmp(injector);
    for (const [number, way] of WAYS.entries()) {
      const packet = forged.packet(way.message(overheard[number] as Overheard));
      const before = await counter(victim, 'server', way.counter);
      await fire({ victim, which: 'server', injector }, 1, () => packet);
      if (way.ending === null) await setTimeout(DOUBT_MILLIS);
      const wanted = way.ending ?? 'live';
      const isAsWanted = await holdsSoon(
        async () => (await victim.call('ends', 'server'))[number] === wanted,
      );
      if (!isAsWanted) isEach = false;
      if (isAsWanted !== (way.ending === null)) hits++;
      isNamed &&= (await counter(victim, 'server', way.counter)) === before + 1;
      outcomes.push(`${way.name}: ${isAsWanted ? wanted : `NOT ${wanted}`}`);
      context.progress(outcomes.at(-1) as string);
    }
  }
  const isRejected = await rejectRequest(victim);
  if (isRejected) hits++;
  outcomes.push(`REJ for a REQ: ${isRejected ? 'rejected' : 'NOT rejected'}`);
  const ends = await victim.call('ends', 'server');
  const others: boolean[] = [];
  for (let number = WAYS.length; number < CONNECTIONS; number++) {
    others.push(ends[number] === 'live' && (await victim.call('exchange', number)));
  }
  const isClean = await victim.call('memoryIsClean');
  const tries = WAYS.length + 1;
  return {
    tries,
    hits,
    expected: tries - 1,
    pass: isEach && isRejected && isNamed && isClean && others.every(Boolean),
    note:
      `one packet each; ${outcomes.join('; ')}; counters ${isNamed ? 'name' : 'do NOT name'} each; memory ` +
      `${isClean ? 'unchanged' : 'CHANGED'}; of the other ${others.length} connections ${others.filter(Boolean).length} go on`,
  };
}

export const OVERHEARD_IDS: Attack = {
  name: 'A18',
  title: 'uses the IDs of rdma_cm connections that it overheard (hits: connections and requests ended)',
  run,
};
