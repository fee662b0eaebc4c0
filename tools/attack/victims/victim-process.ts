/**
 * A victim in a process of its own, as its attacker sees it. The process ends with `close`, with its parent, and when
 * it has lived for too long.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AnswerMessage, Calls, VictimSetup } from './calls.js';

const MAIN = fileURLToPath(new URL('./victim-main.js', import.meta.url));
/** No single call may take longer. */
const CALL_MILLIS = 120_000;

interface Waiter {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class VictimProcess<Victim> implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiter>();
  #lastId = 0;

  static async start<Victim>(setup: VictimSetup): Promise<VictimProcess<Victim>> {
    const child = fork(MAIN, [JSON.stringify(setup)], {
      serialization: 'advanced',
      // What a victim has to say goes to standard error; standard output belongs to the results.
      stdio: ['ignore', 2, 2, 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    const victim = new VictimProcess<Victim>(child);
    await victim.#answerTo('ready', []);
    return victim;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message) => this.#onAnswer(message as AnswerMessage));
    child.on('exit', (code, signal) => this.#onExit(`the victim's process ended (${signal ?? code})`));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async call<Name extends keyof Calls<Victim> & string>(
    method: Name,
    ...args: Calls<Victim>[Name] extends (...args: infer Args) => unknown ? Args : never
  ): Promise<Calls<Victim>[Name] extends (...args: never[]) => infer Result ? Awaited<Result> : never> {
    return (await this.#answerTo(method, args)) as never;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    // One that is just dying has no channel any more.
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 2000);
    await gone;
    clearTimeout(late);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #answerTo(method: string, args: readonly unknown[]): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`the victim did not answer "${method}" within ${CALL_MILLIS} ms`));
      }, CALL_MILLIS);
      const settle = (action: () => void): void => {
        clearTimeout(late);
        action();
      };
      this.#waiting.set(id, {
        resolve: (value) => settle(() => resolve(value)),
        reject: (error) => settle(() => reject(error)),
      });
      this.#child.send({ id, method, args }, (error) => {
        if (error !== null) this.#onExit(`cannot reach the victim: ${error.message}`);
      });
    });
  }

  #onAnswer(answer: AnswerMessage): void {
    const waiter = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.ok) waiter?.resolve(answer.value);
    else waiter?.reject(new Error(`the victim failed: ${answer.error}`));
  }

  #onExit(reason: string): void {
    for (const waiter of this.#waiting.values()) waiter.reject(new Error(reason));
    this.#waiting.clear();
  }
}
