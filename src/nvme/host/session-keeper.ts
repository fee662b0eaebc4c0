/**
 * Keeps a host connected: takes what `ReconnectMachine` decides to sessions, each of which is a controller with its queues, and hands their
 * queues to the router.
 *
 * Invariants: no session is opened before nothing of the former one leaves any more; one session is there at a time; when `close`
 * resolves, neither a session nor an attempt is left.
 */
import { RdmaError } from '../../verbs/errors.js';
import type { CommandRouter } from './command-router.js';
import type { CommandQueue } from './host-command.js';
import { isWorthAnotherAttempt } from './host-errors.js';
import { ReconnectMachine, type ReconnectPolicy } from './reconnect-machine.js';

/** A controller with its queues, as long as it lives. */
export interface HostSession {
  readonly queues: readonly CommandQueue[];
  /** Why it ended. Never rejects. */
  readonly ended: Promise<string>;
  /** Has the target make everything durable, and leaves. @throws unless the target says that it has. */
  close(): Promise<void>;
  /** Leaves. Resolves as soon as nothing of it reaches the target any more. */
  silence(): Promise<void>;
  /** Resolves when nothing is left of it at this end. */
  abandon(): Promise<void>;
}

export interface KeeperEvents<Session> {
  /** It is gone, and attempts follow. */
  onLost(reason: string): void;
  onAttemptFailed(error: RdmaError, attempt: number): void;
  onBack(session: Session, attempts: number): void;
  onOver(reason: string): void;
}

export interface KeeperOptions<Session> {
  readonly session: Session;
  readonly router: CommandRouter;
  readonly policy: ReconnectPolicy;
  /** Opens the next one. */
  readonly open: (signal: AbortSignal) => Promise<Session>;
  readonly events: KeeperEvents<Session>;
}

export class SessionKeeper<Session extends HostSession> {
  readonly #options: KeeperOptions<Session>;
  readonly #machine: ReconnectMachine;
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Former sessions that are not gone yet, and attempts. */
  readonly #leaving = new Set<Promise<unknown>>();
  #silenced: Promise<void> = Promise.resolve();
  #attempt: AbortController | undefined;
  /** What the orderly end of the last session failed with. */
  #failure: unknown;
  readonly #over: Promise<void>;
  #tellOver: () => void = () => {};

  constructor(options: KeeperOptions<Session>) {
    this.#options = options;
    this.#machine = new ReconnectMachine(options.policy, performance.now(), Math.random);
    this.#over = new Promise((resolve) => {
      this.#tellOver = resolve;
    });
    this.#use(options.session);
  }

  /** The last session has ended without saying that everything is durable. */
  get failure(): unknown {
    return this.#failure;
  }

  /** No further session after this one. */
  forbid(reason: string): void {
    this.#machine.forbid(reason);
    this.#act();
  }

  /** Resolves when nothing is left at this end. Idempotent. */
  close(reason: string): Promise<void> {
    this.#machine.stop(reason);
    this.#act();
    return this.#over;
  }

  #use(session: Session): void {
    this.#session = session;
    this.#options.router.connected(session.queues);
    session.ended.then((reason) => this.#onEnded(session, reason));
  }

  #onEnded(session: Session, reason: string): void {
    if (session !== this.#session) return;
    this.#machine.lost(performance.now(), reason);
    if (this.#machine.state === 'over') {
      this.#act();
      return;
    }
    this.#session = undefined;
    this.#options.router.disconnected();
    this.#silenced = session.silence();
    this.#keep(session.abandon());
    this.#options.events.onLost(reason);
    this.#act();
  }

  #act(): void {
    clearTimeout(this.#timer);
    const action = this.#machine.takeAction();
    if (action?.type === 'open') this.#keep(this.#open(action.attempt));
    if (action?.type === 'end') void this.#end(action.reason);
    const deadline = this.#machine.nextDeadline();
    if (deadline === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#machine.handleTimeout(performance.now());
        this.#act();
      },
      Math.ceil(Math.max(0, deadline - performance.now())),
    );
  }

  async #open(attempt: number): Promise<void> {
    const { open, events } = this.#options;
    const giveUp = new AbortController();
    this.#attempt = giveUp;
    try {
      await this.#silenced;
      giveUp.signal.throwIfAborted();
      const session = await open(giveUp.signal);
      if (!this.#machine.opened(performance.now())) {
        await session.abandon();
        return;
      }
      this.#use(session);
      events.onBack(session, attempt);
    } catch (error) {
      if (this.#machine.state !== 'opening') return;
      const known = error instanceof RdmaError ? error : new RdmaError('ERR_RDMA_INTERNAL', String(error));
      events.onAttemptFailed(known, attempt);
      this.#machine.failed(performance.now(), known.message, !isWorthAnotherAttempt(known));
    }
    this.#act();
  }

  async #end(reason: string): Promise<void> {
    this.#attempt?.abort();
    const session = this.#session;
    if (session === undefined) this.#failure = new RdmaError('ERR_RDMA_CONNECTION_LOST', reason);
    // What is under way fails with the end of the queues.
    const closing = session?.close().catch((error: unknown) => {
      this.#failure = error;
    });
    this.#options.router.end(reason);
    await closing;
    await Promise.all(this.#leaving);
    this.#options.events.onOver(reason);
    this.#tellOver();
  }

  /** What `close` waits for. */
  #keep(work: Promise<unknown>): void {
    const leaving = work.catch(() => {}).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}
