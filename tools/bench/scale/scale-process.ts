/** One process of the scale benchmark, as the orchestrator sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWithUs, killGroup } from '../../end-with-us.js';
import type {
  Exchanged,
  MemoryUse,
  ScaleAnswer,
  ScaleOrder,
  ScalePeerConfig,
  TimeUse,
} from './peer-orders.js';

const LEAVE_MILLIS = 10_000;

export class ScaleProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #forget: () => void;
  #next: Promise<ScaleAnswer>;

  static async start(config: ScalePeerConfig): Promise<{ process: ScaleProcess; port: number }> {
    const process = new ScaleProcess(config);
    const ready = await process.#answer('ready');
    return { process, port: ready.port };
  }

  /** Starts a server and its client, and ends both when `use` has. */
  static async withBoth<Result>(
    common: Omit<ScalePeerConfig, 'role' | 'port'>,
    use: (server: ScaleProcess, client: ScaleProcess) => Promise<Result>,
  ): Promise<Result> {
    const started: ScaleProcess[] = [];
    try {
      const { process: server, port } = await ScaleProcess.start({ ...common, role: 'server', port: 0 });
      started.push(server);
      const { process: client } = await ScaleProcess.start({ ...common, role: 'client', port });
      started.push(client);
      return await use(server, client);
    } finally {
      await Promise.all(started.map((process) => process.leave()));
    }
  }

  private constructor(config: ScalePeerConfig) {
    this.#name = `the ${config.role} of ${config.kind}`;
    const file = fileURLToPath(new URL('./peer.js', import.meta.url));
    this.#child = fork(file, [JSON.stringify(config)], {
      detached: true,
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#forget = endWithUs(() => killGroup(this.#child.pid));
    this.#next = this.#message();
  }

  async memory(): Promise<MemoryUse> {
    return (await this.#ask({ type: 'memory' }, 'memory')).memory;
  }

  async time(): Promise<TimeUse> {
    return (await this.#ask({ type: 'time' }, 'time')).time;
  }

  async open(count: number, together: number): Promise<void> {
    await this.#ask({ type: 'open', count, together }, 'opened');
  }

  async exchange(active: number, count: number, together: number): Promise<Exchanged> {
    return (await this.#ask({ type: 'exchange', active, count, together }, 'exchanged')).exchanged;
  }

  async leave(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) {
      const late = setTimeout(() => killGroup(this.#child.pid), LEAVE_MILLIS);
      if (this.#child.connected) this.#child.send({ type: 'leave' } satisfies ScaleOrder);
      await once(this.#child, 'exit');
      clearTimeout(late);
    }
    this.#forget();
  }

  #ask<Type extends ScaleAnswer['type']>(order: ScaleOrder, type: Type) {
    this.#next = this.#message();
    this.#child.send(order);
    return this.#answer(type);
  }

  async #answer<Type extends ScaleAnswer['type']>(type: Type): Promise<Extract<ScaleAnswer, { type: Type }>> {
    const answer = await this.#next;
    if (answer.type === type) return answer as Extract<ScaleAnswer, { type: Type }>;
    throw new Error(`${this.#name}: ${answer.type === 'failed' ? answer.message : `said ${answer.type}`}`);
  }

  #message(): Promise<ScaleAnswer> {
    return new Promise((resolve) => {
      const settle = (answer: ScaleAnswer): void => {
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
        resolve(answer);
      };
      const onMessage = (message: unknown): void => settle(message as ScaleAnswer);
      const onExit = (code: number | null, signal: string | null): void =>
        settle({ type: 'failed', message: `it ended (${signal ?? `code ${code}`})` });
      this.#child.once('message', onMessage);
      this.#child.once('exit', onExit);
    });
  }
}
