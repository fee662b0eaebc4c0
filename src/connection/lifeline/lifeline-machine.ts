/**
 * The life of a connection as a state machine without clock, timers, promises, sockets or randomness:
 *
 *     establishing → up ⇄ down → … → ending → ended
 *            ↘ down (its peer may be up already)
 *
 * `handle` takes what happened and returns what to do, in that order. Time is an argument in milliseconds; the caller
 * sets one timer to `nextDeadline` and then calls `handleTimeout`. What takes time is asked for and answered once:
 *
 *     meet → met | not-met              next-rendezvous → new-rendezvous | no-rendezvous
 *     disconnect → disconnected         destroy → destroyed        finish → finished
 *     send-quit → quit-done             await-answers → answered        send-bye → bye-done
 *     send-close → close-told
 *
 * While down, one thing after the other is done: `disconnecting`, `pausing`, then `rendezvous` when that is lost, then
 * `meeting`. Closing is no state of its own: a connection that closes may still recover, to bring it to its end.
 *
 * In a brief life both ends do without the rendezvous as soon as they have met (`part-rendezvous` → parted): signs of life are those
 * of the link, whose failure alone brings it down, and each recovery needs another rendezvous.
 *
 * Invariants: it ends once, for one reason (lifeline-ending.ts). At most one of meet, next-rendezvous and disconnect is
 * under way, and `destroy` waits for it: objects that are being made can only be freed when they exist. Failures that are
 * the peer's fault or a refusal end it; only the network's are recovered from, and only while the time for that lasts
 * (lifeline-recovery.ts). No failure is forgotten: one that comes before the connection is up counts as soon as it is.
 *
 * Of the two ends one is up first. Where that end can come back to this one, a first meeting that the network broke off is
 * no end but a recovery: this side waits for its peer as long as it would if it had been up. Its program hears of nothing
 * until it is up, and of nothing at all when the peer does not come.
 */
import { RdmaError } from '../../verbs/errors.js';
import { invariant } from '../../verbs/invariant.js';
import type { RecoveryLimits } from '../terms/options.js';
import { KeepAlive } from './keep-alive.js';
import { LifelineCourse } from './lifeline-course.js';
import { LifelineEnding } from './lifeline-ending.js';
import type {
  BriefLife,
  LifelineInput,
  LifelineOutput,
  LifelineState,
  RendezvousState,
} from './lifeline-events.js';
import { isBrokenOff, isRecoverable, mayRepeat, Recovery, tooSlow } from './lifeline-recovery.js';
import { LifelineTimer } from './lifeline-timers.js';
import { ProgramWatch } from './program-watch.js';

export const LAST_ANSWER_MILLIS = 20;
const BEAT: LifelineOutput = { type: 'beat' };

export interface LifelineMachineOptions {
  readonly limits: RecoveryLimits;
  /** From 0 to 1. */
  readonly random: () => number;
}

export class LifelineMachine {
  readonly #limits: RecoveryLimits;
  readonly #random: () => number;
  readonly #course = new LifelineCourse();
  readonly #keepAlive: KeepAlive;
  readonly #program: ProgramWatch;
  readonly #recovery: Recovery;
  readonly #ending: LifelineEnding;
  /** A failure that came before the connection is up. */
  #failedEarly: RdmaError | undefined;
  #peerMayBeUp = false;
  /** The peer, up before this side, has sent all it had: that counts when this side is up. */
  #quitEarly = false;
  /** What the last answers are waited for before. */
  #awaited: RdmaError | undefined;
  #attemptedAt = 0;
  #hasProgressed = false;
  #hasSignOfLife = false;
  #hasSpoken = false;

  constructor(options: LifelineMachineOptions) {
    this.#limits = options.limits;
    this.#random = options.random;
    const { keepAliveMillis, recoveryMillis, quitMillis } = options.limits;
    this.#keepAlive = new KeepAlive(keepAliveMillis);
    this.#program = new ProgramWatch(keepAliveMillis);
    this.#recovery = new Recovery(recoveryMillis);
    this.#ending = new LifelineEnding(this.#course, quitMillis);
  }

  get state(): LifelineState {
    return this.#course.state;
  }

  get isUp(): boolean {
    return this.#course.state.name === 'up';
  }

  /** It was up at some time: the program may have it. */
  get hasBeenUp(): boolean {
    return this.#course.hasBeenUp;
  }

  /** Nothing new is taken any more. */
  get isEnding(): boolean {
    return this.#ending.hasBegun;
  }

  /** The end is under way or reached: nothing brings the connection up again, and its token is worth nothing. */
  get isOver(): boolean {
    return this.#course.isOver;
  }

  /** When `handleTimeout` wants to be called; infinity for never. */
  get nextDeadline(): number {
    return this.#course.timers.next();
  }

  /** Something was completed or received. Costs nothing: it is called for every batch of packets. */
  progress(): void {
    this.#hasProgressed = true;
    this.#hasSignOfLife = true;
  }

  /** Something came through that says nothing but that the peer is there. An end in which nothing else moves is none. */
  signOfLife(): void {
    this.#hasSignOfLife = true;
  }

  /** Nothing but signs of life has come for a while: whatever comes now is to be noted at once. */
  get isQuiet(): boolean {
    return this.#keepAlive.isQuiet && this.isUp;
  }

  /** What was told just now came at this time. Only a machine that is quiet wants to know. */
  note(now: number): void {
    if (this.#hasSpoken && this.isUp) this.#program.spoke(now);
    this.#hasSpoken = false;
    if (this.#hasSignOfLife && this.isUp && !this.#program.isAsked) {
      if (this.#hasProgressed) this.#keepAlive.moved(now);
      else this.#keepAlive.heard(now);
      this.#setKeepAlive();
    }
    this.#hasSignOfLife = false;
  }

  /** What comes through next, or has just come, only the peer's program can have sent: its device acknowledges without it as well. */
  spoken(): void {
    this.#hasSpoken = true;
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
    let timer = this.#course.timers.takeExpired(now);
    while (timer !== undefined) {
      this.#expired(timer);
      timer = this.#course.timers.takeExpired(now);
    }
    return this.#leave();
  }

  #enter(now: number, rendezvous: RendezvousState): void {
    this.#course.enter(now, rendezvous);
    this.note(now);
    if (!this.#hasProgressed) return;
    this.#hasProgressed = false;
    this.#ending.noteProgress();
    this.#recovery.noteProgress(now, this.#course.state.name === 'down');
  }

  #leave(): readonly LifelineOutput[] {
    const { name } = this.#course.state;
    INVARIANT: invariant(
      name !== 'ended' || this.#course.timers.next() === Number.POSITIVE_INFINITY,
      'nothing runs after the end',
    );
    INVARIANT: invariant(name !== 'down' || this.#recovery.hasBegun, 'recovery has a beginning');
    return this.#course.take();
  }

  #handle(input: LifelineInput): void {
    switch (input.type) {
      case 'start':
        this.#course.do({ type: 'meet' });
        break;
      case 'peer-may-be-up':
        this.#peerMayBeUp = true;
        break;
      case 'met':
        this.#onMet(input.brief);
        break;
      case 'not-met':
      case 'no-rendezvous':
        this.#onAttemptFailed(input.error);
        break;
      case 'new-rendezvous':
        this.#ending.settled(() => this.#meet());
        break;
      case 'disconnected':
        this.#onDisconnected(input.error);
        break;
      case 'heard':
        this.#hasSignOfLife = true;
        this.note(this.#course.now);
        break;
      case 'peer-restarted':
        this.#afterLastAnswers(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the peer starts over'));
        break;
      case 'peer-left':
        if (this.isUp) this.#ending.endByPeer();
        break;
      case 'parted':
        if (this.isUp) this.#course.do({ type: 'report', step: 'parted' });
        break;
      case 'rendezvous-ended':
        this.#afterLastAnswers(input.error);
        break;
      case 'answered':
        if (this.#awaited !== undefined) this.#onTrouble(this.#awaited);
        else this.#ending.onAnswered();
        break;
      case 'link-failed':
        this.#onTrouble(input.error);
        break;
      case 'peer-quit':
        if (!this.#course.hasBeenUp) this.#quitEarly = true;
        else this.#ending.onPeerQuit();
        break;
      case 'held':
        this.#ending.noteHeld(input.isHeld);
        break;
      case 'quit-done':
        this.#ending.onQuitDone();
        break;
      case 'peer-bye':
        this.#ending.onPeerBye();
        break;
      case 'bye-done':
        this.#ending.onByeDone();
        break;
      case 'peer-close':
        this.#onPeerClose(input.error);
        break;
      case 'close-told':
        this.#ending.onCloseTold();
        break;
      case 'close':
        this.#ending.close();
        break;
      case 'abort':
        this.#ending.end(input.error);
        break;
      case 'destroyed':
        this.#ending.onDestroyed(input.error);
        break;
      case 'finished':
        this.#ending.onFinished();
    }
  }

  #expired(timer: LifelineTimer): void {
    switch (timer) {
      case LifelineTimer.KEEP_ALIVE:
        this.#look();
        break;
      case LifelineTimer.LAST_ANSWERS:
        if (this.#awaited !== undefined) this.#onTrouble(this.#awaited);
        break;
      case LifelineTimer.QUIT:
        this.#ending.onQuitPatience();
        break;
      case LifelineTimer.PAUSE:
        this.#attempt();
        break;
      case LifelineTimer.OLD_RENDEZVOUS:
        this.#course.do({ type: 'drop-rendezvous', silentMillis: this.#course.now - this.#attemptedAt });
        break;
      case LifelineTimer.RECOVERY:
        this.#course.do(
          { type: 'stop-attempt' },
          { type: 'fail-rendezvous', error: this.#recovery.blocked ?? tooSlow() },
        );
        break;
    }
  }

  // --- up -----------------------------------------------------------------------------------------------------------

  #onMet(brief: BriefLife | undefined): void {
    if (this.#course.state.name === 'ending') {
      this.#ending.settled(() => {});
      return;
    }
    const wasDown = this.#course.state.name === 'down';
    this.#course.timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);
    const failure = this.#failedEarly;
    this.#failedEarly = undefined;
    // The new link is broken already, and this recovery is the one that goes on.
    if (wasDown && failure !== undefined) {
      this.#course.state = { name: 'down', phase: 'pausing' };
      // The peer may be up.
      if (brief !== undefined) this.#course.do({ type: 'part-rendezvous' });
      if (this.#mayRecoverFrom(failure)) this.#again(failure);
      return;
    }
    const isFirst = !this.#course.hasBeenUp;
    this.#course.hasBeenUp = true;
    this.#course.do({ type: 'report', step: isFirst ? 'ready' : 'recovered' });
    this.#course.state = { name: 'up', since: this.#course.now };
    this.#recovery.noteUp(brief?.noticeMillis ?? 0);
    this.#ending.isBrief = brief !== undefined;
    this.#keepAlive.begin(this.#course.now, this.#random());
    this.#program.spoke(this.#course.now);
    this.#setKeepAlive();
    this.#course.do({ type: 'watch' });
    if (brief !== undefined) this.#course.do({ type: 'part-rendezvous' });
    if (!isFirst) this.#course.do({ type: 'reconnected' });
    if (isFirst && this.#quitEarly) this.#ending.onPeerQuit();
    if (this.#ending.isByPeer) this.#ending.endByPeer();
    if (failure !== undefined) this.#onTrouble(failure);
  }

  /**
   * A peer that refused a request gives up its queue pair. What the request itself was answered says more, and left the
   * peer first, but by another way: give it a moment to arrive.
   */
  #afterLastAnswers(error: RdmaError): void {
    if (!this.isUp || this.#awaited !== undefined) return;
    this.#awaited = error;
    this.#course.timers.set(LifelineTimer.LAST_ANSWERS, this.#course.now + LAST_ANSWER_MILLIS);
    this.#course.do({ type: 'await-answers' });
  }

  #onPeerClose(error: RdmaError | undefined): void {
    if (this.#ending.onPeerClose(error) && error !== undefined) this.#afterLastAnswers(error);
  }

  #setKeepAlive(): void {
    if (this.#limits.keepAliveMillis === 0) return;
    this.#course.timers.set(LifelineTimer.KEEP_ALIVE, this.#keepAlive.lookAt);
  }

  #look(): void {
    const { rendezvous, now } = this.#course;
    if (!this.isUp || (rendezvous !== 'open' && rendezvous !== 'parted')) return;
    const silentMillis = this.#keepAlive.look(now);
    if (this.#keepAlive.isLost) {
      this.#course.do({ type: 'drop-rendezvous', silentMillis });
      if (rendezvous === 'parted') this.#onTrouble(silent(silentMillis));
    } else {
      this.#sound();
      this.#setKeepAlive();
    }
  }

  /**
   * Whatever came through since the last look was a sign of life. A message that holds nothing costs a tenth of a frame, and
   * what answers it is a sign of life for both ends; the session is asked when that has got no answer until the next look. Where there is
   * none, the peer's program is asked over the link.
   */
  #sound(): void {
    const { silentLooks, patienceMillis } = this.#keepAlive;
    const { now, rendezvous } = this.#course;
    if (rendezvous === 'parted' && this.#program.asks(now, silentLooks > 0, patienceMillis))
      this.#course.do({ type: 'ask' });
    else if (silentLooks > 1 && rendezvous === 'open') this.#course.do({ type: 'ask-peer' });
    else if (silentLooks > 0) this.#course.do(BEAT);
  }

  // --- trouble ------------------------------------------------------------------------------------------------------

  #onTrouble(error: RdmaError): void {
    if (this.isOver) {
      // The last word of this side goes nowhere.
      this.#ending.onCloseTold();
      return;
    }
    if (this.#course.state.name !== 'up') {
      this.#failedEarly ??= error;
      return;
    }
    const { since } = this.#course.state;
    this.#goDown();
    if (this.#ending.isSettled) this.#ending.end(undefined);
    else if (this.#mayRecoverFrom(error)) this.#recover(error, since);
  }

  #recover(cause: RdmaError, upSince: number): void {
    this.#recovery.begin(this.#course.now, upSince, cause);
    this.#course.do({ type: 'reconnecting', cause });
    this.#disconnect(cause);
  }

  /** Ends the connection unless this is a failure that it recovers from. */
  #mayRecoverFrom(error: RdmaError): boolean {
    if (this.#hasPeerLeft) this.#ending.endByPeer();
    else if (!isRecoverable(error)) this.#ending.end(error);
    else if (this.#limits.recoveryMillis === 0) this.#giveUp(error);
    else return true;
    return false;
  }

  get #hasPeerLeft(): boolean {
    return this.#course.rendezvous === 'left' || this.#ending.isByPeer;
  }

  /** Nothing brings the connection up again. */
  #giveUp(error: RdmaError): void {
    const isNobodyThere = isRecoverable(error) || error.code === 'ERR_RDMA_REFUSED';
    if (this.#ending.mayBeByPeer && isNobodyThere) this.#ending.endByPeer();
    else this.#ending.end(error);
  }

  #goDown(): void {
    this.#course.timers.stop(LifelineTimer.KEEP_ALIVE, LifelineTimer.LAST_ANSWERS);
    this.#awaited = undefined;
  }

  #disconnect(cause: RdmaError): void {
    this.#course.state = { name: 'down', phase: 'disconnecting' };
    this.#course.do({ type: 'disconnect', cause });
  }

  #onDisconnected(error: RdmaError | undefined): void {
    this.#ending.settled(() => {
      // Of the link that is gone.
      this.#failedEarly = undefined;
      if (error !== undefined) {
        this.#course.state = { name: 'down', phase: 'pausing' };
        this.#ending.end(error);
        return;
      }
      this.#pause();
    });
  }

  /** None before the first attempt, then longer and longer, with jitter. */
  #pause(): void {
    this.#course.state = { name: 'down', phase: 'pausing' };
    const pauseMillis = this.#recovery.nextPauseMillis(this.#random);
    if (pauseMillis === 0) this.#attempt();
    else this.#course.timers.set(LifelineTimer.PAUSE, this.#course.now + pauseMillis);
  }

  #attempt(): void {
    if (this.#course.state.name !== 'down') return;
    if (this.#hasPeerLeft) {
      this.#ending.endByPeer();
      return;
    }
    const leftMillis = Math.max(1, this.#recovery.leftMillis(this.#course.now));
    this.#attemptedAt = this.#course.now;
    this.#course.timers.set(LifelineTimer.RECOVERY, this.#course.now + leftMillis);
    if (this.#course.rendezvous === 'open') {
      // The peer may have lost it without this side having heard: there must be time for another.
      this.#course.timers.set(LifelineTimer.OLD_RENDEZVOUS, this.#course.now + leftMillis / 2);
      this.#meet();
      return;
    }
    this.#course.state = { name: 'down', phase: 'rendezvous' };
    this.#course.do({ type: 'next-rendezvous' });
  }

  #meet(): void {
    this.#course.state = { name: 'down', phase: 'meeting' };
    this.#course.do({ type: 'meet' });
  }

  #onAttemptFailed(error: RdmaError): void {
    if (this.#course.state.name === 'establishing') {
      if (this.#isAwaited(error)) this.#recover(error, this.#course.now);
      else this.#ending.failFirst(error);
      return;
    }
    this.#recovery.noteFailure(error);
    this.#course.timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);
    this.#ending.settled(() => {
      this.#course.state = { name: 'down', phase: 'pausing' };
      if (this.#hasPeerLeft) this.#ending.endByPeer();
      else if (mayRepeat(error)) this.#again(error);
      else this.#giveUp(this.#recovery.withCause(this.#hasTimeLeft ? error : tooSlow()));
    });
  }

  /** The first meeting failed: whether the peer may be up and come back. */
  #isAwaited(error: RdmaError): boolean {
    const isLost = this.#course.rendezvous === 'lost' && isBrokenOff(error);
    return this.#peerMayBeUp && isLost && this.#limits.recoveryMillis > 0;
  }

  #again(failure: RdmaError): void {
    if (this.#hasTimeLeft) {
      this.#disconnect(failure);
      return;
    }
    this.#course.state = { name: 'down', phase: 'pausing' };
    this.#giveUp(this.#recovery.withCause(failure));
  }

  get #hasTimeLeft(): boolean {
    return this.#recovery.leftMillis(this.#course.now) > 0;
  }
}

const silent = (silentMillis: number): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', `the peer has been silent for ${Math.round(silentMillis)} ms`);
