/**
 * An authenticated client goes for memory that is not its own: it guesses keys, uses those of another client, and those
 * that it had once. A miss costs it its queue pair, and so a recovery.
 */

import { RemoteBuffer } from '../../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import { craftPacket } from '../../../testkit/craft-packet.js';
import { recoveryOf } from '../../../testkit/recovery-of.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fire } from '../barrage.js';
import { Injector } from '../injector.js';
import { HOSTS } from '../loopback.js';
import { duration, rounded } from '../statistics.js';
import type { ServerVictim } from '../victims/server-victim.js';
import { clientOf, connectServed, startServerVictim, startVerbsVictim } from '../victims/start.js';
import type { VictimProcess } from '../victims/victim-process.js';

const GUESSES = 60;
const ROUNDS = 5;
const KEY_SPACE = 2 ** 32;
const BYTES = 64;

type Access = (connection: Connection) => Promise<unknown>;

/** `undefined` when the access got a remote access error and the connection recovered; else what happened instead. */
async function refusal(connection: Connection, access: Access): Promise<string | undefined> {
  const recovered = recoveryOf(connection);
  // When the connection ends instead, nobody waits for this.
  recovered.catch(() => {});
  try {
    await access(connection);
    return 'it succeeded';
  } catch (error) {
    if (!(error instanceof RdmaError) || error.status !== 'REM_ACCESS_ERR') return String(error);
  }
  const end = await Promise.race([
    recovered.then(() => undefined),
    connection.closed.then((error) => `${error}`),
  ]);
  return end;
}

async function guess({ random, progress }: AttackContext): Promise<Outcome> {
  const { victim, listening } = await startServerVictim();
  await using _ = victim;
  const startedAt = performance.now();
  let connection = await connectServed(victim, clientOf(listening));
  let connections = 1;
  let hits = 0;
  for (let number = 0; number < GUESSES; number++) {
    const { addr, rkey } = connection.remoteBuffer ?? missing();
    const guessed = random.u32();
    if (guessed === rkey) continue;
    const data = new Uint8Array(BYTES).fill(0xaa);
    const result = await refusal(connection, (c) => c.write(new RemoteBuffer(addr, guessed, BYTES), data));
    if (result === 'it succeeded') hits++;
    else if (result !== undefined) {
      // Who never gets anything right is not let to recover for ever.
      await connection.closed;
      connection = await connectServed(victim, clientOf(listening));
      connections++;
    }
    progress(`${number + 1} of ${GUESSES} guesses`);
  }
  const seconds = (performance.now() - startedAt) / 1000 / GUESSES;
  const isClean = await victim.call('memoryIsClean');
  await connection.close();
  await victim.call('stop');
  return {
    tries: GUESSES,
    hits,
    expected: GUESSES / KEY_SPACE,
    pass: hits === 0 && isClean,
    note: [
      `a miss costs the queue pair: ${rounded(seconds * 1000)} ms each, with the recovery; one key of 2^32 takes ` +
        `${duration((KEY_SPACE / 2) * seconds)} on average`,
      isClean ? 'no byte changed' : 'memory was changed',
      `${connections} connections: one that recovers without any success in between ends`,
    ].join('; '),
  };
}

/** Name and how to do it, given the connection of the thief and what belongs to others. */
type Theft = readonly [string, (thief: Connection) => Promise<Access>];

function thefts(victim: VictimProcess<ServerVictim>, other: RemoteBuffer): readonly Theft[] {
  const data = new Uint8Array(BYTES).fill(0xaa);
  const granted = async (read: boolean, write: boolean, millis?: number) => {
    const { id, remote } = await victim.call('grant', BYTES, read, write, millis);
    return { id, remote: RemoteBuffer.decode(remote) };
  };
  const own = (thief: Connection): RemoteBuffer => thief.remoteBuffer ?? missing();
  return [
    ['read with the key of another client', async () => (thief) => thief.read(other.at(0, BYTES))],
    ['write with the key of another client', async () => (thief) => thief.write(other.at(0, BYTES), data)],
    [
      'read after revocation',
      async () => {
        const { id, remote } = await granted(true, true);
        await victim.call('revoke', id);
        return (thief) => thief.read(remote);
      },
    ],
    [
      'write after revocation',
      async () => {
        const { id, remote } = await granted(true, true);
        await victim.call('revoke', id);
        return (thief) => thief.write(remote, data);
      },
    ],
    [
      'read after the grant expired',
      async () => {
        const { id, remote } = await granted(true, false, 20);
        await victim.call('ended', id);
        return (thief) => thief.read(remote);
      },
    ],
    [
      'write where only reading was granted',
      async () => {
        const { remote } = await granted(true, false);
        return (thief) => thief.write(remote, data);
      },
    ],
    [
      'a byte beyond the end',
      async () => (thief) => {
        const { addr, rkey, length } = own(thief);
        return thief.read(new RemoteBuffer(addr + BigInt(length - BYTES + 1), rkey, BYTES));
      },
    ],
    [
      'a byte before the beginning',
      async () => (thief) => {
        const { addr, rkey } = own(thief);
        return thief.write(new RemoteBuffer(addr - 1n, rkey, BYTES), data);
      },
    ],
  ];
}

async function steal(context: AttackContext): Promise<Outcome> {
  const { victim, listening } = await startServerVictim();
  await using _ = victim;
  const owner = await connectServed(victim, clientOf(listening, listening.certificates.otherClient));
  const thief = await connectServed(victim, clientOf(listening));
  const all = thefts(victim, owner.remoteBuffer ?? missing());
  const wrong: string[] = [];
  let tries = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, prepare] of all) {
      tries++;
      const result = await refusal(thief, await prepare(thief));
      if (result !== undefined) wrong.push(`${name}: ${result}`);
      // Who does nothing but what is refused is not let to recover for ever; a clever thief behaves in between.
      await thief.send(Buffer.from('all is well'));
      await thief.receive();
      context.progress(`${tries} thefts, ${wrong.length} not refused as they should be`);
    }
  }
  const isClean = await victim.call('memoryIsClean');
  await owner.send(Buffer.from('unharmed'));
  const answer = await owner.receive();
  if (answer === undefined) wrong.push('the owner was disturbed');
  await Promise.all([owner.close(), thief.close()]);
  await victim.call('stop');
  const around = await wrapAround(context);
  return {
    tries: tries + around.tries,
    hits: wrong.length + around.hits,
    expected: 0,
    pass: wrong.length === 0 && around.hits === 0 && isClean,
    note: [
      `${all.map(([name]) => name).join(', ')}, an address that wraps around: a remote access error every time`,
      isClean ? 'no byte changed, the owner goes on' : 'memory was changed',
      ...wrong.slice(0, 3),
    ].join('; '),
  };
}

/** READs that begin near the end of the 64-bit address space and end at its beginning, as no requester of ours sends. */
async function wrapAround(context: AttackContext): Promise<{ tries: number; hits: number }> {
  await using victim = await startVerbsVictim(context);
  await victim.call('connect');
  await using injector = await Injector.open(HOSTS.client, HOSTS.server);
  let hits = 0;
  const addresses = [0xffff_ffff_ffff_fff0n, 0xffff_ffff_ffff_ffffn, 2n ** 63n, 2n ** 53n - 1n];
  for (const va64 of addresses) {
    await victim.call('disconnect');
    const { serverQpn: destQpn, clientPsn: psn, rkey } = await victim.call('connect');
    const reth = { va: 0, rkey, length: 4096 };
    const spec = { opcode: Opcode.RC_READ_REQUEST, psn, destQpn, reth, va64 };
    const packet = craftPacket(spec, injector.source, injector.destination);
    await fire({ victim, which: 'server', injector }, 1, () => packet);
    const { state, counters } = await victim.call('report', 'server');
    if (state !== 'ERR' || (counters['drop_remote_access'] ?? 0) === 0) hits++;
  }
  return { tries: addresses.length, hits };
}

function missing(): never {
  throw new Error('the server exposes no memory');
}

export const GUESS_KEYS: Attack = { name: 'A9', title: 'an authenticated client guesses keys', run: guess };
export const FOREIGN_KEYS: Attack = {
  name: 'A10',
  title: 'keys of others, keys that were revoked, addresses out of range',
  run: steal,
};
