/**
 * The life of a connection: establishes it over a control channel, watches channel and data path, recovers from the
 * failure of either, and ends it.
 *
 * A failed queue pair is replaced over the session that is still open, with fresh PSNs and a fresh number; a lost
 * session by a new one, which the client opens and the server recognises by its token. Either side may begin: a PSN
 * that comes while a connection is up means that the peer starts over.
 *
 * Invariants: it ends once, for one reason; then everything is freed, the socket last. Failures that are the peer's
 * fault or a refusal end it; only the network's are recovered from, and only while the time for that lasts.
 */
import type { ControlChannel } from '../session/control-channel.js';
import { establishSession } from '../session/establish-session.js';
import type { Frame } from '../session/frames.js';
import { generatePsn } from '../session/psn-source.js';
import type { Terms } from '../session/terms.js';
import { asRdmaError, RdmaError, type RdmaErrorCode } from '../verbs/errors.js';
import type { DataPath } from './data-path.js';
import { FrameSource } from './frame-source.js';
import { KeepAlive } from './keep-alive.js';
import { MessageKind } from './message-header.js';
import type { RecoveryLimits } from './options.js';
import { StepName, type StepReporter } from './steps.js';

/** An orderly end in which nothing moves for this long becomes an abrupt one. */
const QUIT_MILLIS = 1500;
const FIRST_PAUSE_MILLIS = 5;
const LONGEST_PAUSE_MILLIS = 200;
/** How long what the data path says of a request may come after the end of the session. */
const LAST_ANSWER_MILLIS = 20;

/** What an attempt to recover may fail with and be tried again. */
const RETRYABLE: readonly RdmaErrorCode[] = [
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
];
/** What a connection recovers from. TLS that broke is mended by a new session, which verifies the peer anew. */
const RECOVERABLE: readonly RdmaErrorCode[] = [...RETRYABLE, 'ERR_RDMA_TLS'];

export interface LifelineOptions {
  readonly dataPath: DataPath;
  readonly reporter: StepReporter;
  readonly limits: RecoveryLimits;
  /** Server: goes to the client with the parameters. */
  readonly resumeToken?: string;
  /** Gets another channel to the peer after the first one was lost. Rejects when the signal aborts. */
  readonly nextChannel: (signal: AbortSignal) => Promise<ControlChannel>;
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
  /**
   * Ends the attempt to recover that is running. Kept here and not made of other signals: those of `AbortSignal.any` can be
   * collected as garbage, with whoever waits for them, while their sources live.
   */
  #attempt = new AbortController();
  readonly #afterEnd: (() => Promise<void>)[] = [];
  #channel: ControlChannel;
  #frames: FrameSource;
  #resolveClosed: (error: RdmaError | undefined) => void = () => {};
  /** A new number whenever the connection goes up or down, so that watchers of the past fall silent. */
  #era = 0;
  #isUp = false;
  #peerQuit = false;
  #failedAgain: RdmaError | undefined;
  #recovering: Promise<void> | undefined;
  #troubleSince: number | undefined;
  #upSince = 0;
  #attempts = 0;
  #keepAlive: KeepAlive | undefined;
  /** Grows with every sign that the data path works. */
  #progress = 0;
  /** The orderly end has begun; the connection may still recover, to bring it to its end. */
  #closing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(channel: ControlChannel, options: LifelineOptions) {
    this.#channel = channel;
    this.#frames = new FrameSource(channel);
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    options.dataPath.listener = {
      onLinkFailure: (error) => this.#onTrouble(error),
      onProgress: () => this.#onProgress(),
      onQuit: () => this.#onPeerQuit(),
    };
  }

  get channel(): ControlChannel {
    return this.#channel;
  }

  /** Nothing new is taken any more. */
  get isEnding(): boolean {
    return this.#closing !== undefined || this.#ending !== undefined;
  }

  /** The end is under way or reached: nothing will bring the connection up again. */
  get isOver(): boolean {
    return this.#ending !== undefined;
  }

  /** The session is lost, and the peer has not come back yet. */
  get isAbsent(): boolean {
    return this.#recovering !== undefined && this.#channel.end !== undefined;
  }

  /**
   * Brings the connection up for the first time. `first`: a frame that was taken from the channel before.
   *
   * @throws RdmaError why it failed; everything is freed then, and the channel has ended.
   */
  async establish(first?: Frame): Promise<void> {
    const { dataPath, reporter } = this.#options;
    try {
      await this.#runSession(first);
    } catch (error) {
      const failure = asRdmaError(error, 'the connection failed');
      await dataPath.destroy(failure);
      this.#channel.fail(failure, peerAnswer(failure));
      throw error;
    }
    reporter.report(StepName.READY);
    this.#goUp();
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
    this.#closing ??= this.#endInOrder();
    await this.closed;
  }

  /** Ends the connection at once because of `error`. Idempotent. */
  abort(error: RdmaError): void {
    this.#ending ??= this.#end(error);
  }

  // --- up -----------------------------------------------------------------------------------------------------------

  async #runSession(first?: Frame): Promise<void> {
    const { dataPath, reporter, resumeToken } = this.#options;
    let given = first;
    const nextFrame = (): Promise<Frame> => {
      if (given === undefined) return this.#frames.take();
      const frame = given;
      given = undefined;
      return Promise.resolve(frame);
    };
    const channel = this.#channel;
    const { localAddress } = channel;
    const session = await establishSession(
      this.#channel,
      {
        async createObjects() {
          reporter.report(StepName.PSN_EXCHANGED);
          const parameters = await dataPath.prepare(localAddress, channel);
          const { path, terms } = parameters;
          return { path, terms: resumeToken === undefined ? terms : { ...terms, resumeToken } };
        },
        checkPeer: ({ peer }) => dataPath.peerFault(peer, this.#channel.remoteAddress),
        transition: (attributes) => dataPath.connect(attributes, this.#channel),
      },
      generatePsn(),
      nextFrame,
    );
    this.peerTerms = session.terms;
    dataPath.open(session);
  }

  #goUp(): void {
    this.#isUp = true;
    this.#era++;
    this.#upSince = performance.now();
    this.#keepAlive = new KeepAlive(this.#channel, this.#options.limits.keepAliveMillis);
    void this.#watch(this.#era);
    const failure = this.#failedAgain;
    this.#failedAgain = undefined;
    if (failure !== undefined) this.#onTrouble(failure);
  }

  /** Reads the channel until something else takes over. */
  async #watch(era: number): Promise<void> {
    const frames = this.#frames;
    try {
      for (;;) {
        const frame = await frames.peek();
        if (era !== this.#era) return;
        this.#keepAlive?.heard();
        if (frame.type === 'psn') {
          // It is left for the session that begins with it.
          await this.#lastAnswers();
          if (era !== this.#era) return;
          this.#onTrouble(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the peer starts over'));
          return;
        }
        await frames.take();
        this.#onFrame(frame);
      }
    } catch (error) {
      if (era !== this.#era) return;
      await this.#lastAnswers();
      if (era === this.#era) this.#onTrouble(asRdmaError(error, 'the connection failed'));
    }
  }

  /**
   * A peer that refused a request gives up its queue pair. What the request itself was answered says more, and left the
   * peer first, but by another way: give it a moment to arrive.
   */
  async #lastAnswers(): Promise<void> {
    if (this.#options.dataPath.isBusy) await settledWithin(this.closed, LAST_ANSWER_MILLIS);
  }

  #onFrame(frame: Frame): void {
    if (frame.type === 'ping') {
      if (this.#channel.end === undefined) this.#channel.send({ type: 'pong' });
    } else if (frame.type === 'bye') {
      this.#endByPeer();
    } else if (frame.type !== 'pong') {
      const message = `${this.#channel.peerName} sent "${frame.type}" after the session was established`;
      this.abort(new RdmaError('ERR_RDMA_PROTOCOL', message));
    }
  }

  #onProgress(): void {
    this.#progress++;
    this.#troubleSince = undefined;
    this.#attempts = 0;
  }

  /** The last message of the peer is here. */
  #onPeerQuit(): void {
    if (this.#peerQuit) return;
    this.#notePeerQuit();
    this.#options.dataPath.receiver.end();
  }

  /** The peer said bye. What it had sent before has arrived, but may still wait in a queue: the end takes it out. */
  #endByPeer(): void {
    this.#notePeerQuit();
    this.#ending ??= this.#end(undefined);
  }

  /** A peer that only answers our own goodbye is no news. */
  #notePeerQuit(): void {
    if (!this.#peerQuit && this.#closing === undefined) this.#options.reporter.report(StepName.QUIT);
    this.#peerQuit = true;
  }

  // --- trouble ------------------------------------------------------------------------------------------------------

  #onTrouble(error: RdmaError): void {
    if (this.#ending !== undefined) return;
    if (!this.#isUp) {
      this.#failedAgain = error;
      return;
    }
    this.#goDown();
    if (!this.#mayRecoverFrom(error)) return;
    const recovering = this.#recover(error).finally(() => {
      // The next one may have begun meanwhile.
      if (this.#recovering === recovering) this.#recovering = undefined;
    });
    this.#recovering = recovering;
  }

  /** Ends the connection unless this is a failure that it recovers from. */
  #mayRecoverFrom(error: RdmaError): boolean {
    if (this.#peerSaidBye) this.#endByPeer();
    else if (this.#options.limits.recoveryMillis === 0 || !RECOVERABLE.includes(error.code))
      this.abort(error);
    else return true;
    return false;
  }

  get #peerSaidBye(): boolean {
    return this.#channel.end !== undefined && this.#channel.end.error === undefined;
  }

  #goDown(): void {
    this.#isUp = false;
    this.#era++;
    this.#keepAlive?.stop();
  }

  async #recover(cause: RdmaError): Promise<void> {
    const { dataPath, reporter, limits } = this.#options;
    const now = performance.now();
    if (now - this.#upSince > limits.recoveryMillis) this.#onProgress();
    this.#troubleSince ??= now;
    const { code, status = '' } = cause;
    reporter.report(StepName.RECOVERING, { code, status, qpState: dataPath.qpState });
    this.listener?.onReconnecting(cause);
    try {
      for (let failure: RdmaError | undefined = cause; failure !== undefined; ) {
        await dataPath.disconnect(failure);
        // Of the link that is gone.
        this.#failedAgain = undefined;
        await this.#pause();
        failure = await this.#tryOnce();
        if (failure !== undefined && this.#timeLeftMillis() <= 0) throw failure;
      }
    } catch (error) {
      this.abort(asRdmaError(error, 'the connection failed'));
    }
  }

  /**
   * Returns why it did not work this time; `undefined` when the connection is up, which it may no longer be when the
   * caller hears of it, or at its end. Throws what no further attempt can mend.
   */
  async #tryOnce(): Promise<RdmaError | undefined> {
    if (this.#ending !== undefined) return undefined;
    const { reporter } = this.#options;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const giveUp = (): void => {
      attempt.abort();
      this.#channel.fail(tooSlow());
    };
    const timer = setTimeout(giveUp, Math.max(1, this.#timeLeftMillis()));
    try {
      if (this.#channel.end !== undefined) await this.#replaceChannel(attempt.signal);
      await this.#runSession();
    } catch (error) {
      const failure = asRdmaError(error, 'the connection failed');
      if (this.#peerSaidBye) this.#endByPeer();
      if (this.#ending !== undefined) return undefined;
      if (RETRYABLE.includes(failure.code)) return failure;
      throw this.#timeLeftMillis() > 0 ? failure : tooSlow();
    } finally {
      clearTimeout(timer);
    }
    if (this.#ending !== undefined) return undefined;
    const failure = this.#failedAgain;
    // The new link is broken already, and this recovery is the one that goes on.
    if (failure !== undefined) return this.#mayRecoverFrom(failure) ? failure : undefined;
    reporter.report(StepName.RECOVERED);
    this.#goUp();
    this.listener?.onReconnected();
    return undefined;
  }

  async #replaceChannel(signal: AbortSignal): Promise<void> {
    this.#channel = await this.#options.nextChannel(signal);
    this.#frames = new FrameSource(this.#channel);
    this.#options.reporter.report(StepName.TLS, { peer: this.#channel.remoteAddress });
  }

  /** None before the first attempt, then longer and longer, with jitter. */
  async #pause(): Promise<void> {
    const attempt = this.#attempts++;
    if (attempt === 0) return;
    const longest = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** attempt);
    await settledWithin(this.closed, longest * (0.5 + Math.random() / 2));
  }

  #timeLeftMillis(): number {
    const since = this.#troubleSince ?? performance.now();
    return since + this.#options.limits.recoveryMillis - performance.now();
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  async #endInOrder(): Promise<void> {
    if (!this.#peerQuit) await this.#sayQuit();
    this.#ending ??= this.#end(undefined);
  }

  /** Until the peer has all that was sent and knows that nothing more will come, or until nothing moves any more. */
  async #sayQuit(): Promise<void> {
    const quit = new Promise<void>((resolve) => {
      this.#options.dataPath.sender.send(MessageKind.QUIT, 0, new Uint8Array(0), () => resolve());
    });
    let seen: number;
    do {
      seen = this.#progress;
      if (await settledWithin(quit, QUIT_MILLIS)) return;
    } while (this.#ending === undefined && (this.#recovering !== undefined || this.#progress > seen));
  }

  async #end(error: RdmaError | undefined): Promise<void> {
    const { dataPath, reporter } = this.#options;
    this.#goDown();
    this.#attempt.abort();
    // Tell the peer first: it should not wait while this side cleans up. The socket itself goes last.
    if (error !== undefined) this.#channel.fail(error, peerAnswer(error));
    else if (this.#recovering !== undefined) void this.#channel.close('quit');
    // Objects that are being made can only be freed when they exist.
    await this.#recovering;
    await dataPath.destroy(error);
    await this.#channel.close('quit');
    reporter.report(StepName.TLS_CLOSED);
    for (const release of this.#afterEnd) await release();
    this.#resolveClosed(error);
  }
}

const tooSlow = (): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', 'the peer did not come back within the time for recovery');

/** What the peer is told: for its own faults the reason; never more of this side than that. */
function peerAnswer(error: RdmaError): string {
  const told = error.fault === 'peer' || error.code === 'ERR_RDMA_COMPLETION';
  return told ? error.message : 'the other side ended the connection';
}

/** Waits for `promise` to settle, either way, but not longer than `millis`; returns whether it did. */
async function settledWithin(promise: Promise<unknown>, millis: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, millis, false);
  });
  const isSettled = (): boolean => true;
  const settled = await Promise.race([promise.then(isSettled, isSettled), timeout]);
  clearTimeout(timer);
  return settled;
}
