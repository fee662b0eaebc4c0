/**
 * The life of a connection: does what its machine says over a rendezvous and a data plane, and tells the machine what
 * became of it. What is decided is decided in lifeline-machine.ts; nothing is decided here.
 *
 * A failed queue pair is replaced over the rendezvous that is still there, with fresh PSNs and a fresh number; a lost
 * rendezvous by a new one, which the client seeks and in which the server recognises it by its token. Either side may
 * begin. A brief life has no rendezvous while it is up, and of the last one the plain data alone (parted-rendezvous.ts).
 *
 * Invariants: outputs are carried out in the order in which the machine gave them, also when carrying out one leads to
 * more. After the end everything is freed, the rendezvous last. Time comes from the clock alone, so that a simulation can
 * run it.
 */
import type { ProofSeen } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import type { RefusalKind } from '../../verbs/refusal-kind.js';
import { Cleanup } from '../common/cleanup.js';
import { type Clock, type ClockTimer, systemClock } from '../common/clock.js';
import { StepName, type StepReporter } from '../common/steps.js';
import type { TimerOwner } from '../common/timer-wheel.js';
import type { DataPlane, DataPlaneListener, QueuePairStatus } from '../data-path/data-plane.js';
import { CLOSED_IN_ORDER, closeCodeOf, closeKindOf } from '../fragments/close-codes.js';
import type { RecoveryLimits } from '../terms/options.js';
import type { ConnectionLife, LifelineListener, SessionState } from './connection-life.js';
import { EndPromise } from './end-promise.js';
import type { LifelineInput, LifelineOutput, RendezvousState } from './lifeline-events.js';
import { LifelineMachine } from './lifeline-machine.js';
import { PartedRendezvous } from './parted-rendezvous.js';
import type { Rendezvous, RendezvousListener } from './rendezvous.js';

export interface LifelineOptions {
  readonly dataPath: DataPlane;
  readonly reporter: StepReporter;
  readonly limits: RecoveryLimits;
  /** Server: goes to the client with the parameters. */
  readonly resumeToken?: string;
  /** Finds the peer again after the first rendezvous was lost. Rejects when the signal aborts. */
  nextRendezvous(signal: AbortSignal): Promise<Rendezvous>;
  /** Server: resolves when the peer may have another link; rejects when the signal aborts. */
  turn?(signal: AbortSignal): Promise<void>;
  readonly clock?: Clock;
  /** From 0 to 1, for pauses. Default `Math.random`. */
  readonly random?: () => number;
}

/** Its methods `on…` are for its data plane, its rendezvous and its timer: objects for each would be as large as all the rest of it. */
export class Lifeline implements ConnectionLife, DataPlaneListener, RendezvousListener, TimerOwner {
  listener: LifelineListener | null = null;
  /** What the peer promised last. */
  peerTerms: Terms | undefined;
  /** The memory that is lent to the peer; empty when none is. */
  lentMemory: Uint8Array = NO_MEMORY;
  isEncrypted = false;
  /** As the data plane told it last. */
  queuePair: QueuePairStatus | null = null;
  readonly #options: LifelineOptions;
  readonly #clock: Clock;
  readonly #machine: LifelineMachine;
  /** Never changed, as they are the machine's. */
  #outputs: readonly LifelineOutput[] = NOTHING;
  #isCarryingOut = false;
  readonly #timer: ClockTimer;
  #timerAt = Number.POSITIVE_INFINITY;
  /**
   * Ends the attempt to recover that is running. Kept here and not made of other signals: those of `AbortSignal.any` can be
   * collected as garbage, with whoever waits for them, while their sources live.
   */
  #attempt: AbortController | null = null;
  #afterEnd: (() => Promise<void>)[] | null = null;
  #rendezvous: Rendezvous;
  #isWatching = false;
  /** Of the attempt that is proving its path. */
  #onProofSeen: ((seen: ProofSeen) => void) | undefined;
  #first: { resolve(): void; reject(error: unknown): void } | undefined;
  readonly #end = new EndPromise();
  /** Number of the fragment that would come next, while there is no link over which any could come. */
  #received: number | undefined;

  constructor(rendezvous: Rendezvous, options: LifelineOptions) {
    this.#rendezvous = rendezvous;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#timer = this.#clock.timer(this);
    const { limits, random = Math.random } = options;
    this.#machine = new LifelineMachine({ limits, random });
    options.dataPath.listener = this;
  }

  /** Resolves when everything is freed: with `undefined` after an orderly end, else with what went wrong. */
  get closed(): Promise<RdmaError | undefined> {
    return this.#end.promise;
  }

  /** The present one. */
  get rendezvous(): Rendezvous {
    return this.#rendezvous;
  }

  get session(): SessionState {
    const { end, isParted } = this.#rendezvous;
    if (end === undefined) return 'open';
    return isParted && this.#machine.isUp ? 'left' : 'lost';
  }

  /** Nothing new is taken any more. */
  get isEnding(): boolean {
    return this.#machine.isEnding;
  }

  /** The end is under way or reached: nothing will bring the connection up again. */
  get isOver(): boolean {
    return this.#machine.isOver;
  }

  /** It was up at some time: the program may have it. */
  get hasBeenUp(): boolean {
    return this.#machine.hasBeenUp;
  }

  /** The rendezvous is lost, and the peer has not come back yet. */
  get isAbsent(): boolean {
    return this.#machine.state.name === 'down' && this.#rendezvous.end !== undefined;
  }

  /**
   * Brings the connection up for the first time. Where the peer may be up before this side, it can take a recovery.
   *
   * @throws RdmaError why it failed; everything is freed then, and the rendezvous has ended.
   */
  establish(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#first = { resolve, reject };
      this.#input({ type: 'start' });
    });
  }

  /** The peer came back to a new rendezvous, which `nextRendezvous` will give: the present one is over. */
  supersede(): void {
    const error = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the peer came back over a new session');
    // Nobody would hear of the end of one that is left.
    if (this.#rendezvous.isParted) this.#input({ type: 'rendezvous-ended', error });
    this.#rendezvous.drop(error);
  }

  /** Adds something to be freed at the very end. */
  onEnd(release: () => Promise<void>): void {
    this.#afterEnd ??= [];
    this.#afterEnd.push(release);
  }

  /** Ends the connection in order: what was sent before arrives, the peer is told, everything is freed. Idempotent. */
  async close(): Promise<void> {
    this.#input({ type: 'close' });
    await this.closed;
  }

  /** Ends the connection at once because of `error`. Idempotent. */
  abort(error: RdmaError): void {
    this.#input({ type: 'abort', error });
  }

  // --- what the data plane tells ------------------------------------------------------------------------------------

  onLinkFailure(error: RdmaError): void {
    this.#input({ type: 'link-failed', error });
  }

  onProgress(): void {
    this.#machine.progress();
    if (this.#machine.isQuiet) this.#note();
  }

  onSignOfLife(): void {
    this.#machine.signOfLife();
    if (this.#machine.isQuiet) this.#note();
  }

  #note(): void {
    this.#machine.note(this.#clock.now());
    this.#setTimer();
  }

  onSpoken(): void {
    this.#machine.spoken();
  }

  onProofSeen(seen: ProofSeen): void {
    this.#onProofSeen?.(seen);
  }

  onQuit(): void {
    this.#input({ type: 'peer-quit' });
  }

  onHeld(isHeld: boolean): void {
    this.#input({ type: 'held', isHeld });
  }

  onQuitDone(): void {
    this.#input({ type: 'quit-done' });
  }

  onBye(): void {
    this.#input({ type: 'peer-bye' });
  }

  onByeDone(): void {
    this.#input({ type: 'bye-done' });
  }

  onPeerClose(code: number): void {
    const error = code === CLOSED_IN_ORDER ? undefined : this.#closedBy(closeKindOf(code));
    this.#input({ type: 'peer-close', error });
  }

  onCloseTold(): void {
    this.#input({ type: 'close-told' });
  }

  onQueuePair(queuePair: QueuePairStatus | null): void {
    this.queuePair = queuePair;
  }

  // --- what the rendezvous tells ------------------------------------------------------------------------------------

  onHeard(): void {
    this.#input({ type: 'heard' });
  }

  onRestart(): void {
    this.#input({ type: 'peer-restarted' });
  }

  onLeft(): void {
    this.#input({ type: 'peer-left' });
  }

  onParted(): void {
    this.#isWatching = false;
    this.#rendezvous = new PartedRendezvous(this.#rendezvous);
    this.#input({ type: 'parted' });
  }

  onEnded(error: RdmaError): void {
    this.#input({ type: 'rendezvous-ended', error });
  }

  get #rendezvousState(): RendezvousState {
    const { end, isParted } = this.#rendezvous;
    if (isParted) return 'parted';
    if (end === undefined) return 'open';
    return end.error === undefined ? 'left' : 'lost';
  }

  #input(input: LifelineInput): void {
    this.#carryOut(this.#machine.handle(input, this.#clock.now(), this.#rendezvousState));
  }

  #carryOut(outputs: readonly LifelineOutput[]): void {
    if (!this.#machine.isUp) this.#stopWatching();
    this.#setTimer();
    if (outputs.length === 0) return;
    this.#outputs = this.#outputs.length === 0 ? outputs : [...this.#outputs, ...outputs];
    if (this.#isCarryingOut) return;
    this.#isCarryingOut = true;
    try {
      while (this.#outputs.length > 0) {
        const next = this.#outputs[0] as LifelineOutput;
        this.#outputs = this.#outputs.length === 1 ? NOTHING : this.#outputs.slice(1);
        this.#do(next);
      }
    } finally {
      this.#isCarryingOut = false;
    }
  }

  #setTimer(): void {
    const at = this.#machine.nextDeadline;
    if (at === this.#timerAt) return;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) this.#timer.stop();
    else this.#timer.set(Math.max(0, Math.ceil(at - this.#clock.now())));
  }

  onTimer(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#carryOut(this.#machine.handleTimeout(this.#clock.now(), this.#rendezvousState));
  }

  #do(output: LifelineOutput): void {
    const { dataPath, reporter } = this.#options;
    const rendezvous = this.#rendezvous;
    switch (output.type) {
      case 'meet':
        this.#answer(this.#meet(), 'not-met');
        break;
      case 'next-rendezvous':
        this.#answer(this.#replaceRendezvous(), 'no-rendezvous');
        break;
      case 'stop-attempt':
        this.#attempt?.abort();
        break;
      case 'disconnect':
        this.#answer(this.#disconnect(output.cause), 'disconnected');
        break;
      case 'await-answers':
        void dataPath.answered().then(() => this.#input({ type: 'answered' }));
        break;
      case 'beat':
        dataPath.beat();
        break;
      case 'ask':
        dataPath.askProgram();
        break;
      case 'ask-peer':
        rendezvous.ask();
        break;
      case 'drop-rendezvous':
        rendezvous.drop(silent(rendezvous.peerName, output.silentMillis));
        break;
      case 'fail-rendezvous':
        rendezvous.fail(output.error, peerAnswer(output.error));
        break;
      case 'leave-rendezvous':
        void rendezvous.close(this.#received);
        return;
      case 'send-quit':
        dataPath.quit();
        break;
      case 'send-bye':
        dataPath.bye();
        break;
      case 'send-close':
        dataPath.tellClose(closeCodeOf(output.error));
        break;
      case 'end-receiving':
        dataPath.endReceiving();
        break;
      case 'destroy':
        void dataPath.destroy(output.error, rendezvous.end?.received).then(
          (received) => {
            this.#received = received;
            this.#input({ type: 'destroyed' });
          },
          (error: unknown) => this.#input({ type: 'destroyed', error: asRdmaError(error, FAILED) }),
        );
        return;
      case 'finish':
        void this.#finish(output.error);
        return;
      case 'report':
        this.#report(output.step);
        break;
      case 'reconnecting':
        reporter.report(
          StepName.RECOVERING,
          recoveringDetails(output.cause, this.queuePair?.state ?? 'none'),
        );
        this.listener?.onReconnecting(output.cause);
        break;
      case 'reconnected':
        this.listener?.onReconnected();
        break;
      case 'watch':
        if (this.#machine.isUp) this.#watch();
        break;
      case 'part-rendezvous':
        rendezvous.part();
    }
  }

  /** A server says why; a client that leaves has left, whatever it calls that. */
  #closedBy(kind: RefusalKind): RdmaError {
    const refusal = this.#options.resumeToken === undefined ? kind : 'left';
    const message = `${this.#rendezvous.peerName} ended the connection (${kind})`;
    return new RdmaError('ERR_RDMA_REFUSED', message, { refusal });
  }

  #answer(running: Promise<LifelineInput>, failed: 'not-met' | 'no-rendezvous' | 'disconnected'): void {
    void running.then(
      (done) => this.#input(done),
      (error: unknown) => this.#input({ type: failed, error: asRdmaError(error, FAILED) }),
    );
  }

  #report(step: keyof typeof REPORTED): void {
    this.#options.reporter.report(REPORTED[step]);
    if (step === 'parted') this.listener?.onParted?.();
    if (step !== 'ready') return;
    this.#first?.resolve();
    this.#first = undefined;
  }

  async #meet(): Promise<LifelineInput> {
    const { dataPath, reporter, resumeToken } = this.#options;
    let isWanted = false;
    const terms = await this.#rendezvous.meet({
      prepare: async (options, signal) => {
        reporter.report(StepName.PSN_EXCHANGED);
        if (signal !== undefined) await this.#options.turn?.(signal);
        const { path, terms, memory } = await dataPath.prepare(options);
        this.lentMemory = memory;
        isWanted = terms.brief !== undefined;
        return { path, terms: resumeToken === undefined ? terms : { ...terms, resumeToken } };
      },
      peerFault: (peer, address) => dataPath.peerFault(peer, address),
      connect: async (link) => {
        this.#received = undefined;
        const { isEncrypted } = await dataPath.connect(link);
        this.isEncrypted = isEncrypted;
        // A peer with a token comes back. Of a rendezvous that has ended it cannot have got what lets it go up.
        const isTold = this.#rendezvous.end === undefined;
        if (resumeToken !== undefined && isTold) this.#input({ type: 'peer-may-be-up' });
      },
      prove: (terms, onSeen) => {
        this.#onProofSeen = onSeen;
        return dataPath.prove(terms);
      },
    });
    // It holds the paths of both ends, and nobody listens any more.
    this.#onProofSeen = undefined;
    this.peerTerms = terms;
    await dataPath.open(terms);
    const { brief } = terms;
    if (!isWanted || brief === undefined) return { type: 'met' };
    // A client seeks its server, which can only wait until the client knows.
    const noticeMillis = resumeToken === undefined ? 0 : brief.noticeMillis;
    return { type: 'met', brief: { noticeMillis } };
  }

  async #disconnect(cause: RdmaError): Promise<LifelineInput> {
    this.#received = await this.#options.dataPath.disconnect(cause);
    return { type: 'disconnected' };
  }

  async #replaceRendezvous(): Promise<LifelineInput> {
    const before = this.#rendezvous;
    if (before.isParted) before.drop(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'a new session is needed'));
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#rendezvous = await this.#options.nextRendezvous(attempt.signal);
    this.#options.reporter.report(StepName.TLS, { peer: this.#rendezvous.remoteAddress });
    return { type: 'new-rendezvous' };
  }

  #watch(): void {
    this.#isWatching = true;
    this.#rendezvous.watch(this);
  }

  #stopWatching(): void {
    if (!this.#isWatching) return;
    this.#isWatching = false;
    this.#rendezvous.unwatch();
  }

  async #finish(error: RdmaError | undefined): Promise<void> {
    this.lentMemory = NO_MEMORY;
    const cleanup = new Cleanup();
    await cleanup.step(() => this.#rendezvous.close(this.#received));
    this.#first?.reject(
      error ?? new RdmaError('ERR_RDMA_CLOSED', 'the connection is closed; open a new one'),
    );
    this.#options.reporter.report(StepName.TLS_CLOSED);
    for (const release of this.#afterEnd ?? []) await cleanup.step(release);
    this.#input({ type: 'finished' });
    const outcome = error ?? cleanup.error(FAILED);
    this.#end.come(outcome);
    this.listener?.onClosed(outcome);
  }
}

const NO_MEMORY = new Uint8Array(0);
const NOTHING: readonly LifelineOutput[] = [];
const FAILED = 'the connection failed on an internal error';
const REPORTED = {
  ready: StepName.READY,
  recovered: StepName.RECOVERED,
  parted: StepName.SESSION_LEFT,
  quit: StepName.QUIT,
} as const;

const silent = (peerName: string, silentMillis: number): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', `${peerName} has been silent for ${Math.round(silentMillis)} ms`);

const recoveringDetails = ({ code, status = '' }: RdmaError, qpState: string): Record<string, string> => ({
  code,
  status,
  qpState,
});

/** What the peer is told: for its own faults the reason; never more of this side than that. */
function peerAnswer(error: RdmaError): string {
  const { code } = error;
  if (error.refusal === 'worker') return 'the worker that served this connection has died; connect again';
  const told = error.fault === 'peer' || code === 'ERR_RDMA_COMPLETION' || code === 'ERR_RDMA_UNREACHABLE';
  return told ? error.message : 'the other side ended the connection';
}
