/**
 * A rendezvous between two connections of this thread: each end says what it has to say by a promise of the other's. It is for
 * connections that talk to themselves (warm-up.ts): nobody is authenticated, and there is one meeting.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { SessionRole } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import { PSN_MASK, toPsn } from '../../verbs/brands.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import type { LinkKeys } from '../data-path/data-plane.js';
import type { MeetingSteps, Rendezvous, RendezvousEnd, RendezvousListener } from './rendezvous.js';

const HOST = '127.0.0.1';
const SECRET_BYTES = 32;
const NO_KEY = { key: new Uint8Array(0), iv: new Uint8Array(0) };
const NO_KEYS: LinkKeys = {
  messages: { own: NO_KEY, peer: NO_KEY },
  memory: { own: NO_KEY, peer: NO_KEY },
};

interface End {
  readonly path: PeerPath;
  readonly terms: Terms;
}

/** What one end says in a meeting, each once. */
class Words {
  readonly parameters = new Word<End>();
  readonly connected = new Word<void>();
  readonly proven = new Word<void>();

  fail(error: RdmaError): void {
    for (const word of [this.parameters, this.connected, this.proven]) word.fail(error);
  }
}

class Word<Value> {
  readonly said: Promise<Value>;
  say: (value: Value) => void = () => {};
  fail: (error: RdmaError) => void = () => {};

  constructor() {
    this.said = new Promise((resolve, reject) => {
      this.say = resolve;
      this.fail = reject;
    });
    // It may be that nobody waits for it any more.
    this.said.catch(() => {});
  }
}

export class MemoryRendezvous implements Rendezvous {
  readonly peer = null;
  readonly peerName = 'this process';
  readonly remoteAddress = HOST;
  readonly remotePort = 0;
  readonly localAddress = HOST;
  readonly localPort = 0;
  readonly isParted = false;
  end: RendezvousEnd | undefined;
  readonly #role: SessionRole;
  readonly #secret: Uint8Array;
  readonly #own: Words;
  readonly #peer: Words;
  #listener: RendezvousListener | null = null;

  static pair(): Readonly<Record<SessionRole, MemoryRendezvous>> {
    const secret = randomBytes(SECRET_BYTES);
    const [server, client] = [new Words(), new Words()];
    return {
      server: new MemoryRendezvous('server', secret, server, client),
      client: new MemoryRendezvous('client', secret, client, server),
    };
  }

  private constructor(role: SessionRole, secret: Uint8Array, own: Words, peer: Words) {
    this.#role = role;
    this.#secret = secret;
    this.#own = own;
    this.#peer = peer;
  }

  async meet(steps: MeetingSteps): Promise<Terms> {
    const end = { role: this.#role, secret: this.#secret };
    const { path, terms } = await steps.prepare({ reachedAt: HOST, end });
    const own = { ...path, psn: toPsn(randomInt(PSN_MASK + 1)) };
    this.#own.parameters.say({ path: own, terms });
    const peer = await this.#peer.parameters.said;
    await steps.connect({ own, peer: peer.path, terms: peer.terms, keys: NO_KEYS });
    this.#own.connected.say();
    await this.#peer.connected.said;
    await steps.prove(peer.terms, () => {});
    this.#own.proven.say();
    await this.#peer.proven.said;
    return peer.terms;
  }

  watch(listener: RendezvousListener): void {
    this.#listener = listener;
  }

  unwatch(): void {
    this.#listener = null;
  }

  part(): void {
    this.#listener?.onParted();
  }

  ask(): void {}

  fail(error: RdmaError): void {
    this.end ??= { error };
    this.#own.fail(error);
  }

  drop(error: RdmaError): void {
    this.fail(error);
  }

  async close(): Promise<void> {
    this.end ??= { error: undefined };
  }
}
