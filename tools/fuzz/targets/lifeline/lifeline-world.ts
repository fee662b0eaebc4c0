/**
 * A driver of a connection's life machine that knows the rules: what the machine may ask for at what time, and what must
 * follow. It answers what was asked as the input says, and lets everything else happen at any time.
 */
import type {
  BriefLife,
  LifelineInput,
  LifelineOutput,
  RendezvousState,
} from '../../../../src/connection/lifeline/lifeline-events.js';
import { LifelineMachine } from '../../../../src/connection/lifeline/lifeline-machine.js';
import type { RecoveryLimits } from '../../../../src/connection/terms/options.js';
import type { RdmaError, RdmaErrorCode } from '../../../../src/verbs/errors.js';
import { must } from '../../target.js';

/** What takes time and is answered once. */
type Asked = 'meet' | 'next-rendezvous' | 'disconnect' | 'destroy' | 'finish';

/** Failures that a connection recovers from. */
const RECOVERABLE: readonly RdmaErrorCode[] = [
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_TLS',
];
const SILENT_INTERVALS = 3;
const QUIT_MILLIS = 1500;
const START_MILLIS = 1000;

export class LifelineWorld {
  readonly machine: LifelineMachine;
  readonly limits: RecoveryLimits;
  now = START_MILLIS;
  rendezvous: RendezvousState = 'open';
  asked: Asked | null = null;
  isClosing = false;
  /** The peer has sent its last message, and is gone. */
  hasPeerQuit = false;
  inputs = 0;
  /** The end was asked for with this. */
  #end: { readonly error: RdmaError | undefined } | null = null;
  #destroys = 0;
  #finishes = 0;
  #quits = 0;
  #byes = 0;
  #closes = 0;
  /** The peer has said its last word. */
  #hasPeerGone = false;
  /** Of the life that is brief, if it is: what the peer may take to notice. */
  readonly #brief: BriefLife | undefined;
  /** The peer has all that was sent. */
  #hasQuit = false;
  #readies = 0;
  #isDown = false;
  #hasProgressed = false;
  /** The next answer of the machine must be the end. */
  #mustEnd = false;
  #heardAt = START_MILLIS;
  /** When the trouble began that has not ended. */
  #troubleSince: number | null = null;

  constructor(
    recoveryMillis: number,
    keepAliveMillis: number,
    random: () => number,
    brief: BriefLife | undefined,
  ) {
    this.#brief = brief;
    this.limits = { recoveryMillis, keepAliveMillis, quitMillis: QUIT_MILLIS };
    this.machine = new LifelineMachine({ limits: this.limits, random });
    this.give({ type: 'start' });
  }

  get isEnded(): boolean {
    return this.machine.state.name === 'ended';
  }

  /** Something happens. */
  give(input: LifelineInput): void {
    this.inputs++;
    if (input.type === 'close' && !this.machine.isEnding) this.isClosing = true;
    if (input.type === 'heard' && this.machine.isUp) this.#heardAt = this.now;
    this.#noteProgress();
    const wasUp = this.machine.isUp;
    if (input.type === 'quit-done' && wasUp && this.isClosing) this.#hasQuit = true;
    if (input.type === 'peer-quit') this.hasPeerQuit = true;
    if (input.type === 'peer-bye' || input.type === 'peer-close') this.#hasPeerGone = true;
    const wasOver = this.machine.isOver;
    const outputs = this.machine.handle(input, this.now, this.rendezvous);
    this.#follow(outputs);
    if (wasOver) must(this.machine.isOver, 'what is over stays so');
    this.#checkTold(wasUp);
    if (wasUp && input.type === 'link-failed' && !RECOVERABLE.includes(input.error.code))
      must(this.machine.isOver, 'a failure that is not the network’s ends the connection');
    if (wasUp && this.#hasQuit && input.type === 'link-failed')
      must(this.machine.isOver, 'who has said goodbye looks for nobody');
    this.#check();
  }

  progress(): void {
    this.machine.progress();
    this.#hasProgressed = true;
  }

  /** Progress costs nothing: the machine looks at it when something else happens. */
  #noteProgress(): void {
    if (this.#isLongUp()) this.#troubleSince = null;
    if (this.#hasProgressed) this.#troubleSince = this.machine.state.name === 'down' ? this.now : null;
    this.#hasProgressed = false;
  }

  /** Time passes; timers that expire meanwhile run, each at its time. */
  pass(millis: number): void {
    const end = this.now + millis;
    for (let runs = 0; this.machine.nextDeadline <= end; runs++) {
      must(runs < 10_000, 'timers do not run again and again at one time');
      this.now = Math.max(this.now, this.machine.nextDeadline);
      this.#noteProgress();
      const wasUp = this.machine.isUp;
      this.#follow(this.machine.handleTimeout(this.now, this.rendezvous));
      this.#checkTold(wasUp);
      must(this.machine.nextDeadline > this.now, 'what has expired has run');
      this.#check();
    }
    this.now = end;
  }

  /** Answers what was asked; does nothing if nothing was. */
  answer(error: RdmaError | undefined): void {
    const { asked } = this;
    this.asked = null;
    this.#noteProgress();
    if (asked === 'meet') {
      this.#noteAttempt(error);
      this.give(error === undefined ? { type: 'met', brief: this.#brief } : { type: 'not-met', error });
    } else if (asked === 'next-rendezvous') {
      if (error === undefined) this.rendezvous = 'open';
      else this.#noteAttempt(error);
      this.give(error === undefined ? { type: 'new-rendezvous' } : { type: 'no-rendezvous', error });
    } else if (asked === 'disconnect') {
      this.give(error === undefined ? { type: 'disconnected' } : { type: 'disconnected', error });
    } else if (asked === 'destroy') this.give({ type: 'destroyed' });
    else if (asked === 'finish') this.give({ type: 'finished' });
  }

  /** An attempt that failed when the time was over is the last one. */
  #noteAttempt(error: RdmaError | undefined): void {
    const since = this.#troubleSince;
    const mostMillis = this.limits.recoveryMillis + (this.#brief?.noticeMillis ?? 0);
    const isLate = since !== null && this.now > since + mostMillis + 1;
    this.#mustEnd = isLate && error !== undefined && this.machine.state.name === 'down';
  }

  #follow(outputs: readonly LifelineOutput[]): void {
    for (const output of outputs) this.#one(output);
    if (this.#mustEnd)
      must(this.machine.isOver, 'the time for recovery does not begin anew with every failure');
    this.#mustEnd = false;
  }

  #one(output: LifelineOutput): void {
    must(!this.isEnded || output.type === 'finish', `nothing is asked for after the end, not ${output.type}`);
    switch (output.type) {
      case 'meet':
        must(this.rendezvous === 'open', 'ends meet where both can be found');
        this.#ask('meet');
        break;
      case 'next-rendezvous':
        must(this.rendezvous !== 'open', 'a rendezvous that is open is not replaced');
        must(this.rendezvous !== 'left', 'a peer that said bye is not looked for');
        this.#ask('next-rendezvous');
        break;
      case 'disconnect':
        this.#ask('disconnect');
        break;
      case 'destroy':
        must(++this.#destroys === 1, 'the data path is destroyed once');
        this.#end = { error: output.error };
        this.#ask('destroy');
        break;
      case 'finish':
        must(++this.#finishes === 1 && this.#destroys === 1, 'the end comes once, after all is freed');
        must(this.#end?.error === output.error, 'it ends for one reason');
        this.#ask('finish');
        break;
      case 'send-quit':
        must(++this.#quits === 1 && this.isClosing, 'goodbye is said once, by who closes');
        break;
      case 'send-bye':
        must(
          ++this.#byes === 1 && this.#hasQuit && this.#brief !== undefined,
          'the last word comes once, and last',
        );
        break;
      case 'send-close':
        must(++this.#closes === 1 && this.machine.isOver, 'who closes says so once');
        must(this.#brief !== undefined && this.#byes === 0, 'who has another last word does not close');
        must(!this.#hasPeerGone, 'a peer that has gone is told nothing');
        break;
      case 'part-rendezvous':
        must(this.#brief !== undefined, 'a session is left where both ends want it');
        this.rendezvous = this.rendezvous === 'open' ? 'parted' : this.rendezvous;
        break;
      case 'ask-peer':
        must(this.rendezvous === 'open' && this.machine.isUp, 'what lives is asked');
        break;
      case 'drop-rendezvous':
        this.#checkSilence();
        this.rendezvous = this.rendezvous === 'open' ? 'lost' : this.rendezvous;
        break;
      case 'fail-rendezvous':
        this.rendezvous = this.rendezvous === 'open' ? 'lost' : this.rendezvous;
        break;
      case 'leave-rendezvous':
        this.rendezvous = this.rendezvous === 'open' ? 'left' : this.rendezvous;
        break;
      case 'report':
        if (output.step === 'ready') must(++this.#readies === 1, 'it is ready for the first time once');
        break;
      case 'reconnecting':
        must(!this.#isDown, 'no recovery begins beside another');
        this.#isDown = true;
        this.#troubleSince ??= this.now;
        break;
      case 'reconnected':
        must(this.#isDown, 'it comes up after it was down');
        this.#isDown = false;
        break;
      case 'watch':
        must(
          this.machine.isUp || this.machine.state.name !== 'establishing',
          'the peer is watched while it is up',
        );
        this.#heardAt = this.now;
        break;
      case 'await-answers':
        must(this.machine.isUp, 'answers come over a link that is up');
        break;
      case 'stop-attempt':
      case 'end-receiving':
        break;
    }
  }

  /** An end that was up and goes without the last word of either side tells the peer. */
  #checkTold(wasUp: boolean): void {
    const { state } = this.machine;
    if (!wasUp || state.name !== 'ending' || this.rendezvous !== 'parted') return;
    must(this.#closes + this.#byes > 0 || this.#hasPeerGone, 'a brief peer learns of the end');
  }

  #ask(what: Asked): void {
    must(this.asked === null, `${what} is not asked for while ${this.asked} is under way`);
    this.asked = what;
  }

  #checkSilence(): void {
    const { keepAliveMillis } = this.limits;
    const isFound = this.rendezvous === 'parted';
    // While down, a meeting that does not come to its end shows it as well.
    if (this.machine.state.name === 'down' && !isFound) {
      must(this.asked === 'meet', 'only a meeting that is under way loses its rendezvous');
      return;
    }
    must(keepAliveMillis > 0, 'nobody is taken for lost where nobody asks');
    must(this.now - this.#heardAt >= SILENT_INTERVALS * keepAliveMillis, 'a peer that was heard is there');
  }

  #check(): void {
    const { name } = this.machine.state;
    const isIdle = this.asked === null && this.machine.nextDeadline === Number.POSITIVE_INFINITY;
    if (isIdle)
      must(name === 'ended' || (name === 'up' && !this.isClosing), `nothing will happen any more in ${name}`);
  }

  /** A connection that was up for longer than a recovery may take has no trouble any more. */
  #isLongUp(): boolean {
    const { state } = this.machine;
    return state.name === 'up' && this.now - state.since > this.limits.recoveryMillis;
  }
}
