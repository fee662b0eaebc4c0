/**
 * The end of a connection, as a part of its machine (lifeline-machine.ts): in order, when both ends have said all they had
 * to say, or at once, because of an error or because nothing moves any more.
 *
 * A brief life says goodbye over the queue pair: QUIT, which the peer's device acknowledges, and then BYE, as the peer must be there
 * to acknowledge again what got lost on its way. An end that has heard QUIT and no BYE waits for it. Whoever has the acknowledgement, or
 * the peer's QUIT, has all: if nothing more comes through, it has come to its end in order. An end that cannot wait for that, because
 * nothing moves any more or because of an error, says CLOSE and waits a moment for its acknowledgement: the peer would find silence
 * otherwise, look for it in vain, and end by an error of its own.
 *
 * Elsewhere an end that has heard QUIT says nothing over the queue pair any more. It waits for what it has sent: the peer goes as soon
 * as QUIT is acknowledged, and its last word (`bye`) tells what it had received until then.
 *
 * Invariants: it ends once, for one reason. The peer is told first, and the rendezvous goes last. What is under way, objects
 * that are being made among it, settles before everything is freed.
 */
import { RdmaError } from '../../verbs/errors.js';
import type { LifelineCourse } from './lifeline-course.js';
import { LifelineTimer } from './lifeline-timers.js';

/** The last word is a courtesy: the peer would wait for it a little, or be silent for a while, and lose nothing. */
export const BYE_MILLIS = 500;

/** How long an orderly end in which nothing moves waits for rates and other limits that hold all of it back. */
export const HELD_MILLIS = 30_000;

export class LifelineEnding {
  /** Goodbye is said without the rendezvous. */
  isBrief = false;
  readonly #course: LifelineCourse;
  readonly #quitMillis: number;
  #isClosing = false;
  #peerQuit = false;
  #peerBye = false;
  /** What the peer has closed with. */
  #peerClose: { readonly error: RdmaError | undefined } | undefined;
  /** What this side has closed with is under way. */
  #isTelling = false;
  /** The peer has all that was sent, and the word that it was all. */
  #hasQuit = false;
  /** There was a sign that the data path works since the last look. */
  #hasMoved = false;
  /** When there was one, or when the end began. */
  #movedAt = 0;
  #isHeld = false;
  /** The peer has quit, and this side only waits to know what the peer has got. */
  #isListening = false;

  /** `quitMillis`: how long an orderly end in which nothing moves takes at most. */
  constructor(course: LifelineCourse, quitMillis: number) {
    this.#course = course;
    this.#quitMillis = quitMillis;
  }

  /** Nothing new is taken any more. */
  get hasBegun(): boolean {
    return this.#isClosing || this.#course.isOver;
  }

  noteProgress(): void {
    this.#hasMoved = true;
  }

  /** Whether what waits to be sent is held back by limits. */
  noteHeld(isHeld: boolean): void {
    this.#isHeld = isHeld;
  }

  /** The peer has said its last word over the queue pair. */
  get isByPeer(): boolean {
    return this.#peerBye || this.#peerClose !== undefined;
  }

  /** Each side has what it must have of the other: what fails now is no failure. */
  get isSettled(): boolean {
    return this.#hasQuit || this.#peerBye || this.#isListening;
  }

  /** What the peer had to say is here: when it cannot be found again, it has left. */
  get mayBeByPeer(): boolean {
    return this.isBrief && this.#peerQuit;
  }

  onPeerQuit(): void {
    if (this.#peerQuit || this.#course.isOver) return;
    this.#notePeerQuit();
    this.#course.do({ type: 'end-receiving' });
  }

  /** The peer said its last word. What it had sent before has arrived, but may still wait in a queue: the end takes it out. */
  endByPeer(): void {
    if (!this.#course.hasBeenUp) {
      const message = 'the peer left before the connection was up';
      this.end(new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { refusal: 'left' }));
      return;
    }
    const error = this.#peerClose?.error;
    if (error === undefined) this.#notePeerQuit();
    this.end(error);
  }

  onPeerBye(): void {
    this.#peerBye = true;
    this.onCloseTold();
    if (this.#course.state.name === 'up') this.endByPeer();
  }

  /** Returns whether it is of an end that is worth waiting for what else the peer has answered. */
  onPeerClose(error: RdmaError | undefined): boolean {
    this.#peerClose ??= { error };
    this.onCloseTold();
    if (this.#course.state.name !== 'up') return false;
    if (error !== undefined) return true;
    this.endByPeer();
    return false;
  }

  /** A peer that only answers our own goodbye is no news. */
  #notePeerQuit(): void {
    if (!this.#peerQuit && !this.#isClosing) this.#course.do({ type: 'report', step: 'quit' });
    this.#peerQuit = true;
  }

  onQuitDone(): void {
    if (!this.#isClosing || this.#hasQuit) return;
    // Where the ends meet, the rendezvous says it.
    if (!this.isBrief || this.#course.state.name !== 'up') {
      this.end(undefined);
      return;
    }
    this.#hasQuit = true;
    this.#course.do({ type: 'send-bye' });
    this.#course.timers.set(LifelineTimer.QUIT, this.#course.now + BYE_MILLIS);
  }

  /** A peer that closes as well may still want the acknowledgement of its QUIT. */
  onByeDone(): void {
    if (this.#hasQuit && !this.#peerQuit) this.end(undefined);
  }

  close(): void {
    if (this.hasBegun) return;
    if (!this.#course.hasBeenUp) {
      this.end(new RdmaError('ERR_RDMA_ABORTED', 'the connection was closed before it was up'));
      return;
    }
    this.#isClosing = true;
    this.#movedAt = this.#course.now;
    if (this.#peerQuit && !this.isBrief) {
      this.#listen();
      return;
    }
    if (!this.#peerQuit) this.#course.do({ type: 'send-quit' });
    this.#waitForQuit();
  }

  #listen(): void {
    if (this.#course.state.name !== 'up') {
      this.end(undefined);
      return;
    }
    this.#isListening = true;
    this.#course.do({ type: 'await-answers' });
    this.#waitForQuit();
  }

  /** No request waits for its answer any more. */
  onAnswered(): void {
    if (this.#isListening) this.end(undefined);
  }

  #waitForQuit(): void {
    this.#hasMoved = false;
    this.#course.timers.set(LifelineTimer.QUIT, this.#course.now + this.#quitMillis);
  }

  /** Goes on until the peer has all that was sent, or until nothing moves any more. */
  onQuitPatience(): void {
    if (this.#isTelling) {
      this.onCloseTold();
      return;
    }
    if (this.#hasMoved) this.#movedAt = this.#course.now;
    const isHeld = this.#isHeld && this.#course.now - this.#movedAt < HELD_MILLIS;
    const waits = this.#course.state.name === 'down' || ((this.#hasMoved || isHeld) && !this.#hasQuit);
    if (waits) this.#waitForQuit();
    else this.end(undefined);
  }

  failFirst(error: RdmaError): void {
    this.#course.state = { name: 'ending', error, waits: false };
    this.#course.timers.stopAll();
    this.#course.do({ type: 'destroy', error });
  }

  end(error: RdmaError | undefined): void {
    const state = this.#course.state;
    if (this.#course.isOver) return;
    this.#course.timers.stopAll();
    const isDown = state.name === 'down';
    const isDisconnecting = isDown && state.phase === 'disconnecting';
    const isTrying = state.name === 'establishing' || (isDown && state.phase !== 'pausing');
    const tells = state.name === 'up' && this.#mustTell;
    const waits = isTrying || tells;
    this.#course.state = { name: 'ending', error, waits };
    if (isTrying) this.#course.do({ type: 'stop-attempt' });
    // Tell the peer first: it should not wait while this side cleans up. The socket itself goes last.
    if (error !== undefined) this.#course.do({ type: 'fail-rendezvous', error });
    // What it tells of the peer's fragments is known only when the link is gone.
    else if (isDown && !isDisconnecting) this.#course.do({ type: 'leave-rendezvous' });
    if (tells) this.#tell(error);
    if (!waits) this.#course.do({ type: 'destroy', error });
  }

  /** Nothing but the link tells the peer, and its last word or that of this side is not said. */
  get #mustTell(): boolean {
    return this.isBrief && !this.#hasQuit && !this.isByPeer && this.#course.rendezvous === 'parted';
  }

  #tell(error: RdmaError | undefined): void {
    this.#isTelling = true;
    this.#course.timers.set(LifelineTimer.QUIT, this.#course.now + BYE_MILLIS);
    this.#course.do({ type: 'send-close', error });
  }

  /** The peer knows, or will not learn it any more. */
  onCloseTold(): void {
    if (!this.#isTelling) return;
    this.#isTelling = false;
    this.#course.timers.stop(LifelineTimer.QUIT);
    this.settled(() => {});
  }

  /** What was under way has settled: goes on with it, or with the end that waits for it. */
  settled(goOn: () => void): void {
    const state = this.#course.state;
    if (state.name === 'down') {
      goOn();
      return;
    }
    if (state.name !== 'ending' || !state.waits) return;
    this.#course.state = { ...state, waits: false };
    // It may be a new one.
    if (state.error !== undefined) this.#course.do({ type: 'fail-rendezvous', error: state.error });
    this.#course.do({ type: 'destroy', error: state.error });
  }

  /** `failure`: what could not be freed; whoever waits for the end is told, the peer is not. */
  onDestroyed(failure: RdmaError | undefined): void {
    const { state } = this.#course;
    if (state.name !== 'ending') return;
    if (state.error !== undefined) this.#course.do({ type: 'fail-rendezvous', error: state.error });
    const error = state.error ?? failure;
    this.#course.state = { ...state, error };
    this.#course.do({ type: 'finish', error });
  }

  onFinished(): void {
    const { state } = this.#course;
    this.#course.state = { name: 'ended', error: state.name === 'ending' ? state.error : undefined };
  }
}
