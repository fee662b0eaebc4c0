/**
 * Attacks on the handshake: connections that say nothing, that have no certificate, that are slow, that fall silent
 * after TLS, and thousands at once. Nothing of the device may be allocated for any of them, an honest client must get in
 * meanwhile, and every place must be free again by the deadline.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectSecure } from 'node:tls';
import { connect } from '../../../src/connection/client/client.js';
import { ALPN_PROTOCOL } from '../../../src/session/tls-protocol.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { attackerHost, HOSTS } from '../loopback.js';
import { rounded } from '../statistics.js';
import type { Listening, ServerVictim } from '../victims/server-victim.js';
import { clientOf, startServerVictim } from '../victims/start.js';
import type { VictimProcess } from '../victims/victim-process.js';

const DEADLINE_MILLIS = 3000;
/** Addresses that the attacker has. */
const ADDRESSES = 200;
const STORM = 10_000;
const STORM_AT_ONCE = 200;
const HONEST_MILLIS = 5000;
const HONEST_ATTEMPTS = 3;
/** After the deadline, for what the operating system still has to say. */
const GRACE_MILLIS = 3000;

/** The beginning of a TLS record with a ClientHello, which never gets any further. */
const HELLO = Buffer.from('1603010200010001fc0303', 'hex');

class Attackers {
  readonly #listening: Listening;
  readonly #sockets = new Set<Socket>();
  opened = 0;

  constructor(listening: Listening) {
    this.#listening = listening;
  }

  /** A TCP connection from one of the attacker's addresses, or from one that it uses for nothing else. */
  tcp(isFromGreedy = false): Socket {
    const { host, port } = this.#listening;
    const number = this.opened++ % ADDRESSES;
    const localAddress = isFromGreedy ? HOSTS.stranger : attackerHost(number);
    return this.#keep(connectTcp({ host, port, localAddress }));
  }

  tls(identity: { cert?: string; key?: string }): Socket {
    const { certificates, host } = this.#listening;
    const options = {
      socket: this.tcp(),
      ca: certificates.caPem,
      ALPNProtocols: [ALPN_PROTOCOL],
      host,
      ...identity,
    };
    return this.#keep(connectSecure(options));
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #keep<Kind extends Socket>(socket: Kind): Kind {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    socket.resume();
    return socket;
  }
}

/** One byte at a time, as slow as the server lets it. */
function slowLoris(socket: Socket): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else socket.write(HELLO.subarray(sent % HELLO.length, (sent++ % HELLO.length) + 1));
  }, 100);
  socket.once('close', () => clearInterval(timer));
}

async function storm(attackers: Attackers, progress: (text: string) => void): Promise<void> {
  let left = STORM;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      // Every second one from the same address.
      const socket = attackers.tcp(left % 2 === 0);
      await new Promise<void>((resolve) => {
        for (const event of ['connect', 'error', 'close']) socket.once(event, () => resolve());
      });
      socket.destroy();
      progress(`${STORM - left} connects`);
    }
  };
  await Promise.all(Array.from({ length: STORM_AT_ONCE }, one));
}

interface Honest {
  /** Until a message was answered; `undefined` when none was. */
  readonly millis: number | undefined;
  readonly attempts: number;
}

/** A client that tries again, as programs do. */
async function honestClient(listening: Listening): Promise<Honest> {
  const startedAt = performance.now();
  for (let attempts = 1; attempts <= HONEST_ATTEMPTS; attempts++) {
    if (await isServed(listening)) return { millis: performance.now() - startedAt, attempts };
  }
  return { millis: undefined, attempts: HONEST_ATTEMPTS };
}

async function isServed(listening: Listening): Promise<boolean> {
  try {
    const connection = await connect({ ...clientOf(listening), handshakeDeadlineMillis: HONEST_MILLIS });
    await connection.send('is anybody there?');
    await connection.receive();
    await connection.close();
    return true;
  } catch {
    return false;
  }
}

async function isEmptyWithin(victim: VictimProcess<ServerVictim>, millis: number): Promise<boolean> {
  const until = performance.now() + millis;
  for (;;) {
    const { allocations: _, ...open } = await victim.call('census');
    if (Object.values(open).every((count) => count === 0)) return true;
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function run({ progress }: AttackContext): Promise<Outcome> {
  const { victim, listening } = await startServerVictim({ handshakeDeadlineMillis: DEADLINE_MILLIS });
  await using _ = victim;
  const attackers = new Attackers(listening);
  const { client, strangerClient } = listening.certificates;
  const alone = await honestClient(listening);
  // A client that was refused before it said its PSN costs nothing; so it is the most that honest ones may have cost.
  const perHonest = (await victim.call('census')).allocations / alone.attempts;

  for (let i = 0; i < 100; i++) attackers.tcp();
  for (let i = 0; i < 50; i++) attackers.tls({});
  for (let i = 0; i < 50; i++) attackers.tls({ cert: strangerClient.certPem, key: strangerClient.keyPem });
  for (let i = 0; i < 50; i++) slowLoris(attackers.tcp());
  // These are authenticated, and fall silent before they say who they want to be.
  for (let i = 0; i < 30; i++) attackers.tls({ cert: client.certPem, key: client.keyPem });
  const besides = await honestClient(listening);
  progress(`an honest client beside ${attackers.opened} bad ones: ${besides.millis?.toFixed(0) ?? 'no'} ms`);
  const isFreed = await isEmptyWithin(victim, DEADLINE_MILLIS + GRACE_MILLIS);

  const storming = storm(attackers, progress);
  const during = await honestClient(listening);
  await storming;
  const afterwards = await honestClient(listening);
  const isEmpty = await isEmptyWithin(victim, DEADLINE_MILLIS + GRACE_MILLIS);
  const honest = [alone, besides, during, afterwards];
  const served = honest.filter(({ millis }) => millis !== undefined).length;
  const attempts = honest.reduce((sum, each) => sum + each.attempts, 0);
  const stolen = Math.max(0, (await victim.call('census')).allocations - attempts * perHonest);
  const refusals = await victim.call('refusals');
  attackers.hangUp();
  await victim.call('stop');
  const named = [...refusals].sort(([, a], [, b]) => b - a).slice(0, 6);
  return {
    tries: attackers.opened,
    hits: stolen,
    expected: 0,
    pass: stolen === 0 && served === honest.length && isFreed && isEmpty,
    note: [
      `objects allocated for peers that were not authenticated and ready: ${stolen}`,
      `an honest client needs ${honest.map(({ millis }) => (millis === undefined ? 'for ever' : `${rounded(millis)} ms`)).join(', ')} ` +
        `in ${attempts} attempts (alone, beside silent and slow ones, amid ${STORM} connects, after them)`,
      `every place was free ${isFreed && isEmpty ? '' : 'NOT '}within the deadline of ${DEADLINE_MILLIS} ms`,
      `refused: ${named.map(([reason, count]) => `${count} × ${reason}`).join(', ')}`,
    ].join('; '),
  };
}

export const HANDSHAKE_FLOOD: Attack = {
  name: 'A11',
  title:
    'half-open, uncertified, slow and silent clients, and 10,000 connects (hits: objects allocated for them)',
  run,
};
