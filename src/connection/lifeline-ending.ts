/**
 * The end of a connection, as a part of its machine (lifeline-machine.ts): in order, when both ends have said all they had
 * to say, or at once, because of an error or because nothing moves any more.
 *
 * Invariants: it ends once, for one reason. The peer is told first, and the rendezvous goes last. What is under way, objects
 * that are being made among it, settles before everything is freed.
 */
import { RdmaError } from '../verbs/errors.js';
import type { LifelineCourse } from './lifeline-course.js';
import { LifelineTimer } from './lifeline-timers.js';

export class LifelineEnding {
  readonly #course: LifelineCourse;
  readonly #quitMillis: number;
  #isClosing = false;
  #peerQuit = false;
  /** There was a sign that the data path works since the last look. */
  #hasMoved = false;

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

  onPeerQuit(): void {
    if (this.#peerQuit) return;
    this.#notePeerQuit();
    this.#course.do({ type: 'end-receiving' });
  }

  /** The peer said bye. What it had sent before has arrived, but may still wait in a queue: the end takes it out. */
  endByPeer(): void {
    if (!this.#course.hasBeenUp) {
      const message = 'the peer left before the connection was up';
      this.end(new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { refusal: 'left' }));
      return;
    }
    this.#notePeerQuit();
    this.end(undefined);
  }

  /** A peer that only answers our own goodbye is no news. */
  #notePeerQuit(): void {
    if (!this.#peerQuit && !this.#isClosing) this.#course.do({ type: 'report', step: 'quit' });
    this.#peerQuit = true;
  }

  onQuitDone(): void {
    if (this.#isClosing) this.end(undefined);
  }

  close(): void {
    if (this.hasBegun) return;
    if (!this.#course.hasBeenUp) {
      this.end(new RdmaError('ERR_RDMA_ABORTED', 'the connection was closed before it was up'));
      return;
    }
    this.#isClosing = true;
    if (this.#peerQuit) {
      this.end(undefined);
      return;
    }
    this.#course.do({ type: 'send-quit' });
    this.#waitForQuit();
  }

  #waitForQuit(): void {
    this.#hasMoved = false;
    this.#course.timers.set(LifelineTimer.QUIT, this.#course.now + this.#quitMillis);
  }

  /** Goes on until the peer has all that was sent, or until nothing moves any more. */
  onQuitPatience(): void {
    if (this.#course.state.name === 'down' || this.#hasMoved) this.#waitForQuit();
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
    const waits = state.name === 'establishing' || (isDown && state.phase !== 'pausing');
    this.#course.state = { name: 'ending', error, waits };
    if (waits) this.#course.do({ type: 'stop-attempt' });
    // Tell the peer first: it should not wait while this side cleans up. The socket itself goes last.
    if (error !== undefined) this.#course.do({ type: 'fail-rendezvous', error });
    else if (isDown) this.#course.do({ type: 'leave-rendezvous' });
    if (!waits) this.#course.do({ type: 'destroy', error });
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
