/**
 * Child processes that never outlive this one. Each leads a process group of its own, so that what it starts goes with
 * it, and a Ctrl-C in the terminal reaches this process alone, which then ends them.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { endWithUs, killGroup } from '../end-with-us.js';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const MAX_ERROR_CHARS = 2000;

const alive = new Set<Child>();

export class Child {
  readonly exited: Promise<Exit>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #name: string;
  #errors = '';

  constructor(name: string, { file, args, env }: Command, onOutput: (text: string) => void) {
    this.#name = name;
    this.#process = spawn(file, args, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    alive.add(this);
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#errors += error.message;
        alive.delete(this);
        resolve({ code: null, signal: null });
      });
      this.#process.once('close', (code, signal) => {
        alive.delete(this);
        resolve({ code, signal });
      });
    });
    // A child that is gone cannot be written to; its exit says so.
    this.#process.stdin.on('error', () => undefined);
    this.#process.stdout.setEncoding('utf8').on('data', onOutput);
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-MAX_ERROR_CHARS);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  write(text: string): void {
    this.#process.stdin.write(text);
  }

  /** What became of it, for a message. */
  explain({ code, signal }: Exit): string {
    const end = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
    const errors = this.#errors.trim();
    return `the ${this.#name} ${end}${errors === '' ? '' : `: ${errors}`}`;
  }

  /** Ends it with its whole group, without asking. */
  kill(): void {
    killGroup(this.#process.pid);
  }

  /** Resolves when it is gone; it is killed if it does not leave in time. */
  async leave(graceMillis: number): Promise<void> {
    const timer = setTimeout(() => this.kill(), graceMillis);
    await this.exited;
    clearTimeout(timer);
  }
}

/** Has to be called once: however this process ends, it takes its children along. */
export function endChildrenWithUs(): void {
  endWithUs(() => {
    for (const child of alive) child.kill();
  });
}
