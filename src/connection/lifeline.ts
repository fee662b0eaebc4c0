/**
 * The life of a connection: does what its machine says over a control channel and a data path, and tells the machine
 * what became of it. What is decided is decided in lifeline-machine.ts; nothing is decided here.
 *
 * A failed queue pair is replaced over the session that is still open, with fresh PSNs and a fresh number; a lost
 * session by a new one, which the client opens and the server recognises by its token. Either side may begin: a PSN
 * that comes while a connection is up means that the peer starts over.
 *
 * Invariants: outputs are carried out in the order in which the machine gave them, also when carrying out one leads to
 * more. After the end everything is freed, the socket last. Time comes from the clock alone, so that a simulation can
 * run it.
 */
import type { ControlChannel } from '../session/control-channel.js';
import { establishSession } from '../session/establish-session.js';
import type { SessionAttributes } from '../session/handshake.js';
import { deriveKeys, endSecret } from '../session/session-secrets.js';
import type { Terms } from '../session/terms.js';
import { asRdmaError, RdmaError, type RdmaErrorOptions } from '../verbs/errors.js';
import { type Clock, systemClock } from './clock.js';
import type { DataPlane, LinkKeys } from './data-plane.js';
import {
  type ChannelState,
  type LifelineInput,
  LifelineMachine,
  type LifelineOutput,
} from './lifeline-machine.js';
import type { RecoveryLimits } from './options.js';
import { StepName, type StepReporter } from './steps.js';

export interface LifelineOptions {
  readonly dataPath: DataPlane;
  readonly reporter: StepReporter;
  readonly limits: RecoveryLimits;
  /** Server: goes to the client with the parameters. */
  readonly resumeToken?: string;
  /** Gets another channel to the peer after the first one was lost. Rejects when the signal aborts. */
  readonly nextChannel: (signal: AbortSignal) => Promise<ControlChannel>;
  readonly clock?: Clock;
  /** From 0 to 1, for pauses. Default `Math.random`. */
  readonly random?: () => number;
}

export interface LifelineListener {
  onReconnecting(cause: RdmaError): void;
  onReconnected(): void;
}

export class Lifeline {
  listener: LifelineListener | null = null;
  /** Resolves when everything is freed: with `undefined` after an orderly end, else with what went wrong. */
  readonly closed: Promise<RdmaError | undefined>;
  /** What the peer promised last. */
  peerTerms: Terms | undefined;
  readonly #options: LifelineOptions;
  readonly #clock: Clock;
  readonly #machine: LifelineMachine;
  readonly #outputs: LifelineOutput[] = [];
  #isCarryingOut = false;
  #stopTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  /**
   * Ends the attempt to recover that is running. Kept here and not made of other signals: those of `AbortSignal.any` can be
   * collected as garbage, with whoever waits for them, while their sources live.
   */
  #attempt = new AbortController();
  readonly #afterEnd: (() => Promise<void>)[] = [];
  #channel: ControlChannel;
  /** A new number whenever frames are watched, so that the watch of before falls silent. */
  #watches = 0;
  #first: { resolve(): void; reject(error: unknown): void } | undefined;
  #resolveClosed: (error: RdmaError | undefined) => void = () => {};

  constructor(channel: ControlChannel, options: LifelineOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#machine = new LifelineMachine({
      limits: options.limits,
      random: options.random ?? Math.random,
      peerName: () => this.#channel.peerName,
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    options.dataPath.listener = {
      onLinkFailure: (error) => this.#input({ type: 'link-failed', error }),
      onProgress: () => this.#machine.progress(),
      onQuit: () => this.#input({ type: 'peer-quit' }),
      onQuitDone: () => this.#input({ type: 'quit-done' }),
    };
  }

  get channel(): ControlChannel {
    return this.#channel;
  }

  /** Nothing new is taken any more. */
  get isEnding(): boolean {
    return this.#machine.isEnding;
  }

  /** The end is under way or reached: nothing will bring the connection up again. */
  get isOver(): boolean {
    return this.#machine.isOver;
  }

  /** The session is lost, and the peer has not come back yet. */
  get isAbsent(): boolean {
    return this.#machine.state.name === 'down' && this.#channel.end !== undefined;
  }

  /**
   * Brings the connection up for the first time.
   *
   * @throws RdmaError why it failed; everything is freed then, and the channel has ended.
   */
  establish(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#first = { resolve, reject };
      this.#input({ type: 'start' });
    });
  }

  /** The peer came back over a new session, which `nextChannel` will give: the present one is over. */
  supersede(): void {
    const message = 'the peer came back over a new session';
    this.#channel.drop(new RdmaError('ERR_RDMA_CONNECTION_LOST', message));
  }

  /** Adds something to be freed at the very end. */
  onEnd(release: () => Promise<void>): void {
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

  get #channelState(): ChannelState {
    const { end } = this.#channel;
    if (end === undefined) return 'open';
    return end.error === undefined ? 'left' : 'lost';
  }

  #input(input: LifelineInput): void {
    this.#carryOut(this.#machine.handle(input, this.#clock.now(), this.#channelState));
  }

  #carryOut(outputs: readonly LifelineOutput[]): void {
    this.#outputs.push(...outputs);
    this.#setTimer();
    if (this.#isCarryingOut) return;
    this.#isCarryingOut = true;
    try {
      for (let next = this.#outputs.shift(); next !== undefined; next = this.#outputs.shift()) this.#do(next);
    } finally {
      this.#isCarryingOut = false;
    }
  }

  #setTimer(): void {
    const at = this.#machine.nextDeadline;
    if (at === this.#timerAt) return;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    const delayMillis = Math.max(0, Math.ceil(at - this.#clock.now()));
    this.#stopTimer = this.#clock.setTimer(delayMillis, () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#carryOut(this.#machine.handleTimeout(this.#clock.now(), this.#channelState));
    });
  }

  #do(output: LifelineOutput): void {
    const { dataPath, reporter } = this.#options;
    switch (output.type) {
      case 'run-session':
        this.#answer(this.#runSession(), { type: 'session-up' }, 'session-failed');
        break;
      case 'next-channel':
        this.#answer(this.#replaceChannel(), { type: 'new-channel' }, 'no-channel');
        break;
      case 'stop-attempt':
        this.#attempt.abort();
        break;
      case 'disconnect':
        this.#answer(dataPath.disconnect(output.cause), { type: 'disconnected' }, 'disconnected');
        break;
      case 'send-ping':
        this.#channel.send({ type: 'ping' });
        break;
      case 'send-pong':
        this.#channel.send({ type: 'pong' });
        break;
      case 'drop-channel':
        this.#channel.drop(silent(this.#channel.peerName, output.silentMillis));
        break;
      case 'fail-channel':
        this.#channel.fail(output.error, peerAnswer(output.error));
        break;
      case 'leave-channel':
        void this.#channel.close('quit');
        return;
      case 'send-quit':
        dataPath.quit();
        break;
      case 'end-receiving':
        dataPath.endReceiving();
        break;
      case 'destroy':
        void dataPath.destroy(output.error).then(() => this.#input({ type: 'destroyed' }));
        return;
      case 'finish':
        void this.#finish(output.error);
        return;
      case 'report':
        this.#report(output.step);
        break;
      case 'reconnecting':
        reporter.report(StepName.RECOVERING, recoveringDetails(output.cause, dataPath.qpState));
        this.listener?.onReconnecting(output.cause);
        break;
      case 'reconnected':
        this.listener?.onReconnected();
        break;
      case 'watch':
        void this.#watch();
    }
  }

  #answer(
    running: Promise<void>,
    done: LifelineInput,
    failed: 'session-failed' | 'no-channel' | 'disconnected',
  ): void {
    void running.then(
      () => this.#input(done),
      (error: unknown) => this.#input({ type: failed, error: asRdmaError(error, FAILED) }),
    );
  }

  #report(step: 'ready' | 'recovered' | 'quit'): void {
    const names = { ready: StepName.READY, recovered: StepName.RECOVERED, quit: StepName.QUIT } as const;
    this.#options.reporter.report(names[step]);
    if (step === 'ready') this.#first?.resolve();
  }

  async #runSession(): Promise<void> {
    const { dataPath, reporter, resumeToken } = this.#options;
    const channel = this.#channel;
    const end = { role: channel.role, secret: endSecret(channel) };
    let proving: SessionAttributes | undefined;
    const session = await establishSession(channel, {
      async createObjects() {
        reporter.report(StepName.PSN_EXCHANGED);
        const { path, terms } = await dataPath.prepare({ reachedAt: channel.localAddress, end });
        return { path, terms: resumeToken === undefined ? terms : { ...terms, resumeToken } };
      },
      checkPeer: ({ peer }) => dataPath.peerFault(peer, channel.remoteAddress),
      transition: (met) => dataPath.connect({ ...met, keys: linkKeys(channel, met) }),
      prove(met) {
        proving = met;
        channel.deadlineError = () => unreachable(channel, met);
        return dataPath.prove(met.terms);
      },
    }).catch((error: unknown) => {
      throw proving === undefined ? error : proofError(channel, proving, asRdmaError(error, FAILED));
    });
    this.peerTerms = session.terms;
    dataPath.open(session.terms);
  }

  async #replaceChannel(): Promise<void> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#channel = await this.#options.nextChannel(attempt.signal);
    this.#options.reporter.report(StepName.TLS, { peer: this.#channel.remoteAddress });
  }

  /** Reads the channel while the connection is up. */
  async #watch(): Promise<void> {
    const watch = ++this.#watches;
    const channel = this.#channel;
    const isOver = (): boolean => watch !== this.#watches || !this.#machine.isUp;
    const { dataPath } = this.#options;
    try {
      while (!isOver()) {
        const frame = await channel.peek();
        if (isOver()) return;
        // A PSN is left for the session that begins with it.
        if (frame.type !== 'psn') await channel.receive();
        this.#input({ type: 'frame', frame: frame.type, isBusy: dataPath.isBusy });
        if (frame.type === 'psn') return;
      }
    } catch (error) {
      if (isOver()) return;
      this.#input({ type: 'channel-ended', error: asRdmaError(error, FAILED), isBusy: dataPath.isBusy });
    }
  }

  async #finish(error: RdmaError | undefined): Promise<void> {
    await this.#channel.close('quit');
    this.#first?.reject(
      error ?? new RdmaError('ERR_RDMA_CLOSED', 'the connection is closed; open a new one'),
    );
    this.#options.reporter.report(StepName.TLS_CLOSED);
    for (const release of this.#afterEnd) await release();
    this.#input({ type: 'finished' });
    this.#resolveClosed(error);
  }
}

const FAILED = 'the connection failed on an internal error';

const linkKeys = (channel: ControlChannel, met: SessionAttributes): LinkKeys => ({
  messages: deriveKeys(channel, 'messages', met),
  memory: deriveKeys(channel, 'memory', met),
});

/** What it means that nothing proved the link. */
function proofError(channel: ControlChannel, met: SessionAttributes, error: RdmaError): RdmaError {
  const { end } = channel;
  const cause = end?.error ?? error;
  if (cause.code === 'ERR_RDMA_UNREACHABLE') return cause;
  // The peer has found out first.
  if (end?.told === 'unreachable') return unreachable(channel, met, { cause, refusal: end.told });
  const isUnanswered = cause.status === 'RETRY_EXC_ERR' || cause.code === 'ERR_RDMA_TIMEOUT';
  return isUnanswered ? unreachable(channel, met, { cause }) : cause;
}

function unreachable(
  { role, remoteAddress, remotePort }: ControlChannel,
  { own, peer }: SessionAttributes,
  options: RdmaErrorOptions = {},
): RdmaError {
  const tcp = `TCP ${role === 'client' ? 'to' : 'from'} ${remoteAddress}:${remotePort} works`;
  const isOne = own.udpPort === peer.udpPort;
  const udp = isOne
    ? `UDP port ${own.udpPort} does not come through: open it in both directions`
    : `UDP ports ${own.udpPort} here and ${peer.udpPort} there do not come through: open them in both directions`;
  return new RdmaError('ERR_RDMA_UNREACHABLE', `${tcp}, but ${udp}`, options);
}

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
  const told = error.fault === 'peer' || code === 'ERR_RDMA_COMPLETION' || code === 'ERR_RDMA_UNREACHABLE';
  return told ? error.message : 'the other side ended the connection';
}
