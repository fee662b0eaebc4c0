/** What the browser looks at: `queuepair serve` and its clients, each a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const MAX_EVENTS = 200;
const PATIENCE_MILLIS = 60_000;
const WORK_EVERY_MILLIS = 150;

interface ToldEvent {
  readonly event: string;
  readonly [name: string]: unknown;
}

export class World implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'queuepair-e2e-'));
  readonly #children = new Set<ChildProcess>();

  /** A server with a dashboard; `token` when it has the buttons. */
  async serve(
    flags: readonly string[],
  ): Promise<{ readonly port: number; readonly url: string; readonly token: string }> {
    const child = this.#start([
      'serve',
      '--port',
      '0',
      '--device',
      'soft:127.0.0.1?port=0',
      '--metrics',
      '0',
      '--json',
      '--handshake-timeout',
      String(PATIENCE_MILLIS),
      ...flags,
    ]);
    const told = eventsOf(child);
    const { port } = await told('listening');
    const { url, token = '' } = await told('observing');
    return { port: Number(port), url: String(url), token: String(token) };
  }

  /** A client that sends, writes and reads a little all the time, until it is told to stop or is disconnected. */
  async connect(port: number): Promise<{ readonly gone: Promise<unknown>; stop(): void }> {
    const target = [
      `127.0.0.1:${port}`,
      '--device',
      'soft:127.0.0.1?port=0',
      '--timeout',
      String(PATIENCE_MILLIS),
    ];
    const child = this.#start(['connect', ...target, '--json']);
    await eventsOf(child)('welcome');
    const working = setInterval(() => child.stdin?.write('auto 3\n'), WORK_EVERY_MILLIS);
    const gone = once(child, 'exit').finally(() => clearInterval(working));
    child.stdin?.on('error', () => clearInterval(working));
    return { gone, stop: () => void child.kill('SIGINT') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #start(args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...args, '--dev-certs', this.#folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.add(child);
    child.on('exit', () => this.#children.delete(child));
    return child;
  }
}

/** Waits for events of this name, in their order. */
function eventsOf(child: ChildProcess): (name: string) => Promise<ToldEvent> {
  const { stdout } = child;
  if (stdout === null) throw new Error('the child has no standard output');
  const seen: ToldEvent[] = [];
  createInterface({ input: stdout }).on('line', (line) => {
    // A client that works tells more than anybody keeps.
    if (seen.length < MAX_EVENTS) seen.push(JSON.parse(line) as ToldEvent);
  });
  return async (name) => {
    const deadline = Date.now() + PATIENCE_MILLIS;
    while (Date.now() < deadline) {
      const found = seen.find(({ event }) => event === name);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no event ${name} came; there were: ${seen.map(({ event }) => event).join(', ')}`);
  };
}
