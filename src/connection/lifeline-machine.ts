/**
 * The life of a connection as a state machine without clock, timers, promises, sockets or randomness:
 *
 *     establishing → up ⇄ down → … → ending → ended
 *
 * `handle` takes what happened and returns what to do, in that order. Time is an argument in milliseconds; the caller
 * sets one timer to `nextDeadline` and then calls `handleTimeout`. What takes time is asked for and answered once:
 *
 *     meet → met | not-met              next-rendezvous → new-rendezvous | no-rendezvous
 *     disconnect → disconnected         destroy → destroyed        finish → finished
 *     send-quit → quit-done             await-answers → answered
 *
 * While down, one thing after the other is done: `disconnecting`, `pausing`, then `rendezvous` when that is lost, then
 * `meeting`. Closing is no state of its own: a connection that closes may still recover, to bring it to its end.
 *
 * Invariants: it ends once, for one reason. At most one of meet, next-rendezvous and disconnect is under way, and
 * `destroy` waits for it: objects that are being made can only be freed when they exist. Failures that are the peer's
 * fault or a refusal end it; only the network's are recovered from, and only while the time for that lasts
 * (lifeline-recovery.ts). No failure is forgotten: one that comes before the connection is up counts as soon as it is.
 */
import { RdmaError } from '../verbs/errors.js';
import { invariant } from '../verbs/invariant.js';
import type { LifelineInput, LifelineOutput, LifelineState, RendezvousState } from './lifeline-events.js';
import { isRecoverable, mayRepeat, Recovery, tooSlow } from './lifeline-recovery.js';
import { LifelineTimer, LifelineTimers } from './lifeline-timers.js';
import type { RecoveryLimits } from './options.js';

export const LAST_ANSWER_MILLIS = 20;
/** Silent intervals after which a peer is taken for lost. */
const SILENT_INTERVALS = 3;

export interface LifelineMachineOptions {
  readonly limits: RecoveryLimits;
  /** From 0 to 1. */
  readonly random: () => number;
}

export class LifelineMachine {
  readonly #options: LifelineMachineOptions;
  readonly #timers = new LifelineTimers();
  readonly #recovery: Recovery;
  #state: LifelineState = { name: 'establishing' };
  #outputs: LifelineOutput[] = [];
  #now = 0;
  #rendezvous: RendezvousState = 'open';
  #isClosing = false;
  #peerQuit = false;
  /** A failure that came before the connection is up. */
  #failedEarly: RdmaError | undefined;
  /** What the last answers are waited for before. */
  #awaited: RdmaError | undefined;
  #attemptedAt = 0;
  #heardAt = 0;
  /** Grows with every sign that the data path works. */
  #progress = 0;
  #progressAtQuit = 0;
  #hasProgressed = false;

  constructor(options: LifelineMachineOptions) {
    this.#options = options;
    this.#recovery = new Recovery(options.limits.recoveryMillis);
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

  /** Something happened. `rendezvous`: how it is at present. */
  handle(input: LifelineInput, now: number, rendezvous: RendezvousState): readonly LifelineOutput[] {
    this.#enter(now, rendezvous);
    this.#handle(input);
    return this.#leave();
  }

  /** Call it when `nextDeadline` is reached; more often does no harm. */
  handleTimeout(now: number, rendezvous: RendezvousState): readonly LifelineOutput[] {
    this.#enter(now, rendezvous);
    let timer = this.#timers.takeExpired(now);
    while (timer !== undefined) {
      this.#expired(timer);
      timer = this.#timers.takeExpired(now);
    }
    return this.#leave();
  }

  #enter(now: number, rendezvous: RendezvousState): void {
    this.#now = now;
    this.#rendezvous = rendezvous;
    this.#outputs = [];
    if (!this.#hasProgressed) return;
    this.#hasProgressed = false;
    this.#recovery.noteProgress(now, this.#state.name === 'down');
  }

  #leave(): readonly LifelineOutput[] {
    const { name } = this.#state;
    INVARIANT: invariant(
      name !== 'ended' || this.#timers.next() === Number.POSITIVE_INFINITY,
      'nothing runs after the end',
    );
    INVARIANT: invariant(name !== 'down' || this.#recovery.hasBegun, 'recovery has a beginning');
    return this.#outputs;
  }

  #do(...outputs: readonly LifelineOutput[]): void {
    this.#outputs.push(...outputs);
  }

  #handle(input: LifelineInput): void {
    switch (input.type) {
      case 'start':
        this.#do({ type: 'meet' });
        break;
      case 'met':
        this.#onMet();
        break;
      case 'not-met':
      case 'no-rendezvous':
        this.#onAttemptFailed(input.error);
        break;
      case 'new-rendezvous':
        this.#settled(() => this.#meet());
        break;
      case 'disconnected':
        this.#onDisconnected(input.error);
        break;
      case 'heard':
        if (this.isUp) this.#heardAt = this.#now;
        break;
      case 'peer-restarted':
        this.#afterLastAnswers(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the peer starts over'));
        break;
      case 'peer-left':
        if (this.isUp) this.#endByPeer();
        break;
      case 'rendezvous-ended':
        this.#afterLastAnswers(input.error);
        break;
      case 'answered':
        if (this.#awaited !== undefined) this.#onTrouble(this.#awaited);
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
      case LifelineTimer.OLD_RENDEZVOUS:
        this.#do({ type: 'drop-rendezvous', silentMillis: this.#now - this.#attemptedAt });
        break;
      case LifelineTimer.RECOVERY:
        this.#do(
          { type: 'stop-attempt' },
          { type: 'fail-rendezvous', error: this.#recovery.blocked ?? tooSlow() },
        );
        break;
    }
  }

  // --- up -----------------------------------------------------------------------------------------------------------

  #onMet(): void {
    if (this.#state.name === 'ending') {
      this.#settled(() => {});
      return;
    }
    const isFirst = this.#state.name === 'establishing';
    this.#timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);
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
    this.#recovery.noteUp();
    this.#heardAt = this.#now;
    this.#setKeepAlive();
    this.#do({ type: 'watch' });
    if (!isFirst) this.#do({ type: 'reconnected' });
    if (failure !== undefined) this.#onTrouble(failure);
  }

  /**
   * A peer that refused a request gives up its queue pair. What the request itself was answered says more, and left the
   * peer first, but by another way: give it a moment to arrive.
   */
  #afterLastAnswers(error: RdmaError): void {
    if (!this.isUp || this.#awaited !== undefined) return;
    this.#awaited = error;
    this.#timers.set(LifelineTimer.LAST_ANSWERS, this.#now + LAST_ANSWER_MILLIS);
    this.#do({ type: 'await-answers' });
  }

  #setKeepAlive(): void {
    const { keepAliveMillis } = this.#options.limits;
    if (keepAliveMillis > 0) this.#timers.set(LifelineTimer.KEEP_ALIVE, this.#now + keepAliveMillis);
  }

  #keepAlive(): void {
    if (!this.isUp || this.#rendezvous !== 'open') return;
    const silentMillis = this.#now - this.#heardAt;
    if (silentMillis > SILENT_INTERVALS * this.#options.limits.keepAliveMillis) {
      this.#do({ type: 'drop-rendezvous', silentMillis });
    } else {
      this.#do({ type: 'ask-peer' });
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
    this.#recovery.begin(this.#now, since, error);
    this.#do({ type: 'reconnecting', cause: error });
    this.#disconnect(error);
  }

  /** Ends the connection unless this is a failure that it recovers from. */
  #mayRecoverFrom(error: RdmaError): boolean {
    if (this.#rendezvous === 'left') this.#endByPeer();
    else if (this.#options.limits.recoveryMillis === 0 || !isRecoverable(error)) this.#end(error);
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
    const pauseMillis = this.#recovery.nextPauseMillis(this.#options.random);
    if (pauseMillis === 0) this.#attempt();
    else this.#timers.set(LifelineTimer.PAUSE, this.#now + pauseMillis);
  }

  #attempt(): void {
    if (this.#state.name !== 'down') return;
    if (this.#rendezvous === 'left') {
      this.#endByPeer();
      return;
    }
    const leftMillis = Math.max(1, this.#recovery.leftMillis(this.#now));
    this.#attemptedAt = this.#now;
    this.#timers.set(LifelineTimer.RECOVERY, this.#now + leftMillis);
    if (this.#rendezvous === 'open') {
      // The peer may have lost it without this side having heard: there must be time for another.
      this.#timers.set(LifelineTimer.OLD_RENDEZVOUS, this.#now + leftMillis / 2);
      this.#meet();
      return;
    }
    this.#state = { name: 'down', phase: 'rendezvous' };
    this.#do({ type: 'next-rendezvous' });
  }

  #meet(): void {
    this.#state = { name: 'down', phase: 'meeting' };
    this.#do({ type: 'meet' });
  }

  #onAttemptFailed(error: RdmaError): void {
    if (this.#state.name === 'establishing') {
      this.#failFirst(error);
      return;
    }
    this.#recovery.noteFailure(error);
    this.#timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);
    this.#settled(() => {
      this.#state = { name: 'down', phase: 'pausing' };
      if (this.#rendezvous === 'left') this.#endByPeer();
      else if (mayRepeat(error)) this.#again(error);
      else this.#end(this.#recovery.withCause(this.#hasTimeLeft ? error : tooSlow()));
    });
  }

  #again(failure: RdmaError): void {
    if (this.#hasTimeLeft) {
      this.#disconnect(failure);
      return;
    }
    this.#state = { name: 'down', phase: 'pausing' };
    this.#end(this.#recovery.withCause(failure));
  }

  get #hasTimeLeft(): boolean {
    return this.#recovery.leftMillis(this.#now) > 0;
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
    this.#timers.set(LifelineTimer.QUIT, this.#now + this.#options.limits.quitMillis);
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
    if (error !== undefined) this.#do({ type: 'fail-rendezvous', error });
    else if (isDown) this.#do({ type: 'leave-rendezvous' });
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
    // It may be a new one.
    if (state.error !== undefined) this.#do({ type: 'fail-rendezvous', error: state.error });
    this.#do({ type: 'destroy', error: state.error });
  }

  #onDestroyed(): void {
    if (this.#state.name !== 'ending') return;
    const { error } = this.#state;
    if (error !== undefined) this.#do({ type: 'fail-rendezvous', error });
    this.#do({ type: 'finish', error });
  }

  #endError(): RdmaError | undefined {
    return this.#state.name === 'ending' ? this.#state.error : undefined;
  }
}
