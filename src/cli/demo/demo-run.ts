/**
 * The acts of the demo, in their order. Nothing of it outlives it: processes are killed and the temporary directory is
 * removed also when something fails or somebody interrupts.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StepName } from '../../connection/common/steps.js';
import type { Output } from '../output.js';
import { rounded } from '../service.js';
import { Cast, type ClientActor, type ServerActor } from './cast.js';
import { demoFiles } from './demo-files.js';
import type { DemoNarrator } from './demo-narrator.js';
import { FILES_EXPLAINED } from './explanations.js';
import type { Moment } from './moment.js';
import type { DemoFile } from './protocol.js';
import { Verdict } from './verdict.js';

/** More than the demo needs. */
const SLOTS = 10;

export interface DemoOptions {
  readonly clients: number;
  readonly revealPsns: boolean;
  /** File for what the device of the server sends and receives. */
  readonly capture: string | undefined;
}

/** @throws RdmaError when a process of the demo fails. */
export async function runDemo(
  options: DemoOptions,
  output: Output,
  narrator: DemoNarrator,
  signal: AbortSignal,
): Promise<{ passed: boolean }> {
  const dir = await mkdtemp(join(tmpdir(), 'queuepair-demo-'));
  // A process that is being killed may still add files.
  const removeDir = (): void => rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  process.on('exit', removeDir);
  const files = await Promise.all(
    Array.from({ length: options.clients }, (_, index) => demoFiles(index + 1, dir)),
  );
  const demo = new Demo(options, dir, files, output, narrator);
  signal.addEventListener('abort', () => demo.kill());
  try {
    signal.throwIfAborted();
    return await demo.play();
  } finally {
    demo.kill();
    await demo.left();
    removeDir();
    process.off('exit', removeDir);
  }
}

const listed = (last: number): string => (last === 3 ? 'Clients 2 and 3' : `Clients 2 to ${last}`);

class Demo {
  readonly #options: DemoOptions;
  readonly #dir: string;
  readonly #files: readonly (readonly DemoFile[])[];
  readonly #output: Output;
  readonly #narrator: DemoNarrator;
  readonly #verdict: Verdict;
  readonly #cast: Cast;

  constructor(
    options: DemoOptions,
    dir: string,
    files: readonly (readonly DemoFile[])[],
    output: Output,
    narrator: DemoNarrator,
  ) {
    this.#options = options;
    this.#dir = dir;
    this.#files = files;
    this.#output = output;
    this.#narrator = narrator;
    this.#verdict = new Verdict(options.clients, files.flat().length, (file) => {
      output.event({ event: 'compared', ...file });
      narrator.compared(file);
    });
    this.#cast = new Cast((moment) => this.#onMoment(moment));
  }

  kill(): void {
    this.#cast.kill();
  }

  /** Resolves when all processes are gone. */
  left(): Promise<void> {
    return this.#cast.left();
  }

  async play(): Promise<{ passed: boolean }> {
    const { clients, capture } = this.#options;
    this.#narrator.begin(clients);
    try {
      // All processes start at once, although their entrances come one after the other.
      const actors = Array.from({ length: clients }, (_, index) => this.#cast.client(index + 1));
      const { server, port } = await this.#startServer();
      await this.#connectAll(server, actors, port);
      await this.#carryFiles(actors);
      await this.#quit(server, actors);
      await this.#stop(server);
    } catch (error) {
      this.#narrator.interrupted();
      throw error;
    }
    const summary = this.#verdict.summary(this.#cast.elapsedMillis);
    this.#narrator.end(summary);
    const passed = summary.hashesEqual && summary.leaked === 0;
    this.#output.event({
      event: 'summary',
      ...summary,
      ...(capture === undefined ? {} : { capture }),
      passed,
    });
    return { passed };
  }

  async #startServer(): Promise<{ server: ServerActor; port: number }> {
    const { revealPsns, capture } = this.#options;
    this.#narrator.act('The server starts');
    const server = this.#cast.server();
    const listening = server.next('listening');
    server.order({ order: 'serve', certificateDir: this.#certificateDir, slots: SLOTS, revealPsns, capture });
    const { port } = await listening;
    return { server, port };
  }

  /** Client 1 alone, to be watched closely; the others at once. */
  async #connectAll(server: ServerActor, actors: readonly ClientActor[], port: number): Promise<void> {
    const [first, ...others] = actors;
    if (first === undefined) return;
    this.#narrator.act('Client 1 connects');
    await this.#cast.unlessOneFails(this.#connect(server, first, 1, port).then(({ done }) => done));
    if (others.length > 0) {
      this.#narrator.act(
        others.length === 1 ? 'Client 2 connects' : `${listed(actors.length)} connect, all at once`,
      );
      const all: Promise<unknown>[] = [];
      for (const [index, actor] of others.entries()) {
        all.push((await this.#cast.unlessOneFails(this.#connect(server, actor, index + 2, port))).done);
      }
      await this.#cast.unlessOneFails(Promise.all(all));
    }
    this.#narrator.endAct();
    this.#narrator.coldPath();
  }

  /**
   * Resolves when the server has the client under its number, which it gives in the order in which they come; `done`
   * when the client is welcomed and its hello has come back.
   */
  async #connect(
    server: ServerActor,
    actor: ClientActor,
    client: number,
    port: number,
  ): Promise<{ done: Promise<unknown> }> {
    const { revealPsns } = this.#options;
    // What the server tells of this client until then is wanted, too.
    const heard = server.next('message', (event) => event.client === client);
    const done = Promise.all([actor.next('echo'), heard]);
    // Its failure reaches whoever waits for `done` or for the cast.
    done.catch(() => {});
    const accepted = server.next('step', (event) => event.client === client && event.step === StepName.TLS);
    actor.order({
      order: 'connect',
      client,
      host: '127.0.0.1',
      port,
      certificateDir: this.#certificateDir,
      revealPsns,
    });
    await accepted;
    return { done };
  }

  async #carryFiles(actors: readonly ClientActor[]): Promise<void> {
    this.#narrator.act('Files travel, from all clients at once', FILES_EXPLAINED);
    const worked = actors.map((actor, index) => {
      const copyDir = join(this.#dir, `copies-of-client-${index + 1}`);
      const done = actor.next('worked');
      actor.order({ order: 'work', files: this.#files[index] ?? [], copyDir });
      return done;
    });
    await this.#cast.unlessOneFails(Promise.all([...worked, this.#verdict.allCompared]));
  }

  async #quit(server: ServerActor, actors: readonly ClientActor[]): Promise<void> {
    this.#narrator.act('The clients quit');
    for (const [index, actor] of actors.entries()) {
      const freed = server.next(
        'step',
        ({ client, step }) => client === index + 1 && step === StepName.SLOT_FREED,
      );
      const left = Promise.all([actor.next('census'), freed]);
      actor.dismiss({ order: 'quit' });
      await this.#cast.unlessOneFails(left);
    }
  }

  async #stop(server: ServerActor): Promise<void> {
    this.#narrator.act('The server stops');
    const counted = server.next('census');
    server.dismiss({ order: 'stop' });
    await counted;
    await this.#cast.left();
    this.#narrator.endAct();
  }

  #onMoment(moment: Moment): void {
    const { event: told, actor, atMillis } = moment;
    if (told.event === 'booted') return;
    const { event, ...fields } = told;
    const client = moment.actor === 'client' ? { client: moment.client } : {};
    this.#output.event({ event, actor, ...client, ...fields, demoMillis: rounded(atMillis) });
    this.#narrator.tell(moment);
    this.#verdict.note(moment);
  }

  get #certificateDir(): string {
    return join(this.#dir, 'certificates');
  }
}
