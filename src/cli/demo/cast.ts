/**
 * The processes of the demo: starts them, hands on what they tell with the time at which it happened, and sees to it
 * that none of them outlives the demo.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { Actor } from './actor.js';
import type { Moment } from './moment.js';
import type { ClientEvent, ClientOrder, ServerEvent, ServerOrder } from './protocol.js';

const SERVER_MODULE = new URL('./server-process.js', import.meta.url);
const CLIENT_MODULE = new URL('./client-process.js', import.meta.url);

export type ServerActor = Actor<ServerOrder, ServerEvent>;
export type ClientActor = Actor<ClientOrder, ClientEvent>;

const now = (): number => performance.timeOrigin + performance.now();

export class Cast {
  readonly #startedAt = now();
  readonly #onMoment: (moment: Moment) => void;
  readonly #actors: { kill(): void; left(): Promise<void> }[] = [];
  readonly #failure: Promise<never>;
  #fail: (failure: RdmaError) => void = () => {};

  constructor(onMoment: (moment: Moment) => void) {
    this.#onMoment = onMoment;
    this.#failure = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Whoever waits through `unlessOneFails` gets it; nobody may be waiting.
    this.#failure.catch(() => {});
  }

  get elapsedMillis(): number {
    return now() - this.#startedAt;
  }

  server(): ServerActor {
    const actor: ServerActor = new Actor(
      'the server',
      SERVER_MODULE,
      (event, epochMillis) =>
        this.#onMoment({ atMillis: epochMillis - this.#startedAt, actor: 'server', event }),
      this.#fail,
    );
    this.#actors.push(actor);
    return actor;
  }

  client(number: number): ClientActor {
    const actor: ClientActor = new Actor(
      `client ${number}`,
      CLIENT_MODULE,
      (event, epochMillis) =>
        this.#onMoment({ atMillis: epochMillis - this.#startedAt, actor: 'client', client: number, event }),
      this.#fail,
    );
    this.#actors.push(actor);
    return actor;
  }

  /** Waits for `work`, but not for what a process that has failed will never do. */
  unlessOneFails<Result>(work: Promise<Result>): Promise<Result> {
    return Promise.race([work, this.#failure]);
  }

  /** Resolves when all processes are gone. */
  async left(): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.left()));
  }

  kill(): void {
    for (const actor of this.#actors) actor.kill();
  }
}
