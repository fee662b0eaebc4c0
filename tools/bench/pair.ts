/** Runs a pair of peers: starts both, carries their hellos across, and waits for the result. See peers/peer.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Child, type Command } from './child-group.js';
import type { PeerResult } from './peer-protocol.js';

/** How long a peer may take to leave when the result is there. */
const LEAVE_MILLIS = 1000;
/** Peers watch their deadline themselves; this long after it, they are no longer believed to. */
const OVERTIME_MILLIS = 1500;

interface Line {
  readonly hello?: object;
  readonly ready?: boolean;
  readonly result?: PeerResult;
}

/** @throws Error that says which peer failed and why. */
export async function runPair(server: Command, client: Command, deadlineMillis: number): Promise<PeerResult> {
  const pair = [new PeerProcess('server', server), new PeerProcess('client', client)] as const;
  const abort = new AbortController();
  try {
    return await Promise.race([
      measure(...pair),
      ...pair.map((peer) => peer.failure),
      Promise.all(pair.map((peer) => peer.exited)).then(() => fail('both peers left without a result')),
      sleep(deadlineMillis + OVERTIME_MILLIS, undefined, { signal: abort.signal }).then(() =>
        fail(`no result in ${deadlineMillis} ms`),
      ),
    ]);
  } catch (error) {
    for (const peer of pair) peer.kill();
    throw error;
  } finally {
    abort.abort();
    await Promise.all(pair.map((peer) => peer.leave(LEAVE_MILLIS)));
  }
}

async function measure(server: PeerProcess, client: PeerProcess): Promise<PeerResult> {
  const [ofServer, ofClient] = await Promise.all([server.next('hello'), client.next('hello')]);
  server.tell({ hello: ofClient });
  client.tell({ hello: ofServer });
  await Promise.all([server.next('ready'), client.next('ready')]);
  server.tell({ go: true });
  client.tell({ go: true });
  const result = await Promise.race([server.next('result'), client.next('result')]);
  server.tell({ bye: true });
  client.tell({ bye: true });
  return result;
}

class PeerProcess {
  /** Rejects when the process fails; never settles otherwise. */
  readonly failure: Promise<never>;
  readonly exited: Promise<unknown>;
  readonly #child: Child;
  readonly #lines: Line[] = [];
  readonly #waiters: { readonly key: keyof Line; readonly resolve: (value: unknown) => void }[] = [];
  #partial = '';
  #hasResult = false;

  constructor(name: string, command: Command) {
    this.#child = new Child(name, command, (text) => this.#onText(text));
    this.exited = this.#child.exited;
    this.failure = new Promise((_, reject) => {
      void this.#child.exited.then((exit) => {
        if (exit.code !== 0 && !this.#hasResult) reject(new Error(this.#child.explain(exit)));
      });
    });
    this.failure.catch(() => undefined);
  }

  next<Key extends keyof Line>(key: Key): Promise<NonNullable<Line[Key]>> {
    return new Promise((resolve) => {
      this.#waiters.push({ key, resolve: resolve as (value: unknown) => void });
      this.#serve();
    });
  }

  tell(line: object): void {
    this.#child.write(`${JSON.stringify(line)}\n`);
  }

  kill(): void {
    this.#child.kill();
  }

  leave(graceMillis: number): Promise<void> {
    return this.#child.leave(graceMillis);
  }

  #onText(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const text of lines) {
      const line = parse(text);
      if (line.result !== undefined) this.#hasResult = true;
      this.#lines.push(line);
    }
    this.#serve();
  }

  #serve(): void {
    for (const [i, { key, resolve }] of this.#waiters.entries()) {
      const at = this.#lines.findIndex((line) => line[key] !== undefined);
      if (at < 0) continue;
      const [line] = this.#lines.splice(at, 1);
      this.#waiters.splice(i, 1);
      resolve(line?.[key]);
      return;
    }
  }
}

/** Whatever else a peer prints is not for us. */
function parse(text: string): Line {
  try {
    const line: unknown = JSON.parse(text);
    return typeof line === 'object' && line !== null ? line : {};
  } catch {
    return {};
  }
}

function fail(message: string): never {
  throw new Error(message);
}
