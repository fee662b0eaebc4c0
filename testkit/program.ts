/**
 * The program as its users run it: processes of their own, with what they print taken apart. Whatever is still running
 * when the tests of a file are over is killed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const WAIT_MILLIS = 60_000;

/** A line that the program printed under --json. */
export interface ProgramEvent {
  readonly event: string;
  readonly [name: string]: unknown;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Of standard output, when it is JSON. */
  readonly events: readonly ProgramEvent[];
}

export interface ProgramOptions {
  /** Standard input; it ends after it. Default: none. */
  readonly input?: string;
  /** Keeps standard input open, as a terminal does. */
  readonly openInput?: boolean;
  readonly cwd?: string;
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

const running = new Set<ChildProcess>();
let directory: string | undefined;

// Here rather than where they are needed: a hook that is set inside of a test belongs to that test.
after(async () => {
  const left = [...running].map((child) => once(child, 'exit'));
  for (const child of running) child.kill('SIGKILL');
  // Until then they may write into the directory.
  await Promise.all(left);
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
});

export class Program {
  readonly events: ProgramEvent[] = [];
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #wake = new Set<() => void>();
  #over = false;
  #stderr = '';

  constructor(args: readonly string[], options: ProgramOptions = {}) {
    this.#child = spawn(process.execPath, ['--enable-source-maps', MAIN, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    running.add(this.#child);
    const { stdin, stdout, stderr } = this.#child;
    assert(stdin !== null && stdout !== null && stderr !== null);
    stdin.on('error', () => {});
    if (options.openInput !== true) stdin.end(options.input ?? '');
    createInterface({ input: stdout }).on('line', (line) => this.#onLine(line));
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        running.delete(this.#child);
        this.#over = true;
        this.#wakeAll();
        resolve({
          code,
          signal,
          stdout: this.#lines.map((line) => `${line}\n`).join(''),
          stderr: this.#stderr,
          events: this.events,
        });
      });
    });
  }

  get stderr(): string {
    return this.#stderr;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The first event of this name that is `wanted`, past ones included. */
  async event(name: string, wanted: (event: ProgramEvent) => boolean = () => true): Promise<ProgramEvent> {
    for (;;) {
      const found = this.events.find((event) => event.event === name && wanted(event));
      if (found !== undefined) return found;
      const what = `no event "${name}" came`;
      if (this.#over)
        assert.fail(`${what} before the program ended\n${this.#lines.join('\n')}\n${this.#stderr}`);
      await this.#news(what);
    }
  }

  async #news(what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${what}\n${this.#lines.join('\n')}\n${this.#stderr}`)),
        WAIT_MILLIS,
      );
      this.#wake.add(resolve);
    });
    clearTimeout(timer);
  }

  #onLine(line: string): void {
    this.#lines.push(line);
    if (line.startsWith('{')) this.events.push(JSON.parse(line) as ProgramEvent);
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}

/** Runs the program to its end. */
export const runProgram = (args: readonly string[], options?: ProgramOptions): Promise<Ending> =>
  new Program(args, options).ended;

/** A directory for the tests of this file, removed after them. */
export function testDir(): string {
  directory ??= mkdtempSync(join(tmpdir(), 'queuepair-test-'));
  return directory;
}

/** Flags for development certificates that only the tests of this file use. */
export const devCerts = (): string[] => ['--dev-certs', join(testDir(), 'certs')];

/** Any free UDP port: tests run at the same time as others. */
export const FREE_DEVICE = ['--device', 'soft:127.0.0.1?port=0'];

export interface RunningServer {
  readonly program: Program;
  /** `127.0.0.1:PORT`. */
  readonly target: string;
  readonly port: number;
}

/** `queuepair serve` on any free port, with development certificates unless `flags` name others. */
export async function serve(...flags: string[]): Promise<RunningServer> {
  const certificates = flags.includes('--cert') ? [] : devCerts();
  const program = new Program(['serve', '--json', '--port', '0', ...FREE_DEVICE, ...certificates, ...flags]);
  const port = (await program.event('listening'))['port'] as number;
  return { program, port, target: `127.0.0.1:${port}` };
}

/** Flags of a client of `serve()`. */
export const clientFlags = ({ target }: RunningServer): string[] => [
  'connect',
  target,
  ...FREE_DEVICE,
  ...devCerts(),
];

/** Ends the server in order and checks that it left nothing over. */
export async function stop({ program }: RunningServer): Promise<Ending> {
  program.kill('SIGTERM');
  const ending = await program.ended;
  assert.equal(ending.code, 0, ending.stderr);
  const last = ending.events.at(-1);
  assert.equal(last?.event, 'census');
  assert.equal(last?.['leaked'], 0, JSON.stringify(last));
  return ending;
}

/** The values of the metrics of a server that runs with --metrics, by name and labels as they are printed. */
export async function metricsOf({ program }: RunningServer): Promise<Map<string, number>> {
  const { url } = await program.event('observing');
  const response = await fetch(`${url}/metrics`);
  assert.equal(response.status, 200);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
