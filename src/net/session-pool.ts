/**
 * Connections that sockets share: one for all sockets of this process to the same host, port and addresses, with the same device and
 * credentials. It is made for the first socket, and closed soon after the last.
 *
 * Invariants: a connection that is not up (it recovers, ends or has ended) is given to nobody, so that a socket that connects hears
 * whether anybody is there; a socket that gives up while the connection is made disturbs no other, and when all have given up, so
 * does the attempt; each lease is given back once. Connections keep no process alive, because their sockets do; those that have no
 * sockets end in order before the process does.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { connect } from '../connection/client/client.js';
import type { Connection } from '../connection/program/connection.js';
import { streamsOf } from '../connection/program/stream-seats.js';
import { RdmaError } from '../verbs/errors.js';
import type { ClientSettings } from './option-rules.js';
import type { AttemptWatcher, ConnectTarget } from './transport.js';

/** How long a connection without sockets waits for the next one. */
const LINGER_MILLIS = 500;

/** A claim on a connection. */
export interface Lease {
  readonly connection: Connection;
  /** The socket is done with it. Idempotent. */
  release(): void;
}

export class SessionPool {
  /** By what their sockets have in common: those that new sockets get. */
  readonly #sessions = new Map<string, SharedSession>();
  /** Also those that were replaced, which their sockets may still use, and those of one socket alone. */
  readonly #all = new Set<SharedSession>();
  #watchesForExit = false;

  /** @throws RdmaError of `connect`. */
  async lease(target: ConnectTarget, settings: ClientSettings, isOwn: boolean): Promise<Lease> {
    this.#watchForExit();
    if (isOwn) return this.#begin(target, settings).lease(target);
    const key = keyOf(target, settings);
    const known = this.#sessions.get(key);
    if (known?.isUsable === true) return known.lease(target);
    const session = this.#begin(target, settings, () => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    });
    this.#sessions.set(key, session);
    return session.lease(target);
  }

  /** Ends the connections that have no sockets and wait for the next one; resolves when they are gone. */
  async closeIdle(): Promise<void> {
    await Promise.all([...this.#all].map((session) => session.closeIdle()));
  }

  #begin(target: ConnectTarget, settings: ClientSettings, onOver: () => void = () => {}): SharedSession {
    const session: SharedSession = new SharedSession(target, settings, () => {
      this.#all.delete(session);
      onOver();
    });
    this.#all.add(session);
    return session;
  }

  /** The process would end: those that wait for a socket are of no use any more, and their servers hear of it. */
  #watchForExit(): void {
    if (this.#watchesForExit) return;
    this.#watchesForExit = true;
    process.on('beforeExit', () => void this.closeIdle());
  }
}

class SharedSession {
  readonly #connecting: Promise<Connection>;
  readonly #attempt = new AbortController();
  readonly #attempts = new Attempts();
  readonly #onOver: () => void;
  #connection: Connection | undefined;
  #users = 0;
  #linger: NodeJS.Timeout | undefined;
  #isOver = false;
  /** The connection has failed and tries to recover: nobody knows whether the peer is there. */
  #isRecovering = false;

  constructor(target: ConnectTarget, settings: ClientSettings, onOver: () => void) {
    this.#onOver = onOver;
    this.#connecting = connectToOneOf(target, settings, this.#attempt.signal, this.#attempts);
    this.#connecting.then(
      (connection) => this.#onConnected(connection),
      () => {
        this.#attempts.end();
        this.#end();
      },
    );
  }

  /** Whether a new socket may have it: it is up, or made just now. */
  get isUsable(): boolean {
    if (this.#isOver || this.#isRecovering) return false;
    return this.#connection === undefined || !streamsOf(this.#connection).isEnding;
  }

  async lease({ signal, watcher }: ConnectTarget): Promise<Lease> {
    this.#users++;
    clearTimeout(this.#linger);
    if (watcher !== undefined) this.#attempts.showTo(watcher);
    const release = once(() => this.#leave());
    signal.addEventListener('abort', release, { once: true });
    try {
      const connection = await this.#connecting;
      return { connection, release };
    } catch (error) {
      release();
      throw error;
    } finally {
      signal.removeEventListener('abort', release);
    }
  }

  async closeIdle(): Promise<void> {
    if (this.#users > 0 || this.#connection === undefined) return;
    this.#end();
    await this.#connection.close();
  }

  #onConnected(connection: Connection): void {
    this.#connection = connection;
    this.#attempts.end();
    connection.on('reconnecting', () => {
      this.#isRecovering = true;
    });
    connection.on('reconnected', () => {
      this.#isRecovering = false;
    });
    void connection.closed.then(() => this.#end());
    if (this.#users === 0) this.#waitForNext();
  }

  #leave(): void {
    if (--this.#users > 0) return;
    if (this.#connection === undefined) {
      this.#end();
      this.#attempt.abort();
    } else this.#waitForNext();
  }

  #waitForNext(): void {
    const connection = this.#connection;
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => {
      this.#end();
      void connection?.close();
    }, LINGER_MILLIS).unref();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#linger);
    this.#onOver();
  }
}

/** Those of a connection, for all sockets that wait for it; later ones hear of the last, and nothing is kept of them. */
class Attempts implements AttemptWatcher {
  #watchers: AttemptWatcher[] = [];
  #address: string | undefined;
  #isOver = false;

  showTo(watcher: AttemptWatcher): void {
    if (!this.#isOver) this.#watchers.push(watcher);
    if (this.#address !== undefined) watcher.onAttempt(this.#address);
  }

  onAttempt(address: string): void {
    this.#address = address;
    for (const watcher of this.#watchers) watcher.onAttempt(address);
  }

  onAttemptFailed(address: string, failure: unknown): void {
    for (const watcher of this.#watchers) watcher.onAttemptFailed(address, failure);
  }

  /** Nothing more will be tried. */
  end(): void {
    this.#isOver = true;
    this.#watchers = [];
  }
}

/** Tries the addresses of the host one after the other, as long as nobody answers. */
async function connectToOneOf(
  { host, addresses, port }: ConnectTarget,
  settings: ClientSettings,
  signal: AbortSignal,
  watcher: AttemptWatcher,
): Promise<Connection> {
  const servername = settings.servername ?? (isIP(host) === 0 ? host : undefined);
  const options = { ...settings, ...(servername === undefined ? {} : { servername }), port, signal };
  let last: unknown;
  for (const address of addresses) {
    watcher.onAttempt(address);
    try {
      return (await connect({ ...options, host: address })).unref();
    } catch (error) {
      last = error;
      watcher.onAttemptFailed(address, error);
      if (!(error instanceof RdmaError && isNobodyThere(error))) throw error;
    }
  }
  throw last;
}

const isNobodyThere = ({ code, refusal }: RdmaError): boolean =>
  refusal === undefined && (code === 'ERR_RDMA_CONNECTION_LOST' || code === 'ERR_RDMA_TIMEOUT');

let lastIdentity = 0;
const identities = new WeakMap<object, number>();

/** The same for all sockets that may share a connection; secrets go in as their hash. The order of addresses means nothing. */
function keyOf({ host, addresses, port }: ConnectTarget, settings: ClientSettings): string {
  const hash = createHash('sha256');
  for (const [name, value] of Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}=${textOf(value)};`);
  }
  const where = [...new Set(addresses)].sort().join();
  return `${host} ${where} ${port} ${hash.digest('base64')}`;
}

function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (typeof value !== 'object' || value === null) return `${typeof value} ${JSON.stringify(value)}`;
  // What has functions, such as a logger, is the same only as itself.
  const isData = Object.values(value).every((part) => typeof part !== 'function');
  if (isData && Object.getPrototypeOf(value) === Object.prototype) return JSON.stringify(value);
  const known = identities.get(value) ?? ++lastIdentity;
  identities.set(value, known);
  return `object ${known}`;
}

function once(run: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    run();
  };
}

/** Of this process, for sockets that connect. */
export const sharedSessions = new SessionPool();
