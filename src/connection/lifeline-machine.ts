/**
 * The life of a connection as a state machine without clock, timers, promises, sockets or randomness:
 *
 *     establishing → up ⇄ down → … → ending → ended
 *
 * `handle` takes what happened and returns what to do, in that order. Time is an argument in milliseconds; the caller
 * sets one timer to `nextDeadline` and then calls `handleTimeout`. What takes time is asked for and answered once:
 *
 *     run-session → session-up | session-failed        next-channel → new-channel | no-channel
 *     disconnect → disconnected                         destroy → destroyed        finish → finished
 *     send-quit → quit-done
 *
 * While down, one thing after the other is done: `disconnecting`, `pausing`, then `channel` when the session is lost,
 * then `session`. Closing is no state of its own: a connection that closes may still recover, to bring it to its end.
 *
 * Invariants: it ends once, for one reason. At most one of run-session, next-channel and disconnect is under way, and
 * `destroy` waits for it: objects that are being made can only be freed when they exist. Failures that are the peer's
 * fault or a refusal end it; only the network's are recovered from, and only while the time for that lasts, which
 * begins with the first failure after progress and not anew with every failure. No failure is forgotten: one that
 * comes before the connection is up counts as soon as it is.
 */
import { RdmaError, type RdmaErrorCode } from '../verbs/errors.js';
import { invariant } from '../verbs/invariant.js';
import { LifelineTimer, LifelineTimers } from './lifeline-timers.js';
import type { RecoveryLimits } from './options.js';

export const QUIT_MILLIS = 1500;
export const LAST_ANSWER_MILLIS = 20;
const FIRST_PAUSE_MILLIS = 5;
const LONGEST_PAUSE_MILLIS = 200;
/** Silent intervals after which a peer is taken for lost. */
const SILENT_INTERVALS = 3;

/** What an attempt to recover may fail with and be tried again. */
const RETRYABLE: readonly RdmaErrorCode[] = [
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_UNREACHABLE',
];
/** Nobody answered any more, which has a reason where one is known. */
const SILENCE: readonly RdmaErrorCode[] = ['ERR_RDMA_TIMEOUT', 'ERR_RDMA_CONNECTION_LOST'];
/** What a connection recovers from. TLS that broke is mended by a new session, which verifies the peer anew. */
const RECOVERABLE: readonly RdmaErrorCode[] = [...RETRYABLE, 'ERR_RDMA_TLS'];

/** How the channel to the peer is: `left` when either side said bye. */
export type ChannelState = 'open' | 'left' | 'lost';

/** `isBusy`: requests of ours wait for the peer's answer. */
export type LifelineInput =
  | { readonly type: 'start' }
  | { readonly type: 'session-up' }
  | { readonly type: 'session-failed'; readonly error: RdmaError }
  /** While up: a frame of the peer. `psn` means that it starts over. */
  | { readonly type: 'frame'; readonly frame: string; readonly isBusy: boolean }
  /** While up: no more frames will come. */
  | { readonly type: 'channel-ended'; readonly error: RdmaError; readonly isBusy: boolean }
  | { readonly type: 'link-failed'; readonly error: RdmaError }
  /** `error`: what had arrived breaks the rules. */
  | { readonly type: 'disconnected'; readonly error?: RdmaError }
  | { readonly type: 'new-channel' }
  | { readonly type: 'no-channel'; readonly error: RdmaError }
  /** The last message of the peer is here. */
  | { readonly type: 'peer-quit' }
  | { readonly type: 'quit-done' }
  | { readonly type: 'close' }
  | { readonly type: 'abort'; readonly error: RdmaError }
  | { readonly type: 'destroyed' }
  | { readonly type: 'finished' };

export type LifelineOutput =
  | { readonly type: 'run-session' }
  | { readonly type: 'next-channel' }
  /** What run-session or next-channel began shall come to its end soon. */
  | { readonly type: 'stop-attempt' }
  | { readonly type: 'disconnect'; readonly cause: RdmaError }
  | { readonly type: 'send-ping' }
  | { readonly type: 'send-pong' }
  /** Give the channel up without a word. */
  | { readonly type: 'drop-channel'; readonly silentMillis: number }
  | { readonly type: 'fail-channel'; readonly error: RdmaError }
  /** Say bye; nobody waits for it. */
  | { readonly type: 'leave-channel' }
  | { readonly type: 'send-quit' }
  | { readonly type: 'end-receiving' }
  | { readonly type: 'destroy'; readonly error: RdmaError | undefined }
  /** Everything of the data path is freed: close the channel, then the rest. */
  | { readonly type: 'finish'; readonly error: RdmaError | undefined }
  | { readonly type: 'report'; readonly step: 'ready' | 'recovered' | 'quit' }
  | { readonly type: 'reconnecting'; readonly cause: RdmaError }
  | { readonly type: 'reconnected' }
  /** Read frames from now on, until the machine is no longer up. */
  | { readonly type: 'watch' };

export type DownPhase = 'disconnecting' | 'pausing' | 'channel' | 'session';

export type LifelineState =
  | { readonly name: 'establishing' }
  | { readonly name: 'up'; readonly since: number }
  | { readonly name: 'down'; readonly phase: DownPhase }
  /** `waits`: something is under way that must settle before the data path can be destroyed. */
  | { readonly name: 'ending'; readonly error: RdmaError | undefined; readonly waits: boolean }
  | { readonly name: 'ended'; readonly error: RdmaError | undefined };

export interface LifelineMachineOptions {
  readonly limits: RecoveryLimits;
  /** From 0 to 1. */
  readonly random: () => number;
  /** For messages: `the client 192.0.2.7:50123`. */
  readonly peerName: () => string;
}

/** The time that recovery had, with its first failure. */
interface Trouble {
  readonly since: number;
  readonly cause: RdmaError;
}

export class LifelineMachine {
  readonly #options: LifelineMachineOptions;
  readonly #timers = new LifelineTimers();
  #state: LifelineState = { name: 'establishing' };
  #outputs: LifelineOutput[] = [];
  #now = 0;
  #channel: ChannelState = 'open';
  #isClosing = false;
  #peerQuit = false;
  /** A failure that came before the connection is up. */
  #failedEarly: RdmaError | undefined;
  /** What the last answers are waited for before. */
  #awaited: RdmaError | undefined;
  #trouble: Trouble | undefined;
  /** An attempt found that packets do not come through; says more than the end of the time for recovery. */
  #blocked: RdmaError | undefined;
  #attempts = 0;
  #attemptedAt = 0;
  #heardAt = 0;
  /** Grows with every sign that the data path works. */
  #progress = 0;
  #progressAtQuit = 0;
  #hasProgressed = false;

  constructor(options: LifelineMachineOptions) {
    this.#options = options;
  }

  get state(): LifelineState {
    return this.#state;
  }

  get isUp(): boolean {
    return this.#state.name === 'up';
  }

  /** Nothing new is taken any more. */
  get isEnding(): boolean {
    return this.#isClosing || this.isOver;
  }

  /** The end is under way or reached: nothing brings the connection up again, and its token is worth nothing. */
  get isOver(): boolean {
    return this.#state.name === 'ending' || this.#state.name === 'ended';
  }

  /** When `handleTimeout` wants to be called; infinity for never. */
  get nextDeadline(): number {
    return this.#timers.next();
  }

  /** Something was completed or received. Costs nothing: it is called for every batch of packets. */
  progress(): void {
    this.#progress++;
    this.#hasProgressed = true;
  }

  /** Something happened. `channel`: how the channel is at present. */
  handle(input: LifelineInput, now: number, channel: ChannelState): readonly LifelineOutput[] {
    this.#enter(now, channel);
    this.#handle(input);
    return this.#leave();
  }

  /** Call it when `nextDeadline` is reached; more often does no harm. */
  handleTimeout(now: number, channel: ChannelState): readonly LifelineOutput[] {
    this.#enter(now, channel);
    let timer = this.#timers.takeExpired(now);
    while (timer !== undefined) {
      this.#expired(timer);
      timer = this.#timers.takeExpired(now);
    }
    return this.#leave();
  }

  #enter(now: number, channel: ChannelState): void {
    this.#now = now;
    this.#channel = channel;
    this.#outputs = [];
    if (this.#hasProgressed) this.#noteProgress();
  }

  #leave(): readonly LifelineOutput[] {
    const { name } = this.#state;
    INVARIANT: invariant(
      name !== 'ended' || this.#timers.next() === Number.POSITIVE_INFINITY,
      'nothing runs after the end',
    );
    INVARIANT: invariant(name !== 'down' || this.#trouble !== undefined, 'recovery has a beginning');
    return this.#outputs;
  }

  /** The path works, so what fails next is new trouble. While down it tells of the link that is gone. */
  #noteProgress(): void {
    this.#hasProgressed = false;
    this.#attempts = 0;
    const { name } = this.#state;
    if (name !== 'down') this.#trouble = undefined;
    else if (this.#trouble !== undefined) this.#trouble = { ...this.#trouble, since: this.#now };
  }

  #do(...outputs: readonly LifelineOutput[]): void {
    this.#outputs.push(...outputs);
  }

  #handle(input: LifelineInput): void {
    switch (input.type) {
      case 'start':
        this.#do({ type: 'run-session' });
        break;
      case 'session-up':
        this.#onSessionUp();
        break;
      case 'session-failed':
      case 'no-channel':
        this.#onAttemptFailed(input.error);
        break;
      case 'new-channel':
        this.#settled(() => this.#runSession());
        break;
      case 'disconnected':
        this.#onDisconnected(input.error);
        break;
      case 'frame':
        this.#onFrame(input.frame, input.isBusy);
        break;
      case 'channel-ended':
        if (this.isUp) this.#afterLastAnswers(input.error, input.isBusy);
        break;
      case 'link-failed':
        this.#onTrouble(input.error);
        break;
      case 'peer-quit':
        this.#onPeerQuit();
        break;
      case 'quit-done':
        if (this.#isClosing) this.#end(undefined);
        break;
      case 'close':
        this.#close();
        break;
      case 'abort':
        this.#end(input.error);
        break;
      case 'destroyed':
        this.#onDestroyed();
        break;
      case 'finished':
        this.#state = { name: 'ended', error: this.#endError() };
    }
  }

  #expired(timer: LifelineTimer): void {
    switch (timer) {
      case LifelineTimer.KEEP_ALIVE:
        this.#keepAlive();
        break;
      case LifelineTimer.LAST_ANSWERS:
        if (this.#awaited !== undefined) this.#onTrouble(this.#awaited);
        break;
      case LifelineTimer.QUIT:
        this.#onQuitPatience();
        break;
      case LifelineTimer.PAUSE:
        this.#attempt();
        break;
      case LifelineTimer.OLD_CHANNEL:
        this.#do({ type: 'drop-channel', silentMillis: this.#now - this.#attemptedAt });
        break;
      case LifelineTimer.RECOVERY:
        this.#do({ type: 'stop-attempt' }, { type: 'fail-channel', error: this.#blocked ?? tooSlow() });
        break;
    }
  }

  // --- up -----------------------------------------------------------------------------------------------------------

  #onSessionUp(): void {
    if (this.#state.name === 'ending') {
      this.#settled(() => {});
      return;
    }
    const isFirst = this.#state.name === 'establishing';
    this.#timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_CHANNEL);
    const failure = this.#failedEarly;
    this.#failedEarly = undefined;
    // The new link is broken already, and this recovery is the one that goes on.
    if (!isFirst && failure !== undefined) {
      this.#state = { name: 'down', phase: 'pausing' };
      if (this.#mayRecoverFrom(failure)) this.#again(failure);
      return;
    }
    this.#do({ type: 'report', step: isFirst ? 'ready' : 'recovered' });
    this.#state = { name: 'up', since: this.#now };
    this.#blocked = undefined;
    this.#heardAt = this.#now;
    this.#setKeepAlive();
    this.#do({ type: 'watch' });
    if (!isFirst) this.#do({ type: 'reconnected' });
    if (failure !== undefined) this.#onTrouble(failure);
  }

  #onFrame(frame: string, isBusy: boolean): void {
    if (!this.isUp) return;
    this.#heardAt = this.#now;
    if (frame === 'ping') {
      if (this.#channel === 'open') this.#do({ type: 'send-pong' });
    } else if (frame === 'psn') {
      const error = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the peer starts over');
      this.#afterLastAnswers(error, isBusy);
    } else if (frame === 'bye') {
      this.#endByPeer();
    } else if (frame !== 'pong' && frame !== 'proven') {
      const message = `${this.#options.peerName()} sent "${frame}" after the session was established`;
      this.#end(new RdmaError('ERR_RDMA_PROTOCOL', message));
    }
  }

  /**
   * A peer that refused a request gives up its queue pair. What the request itself was answered says more, and left the
   * peer first, but by another way: give it a moment to arrive.
   */
  #afterLastAnswers(error: RdmaError, isBusy: boolean): void {
    if (!isBusy) {
      this.#onTrouble(error);
      return;
    }
    this.#awaited = error;
    this.#timers.set(LifelineTimer.LAST_ANSWERS, this.#now + LAST_ANSWER_MILLIS);
  }

  #setKeepAlive(): void {
    const { keepAliveMillis } = this.#options.limits;
    if (keepAliveMillis > 0) this.#timers.set(LifelineTimer.KEEP_ALIVE, this.#now + keepAliveMillis);
  }

  #keepAlive(): void {
    if (!this.isUp || this.#channel !== 'open') return;
    const silentMillis = this.#now - this.#heardAt;
    if (silentMillis > SILENT_INTERVALS * this.#options.limits.keepAliveMillis) {
      this.#do({ type: 'drop-channel', silentMillis });
    } else {
      this.#do({ type: 'send-ping' });
      this.#setKeepAlive();
    }
  }

  // --- trouble ------------------------------------------------------------------------------------------------------

  #onTrouble(error: RdmaError): void {
    if (this.isOver) return;
    if (this.#state.name !== 'up') {
      this.#failedEarly ??= error;
      return;
    }
    const { since } = this.#state;
    this.#goDown();
    if (!this.#mayRecoverFrom(error)) return;
    // A connection that was up for long has not the trouble of before.
    if (this.#now - since > this.#options.limits.recoveryMillis) {
      this.#trouble = undefined;
      this.#attempts = 0;
    }
    this.#trouble ??= { since: this.#now, cause: error };
    this.#do({ type: 'reconnecting', cause: error });
    this.#disconnect(error);
  }

  /** Ends the connection unless this is a failure that it recovers from. */
  #mayRecoverFrom(error: RdmaError): boolean {
    if (this.#channel === 'left') this.#endByPeer();
    else if (this.#options.limits.recoveryMillis === 0 || !RECOVERABLE.includes(error.code)) this.#end(error);
    else return true;
    return false;
  }

  #goDown(): void {
    this.#timers.stop(LifelineTimer.KEEP_ALIVE, LifelineTimer.LAST_ANSWERS);
    this.#awaited = undefined;
  }

  #disconnect(cause: RdmaError): void {
    this.#state = { name: 'down', phase: 'disconnecting' };
    this.#do({ type: 'disconnect', cause });
  }

  #onDisconnected(error: RdmaError | undefined): void {
    this.#settled(() => {
      // Of the link that is gone.
      this.#failedEarly = undefined;
      if (error !== undefined) {
        this.#state = { name: 'down', phase: 'pausing' };
        this.#end(error);
        return;
      }
      this.#pause();
    });
  }

  /** None before the first attempt, then longer and longer, with jitter. */
  #pause(): void {
    this.#state = { name: 'down', phase: 'pausing' };
    const attempt = this.#attempts++;
    if (attempt === 0) {
      this.#attempt();
      return;
    }
    const longest = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** attempt);
    this.#timers.set(LifelineTimer.PAUSE, this.#now + longest * (0.5 + this.#options.random() / 2));
  }

  #attempt(): void {
    if (this.#state.name !== 'down') return;
    if (this.#channel === 'left') {
      this.#endByPeer();
      return;
    }
    const leftMillis = Math.max(1, this.#timeLeftMillis());
    this.#attemptedAt = this.#now;
    this.#timers.set(LifelineTimer.RECOVERY, this.#now + leftMillis);
    if (this.#channel === 'open') {
      // The peer may have lost the channel without this side having heard: there must be time for another.
      this.#timers.set(LifelineTimer.OLD_CHANNEL, this.#now + leftMillis / 2);
      this.#runSession();
      return;
    }
    this.#state = { name: 'down', phase: 'channel' };
    this.#do({ type: 'next-channel' });
  }

  #runSession(): void {
    this.#state = { name: 'down', phase: 'session' };
    this.#do({ type: 'run-session' });
  }

  #onAttemptFailed(error: RdmaError): void {
    if (this.#state.name === 'establishing') {
      this.#failFirst(error);
      return;
    }
    if (error.code === 'ERR_RDMA_UNREACHABLE') this.#blocked = error;
    this.#timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_CHANNEL);
    this.#settled(() => {
      this.#state = { name: 'down', phase: 'pausing' };
      if (this.#channel === 'left') this.#endByPeer();
      // A peer that has told why is not coming back.
      else if (RETRYABLE.includes(error.code) && error.refusal === undefined) this.#again(error);
      else this.#end(this.#withCause(this.#timeLeftMillis() > 0 ? error : tooSlow()));
    });
  }

  #again(failure: RdmaError): void {
    if (this.#timeLeftMillis() > 0) {
      this.#disconnect(failure);
      return;
    }
    this.#state = { name: 'down', phase: 'pausing' };
    this.#end(this.#withCause(failure));
  }

  /** The last failure of a recovery tells what it began with. */
  #withCause(last: RdmaError): RdmaError {
    const isSilence = SILENCE.includes(last.code) || last.refusal === 'timeout';
    const failure = isSilence ? (this.#blocked ?? last) : last;
    const first = this.#trouble?.cause;
    if (first === undefined || first === failure) return failure;
    const { status, refusal } = failure;
    const message = `${failure.message} (the trouble began with: ${first.message})`;
    return new RdmaError(failure.code, message, {
      cause: first,
      ...(status === undefined ? {} : { status }),
      ...(refusal === undefined ? {} : { refusal }),
    });
  }

  #timeLeftMillis(): number {
    return (this.#trouble?.since ?? this.#now) + this.#options.limits.recoveryMillis - this.#now;
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  #onPeerQuit(): void {
    if (this.#peerQuit) return;
    this.#notePeerQuit();
    this.#do({ type: 'end-receiving' });
  }

  /** The peer said bye. What it had sent before has arrived, but may still wait in a queue: the end takes it out. */
  #endByPeer(): void {
    this.#notePeerQuit();
    this.#end(undefined);
  }

  /** A peer that only answers our own goodbye is no news. */
  #notePeerQuit(): void {
    if (!this.#peerQuit && !this.#isClosing) this.#do({ type: 'report', step: 'quit' });
    this.#peerQuit = true;
  }

  #close(): void {
    if (this.isEnding) return;
    if (this.#state.name === 'establishing') {
      this.#end(new RdmaError('ERR_RDMA_ABORTED', 'the connection was closed before it was up'));
      return;
    }
    this.#isClosing = true;
    if (this.#peerQuit) {
      this.#end(undefined);
      return;
    }
    this.#do({ type: 'send-quit' });
    this.#waitForQuit();
  }

  #waitForQuit(): void {
    this.#progressAtQuit = this.#progress;
    this.#timers.set(LifelineTimer.QUIT, this.#now + QUIT_MILLIS);
  }

  /** Goes on until the peer has all that was sent, or until nothing moves any more. */
  #onQuitPatience(): void {
    if (this.#state.name === 'down' || this.#progress > this.#progressAtQuit) this.#waitForQuit();
    else this.#end(undefined);
  }

  #failFirst(error: RdmaError): void {
    this.#state = { name: 'ending', error, waits: false };
    this.#timers.stopAll();
    this.#do({ type: 'destroy', error });
  }

  #end(error: RdmaError | undefined): void {
    const state = this.#state;
    if (this.isOver) return;
    this.#goDown();
    this.#timers.stopAll();
    const isDown = state.name === 'down';
    const waits = state.name === 'establishing' || (isDown && state.phase !== 'pausing');
    this.#state = { name: 'ending', error, waits };
    if (waits) this.#do({ type: 'stop-attempt' });
    // Tell the peer first: it should not wait while this side cleans up. The socket itself goes last.
    if (error !== undefined) this.#do({ type: 'fail-channel', error });
    else if (isDown) this.#do({ type: 'leave-channel' });
    if (!waits) this.#do({ type: 'destroy', error });
  }

  /** What was under way has settled: goes on with it, or with the end that waits for it. */
  #settled(goOn: () => void): void {
    const state = this.#state;
    if (state.name === 'down') {
      goOn();
      return;
    }
    if (state.name !== 'ending' || !state.waits) return;
    this.#state = { ...state, waits: false };
    // The channel may be a new one.
    if (state.error !== undefined) this.#do({ type: 'fail-channel', error: state.error });
    this.#do({ type: 'destroy', error: state.error });
  }

  #onDestroyed(): void {
    if (this.#state.name !== 'ending') return;
    const { error } = this.#state;
    if (error !== undefined) this.#do({ type: 'fail-channel', error });
    this.#do({ type: 'finish', error });
  }

  #endError(): RdmaError | undefined {
    return this.#state.name === 'ending' ? this.#state.error : undefined;
  }
}

const tooSlow = (): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', 'the peer did not come back within the time for recovery');
