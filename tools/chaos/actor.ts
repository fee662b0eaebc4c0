/** A process of a chaos run as its parent sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Report, Setup } from './protocol.js';

const MODULE = fileURLToPath(new URL('./actor-process.js', import.meta.url));

export class Actor {
  readonly setup: Setup;
  /** Resolves when the process is gone. */
  readonly gone: Promise<unknown>;
  isAlive = true;
  readonly #child: ChildProcess;
  readonly #onReport: (report: Report) => void;
  readonly #waiters = new Set<(report: Report) => boolean>();

  /** Resolves when the process is ready. */
  static async start(
    setup: Setup,
    onReport: (report: Report) => void,
  ): Promise<{ actor: Actor; port: number }> {
    const actor = new Actor(setup, onReport);
    const { port } = await actor.next('ready');
    return { actor, port };
  }

  private constructor(setup: Setup, onReport: (report: Report) => void) {
    this.setup = setup;
    this.#onReport = onReport;
    this.#child = fork(MODULE, [JSON.stringify(setup)], {
      execArgv: ['--expose-gc', '--enable-source-maps'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (report: Report) => this.#receive(report));
    this.gone = once(this.#child, 'close').then(() => {
      this.isAlive = false;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  order(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#child.kill(signal);
    if (signal === 'SIGKILL') this.isAlive = false;
  }

  /** @throws Error when the process ends before it reports this. */
  next<Name extends Report['event']>(name: Name): Promise<Extract<Report, { event: Name }>> {
    return new Promise((resolve, reject) => {
      const waiter = (report: Report): boolean => {
        if (report.event !== name) return false;
        resolve(report as Extract<Report, { event: Name }>);
        return true;
      };
      this.#waiters.add(waiter);
      void this.gone.then(() => {
        reject(new Error(`the ${this.setup.role} ${this.setup.client} ended before it said "${name}"`));
      });
    });
  }

  #receive(report: Report): void {
    this.#onReport(report);
    for (const waiter of this.#waiters) if (waiter(report)) this.#waiters.delete(waiter);
  }
}
