/** A process of the demo, seen from its parent: orders go in, events come out, waiting is bounded. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RdmaError, type RdmaErrorCode } from '../../verbs/errors.js';
import type { FailedEvent, Stamped } from './protocol.js';

const WAIT_MILLIS = 60_000;
/** How long a process may take to leave after its last event. */
const LEAVE_MILLIS = 3000;

interface Waiter<Event> {
  readonly matches: (event: Event) => boolean;
  readonly settle: (failure: RdmaError | undefined, event?: Event) => void;
}

export class Actor<Order extends object, Event extends { readonly event: string }> {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #waiters = new Set<Waiter<Event>>();
  readonly #exited: Promise<void>;
  readonly #onFailure: (failure: RdmaError) => void;
  #failure: RdmaError | undefined;
  #dismissed = false;

  constructor(
    name: string,
    module: URL,
    onEvent: (event: Event, epochMillis: number) => void,
    onFailure: (failure: RdmaError) => void,
  ) {
    this.name = name;
    this.#onFailure = onFailure;
    // Its standard output must stay ours alone; what goes wrong may be seen.
    this.#child = fork(fileURLToPath(module), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message: Stamped<Event> | null) => {
      if (message === null) return;
      onEvent(message.event, message.epochMillis);
      this.#onEvent(message.event);
    });
    this.#child.on('error', (error) => this.#fail(error.message));
    this.#exited = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        this.#fail(`ended too early (${signal ?? `exit code ${code}`})`);
        resolve();
      });
    });
  }

  order(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }

  /** The last order: the process ends when it is carried out. */
  dismiss(order: Order): void {
    this.#dismissed = true;
    this.order(order);
  }

  /**
   * The next event of this name that is `wanted`. Ask for it before the order that brings it about.
   *
   * @throws RdmaError when the process fails, ends or is silent for a minute.
   */
  next<Name extends Event['event']>(
    name: Name,
    wanted: (event: Extract<Event, { event: Name }>) => boolean = () => true,
  ): Promise<Extract<Event, { event: Name }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          waiter.settle(
            new RdmaError('ERR_RDMA_TIMEOUT', `${this.name} did not get to "${name}" in a minute`),
          ),
        WAIT_MILLIS,
      );
      const waiter: Waiter<Event> = {
        matches: (event) => event.event === name && wanted(event as Extract<Event, { event: Name }>),
        settle: (failure, event) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          if (failure !== undefined) reject(failure);
          else resolve(event as Extract<Event, { event: Name }>);
        },
      };
      if (this.#failure !== undefined) waiter.settle(this.#failure);
      else this.#waiters.add(waiter);
    });
  }

  /** Resolves when the process is gone; one that does not leave is killed. */
  async left(): Promise<void> {
    const timer = setTimeout(() => this.kill(), LEAVE_MILLIS);
    await this.#exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #onEvent(event: Event): void {
    if (event.event === 'failed') {
      const { code, message } = (event as unknown as FailedEvent).error;
      this.#failWith(new RdmaError(code as RdmaErrorCode, `${this.name}: ${message}`));
    }
    for (const waiter of [...this.#waiters]) if (waiter.matches(event)) waiter.settle(undefined, event);
  }

  #fail(what: string): void {
    this.#failWith(new RdmaError('ERR_RDMA_ABORTED', `${this.name} ${what}`));
  }

  #failWith(failure: RdmaError): void {
    if (this.#failure === undefined && !this.#dismissed) this.#onFailure(failure);
    this.#failure ??= failure;
    for (const waiter of [...this.#waiters]) waiter.settle(this.#failure);
  }
}
