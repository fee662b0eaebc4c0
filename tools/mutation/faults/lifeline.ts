/** Faults of the recovery and the end of a connection. */
import { faultsOf } from '../fault-list.js';

const RECOVERY = ['test/connection/lifeline-recovery', 'test/connection/lifeline-machine'];

export const LIFELINE_FAULTS = faultsOf(
  'connection',
  ['test/connection/lifeline-machine', 'connections:1..150', 'test/connection/recovery'],
  [
    {
      id: 'time-begins-anew',
      wrong: 'The time for recovery begins anew with every failure.',
      file: 'connection/lifeline-recovery',
      find: 'this.#trouble ??= { since: now, cause };',
      replace: 'this.#trouble = { since: now, cause };',
      judges: RECOVERY,
    },
    {
      id: 'early-failure-forgotten',
      wrong: 'A failure before the connection first went up is forgotten.',
      file: 'connection/lifeline-machine',
      find: `    if (failure !== undefined) this.#onTrouble(failure);
`,
      replace: '',
    },
    {
      id: 'early-failure-of-recovery-forgotten',
      wrong: 'A failure before a recovery came up is forgotten.',
      file: 'connection/lifeline-machine',
      find: `      this.#failedEarly ??= error;
      return;`,
      replace: '      return;',
    },
    {
      id: 'early-client-not-awaited',
      wrong: 'A server does not wait for a client that may have been up when their first meeting broke off.',
      file: 'connection/lifeline-machine',
      find: 'if (this.#isAwaited(error)) this.#recover',
      replace: 'if (false) this.#recover',
      judges: ['test/connection/lifeline-machine', 'connections:400..450', 'test/connection/client-up-first'],
    },
    {
      id: 'early-client-untold',
      wrong: 'The machine of a server is not told that its client may be up.',
      file: 'connection/lifeline',
      find: "if (resumeToken !== undefined && isTold) this.#input({ type: 'peer-may-be-up' });",
      replace: '',
      judges: ['test/connection/client-up-first'],
    },
    {
      id: 'told-client-awaited',
      wrong: 'A client that said that it goes is waited for.',
      file: 'connection/lifeline-recovery',
      find: '  mayRepeat(error) && error.code',
      replace: '  error.code',
      judges: ['test/connection/lifeline-machine'],
    },
    {
      id: 'client-awaited-for-ever',
      wrong: 'A closing server waits for a client that does not come back.',
      file: 'connection/server',
      find: '    this.#service.giveUpAwaiting();\n',
      replace: '',
      judges: ['test/connection/client-up-first'],
    },
    {
      id: 'awaited-client-counts',
      wrong: 'A connection that waits for a client that never was up keeps the same client out.',
      file: 'connection/admission',
      find: 'if (awaiting === undefined) return false;',
      replace: 'if (awaiting !== null) return false;',
      judges: ['test/connection/client-up-first'],
    },
    {
      id: 'old-failure-counts',
      wrong: 'A failure of the link that is gone counts for the next.',
      file: 'connection/lifeline-machine',
      find: `      // Of the link that is gone.
      this.#failedEarly = undefined;
`,
      replace: '',
    },
    {
      id: 'ending-not-over',
      wrong: 'A connection that is ending is not over.',
      file: 'connection/lifeline-course',
      find: "return this.state.name === 'ending' || this.state.name === 'ended';",
      replace: "return this.state.name === 'ended';",
    },
    {
      id: 'recovers-from-faults',
      wrong: 'A connection recovers from a breach of the rules.',
      file: 'connection/lifeline-machine',
      find: '    else if (!isRecoverable(error)) this.#ending.end(error);\n',
      replace: '',
    },
    {
      id: 'attempt-any-failure',
      wrong: 'A refusal is tried again.',
      file: 'connection/lifeline-machine',
      find: 'else if (mayRepeat(error)) this.#again(error);',
      replace: 'else if (error !== undefined) this.#again(error);',
    },
    {
      id: 'no-time-limit',
      wrong: 'Recovery never gives up.',
      file: 'connection/lifeline-machine',
      find: 'return this.#recovery.leftMillis(this.#course.now) > 0;',
      replace: 'return true;',
    },
    {
      id: 'recovery-timer-kept',
      wrong: 'The timer of an attempt runs on when it succeeded.',
      file: 'connection/lifeline-machine',
      find: `    const wasDown = this.#course.state.name === 'down';
    this.#course.timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);`,
      replace: "    const wasDown = this.#course.state.name === 'down';",
    },
    {
      id: 'recovery-timer-kept-failed',
      wrong: 'The timer of an attempt runs on when it failed.',
      file: 'connection/lifeline-machine',
      find: `    this.#course.timers.stop(LifelineTimer.RECOVERY, LifelineTimer.OLD_RENDEZVOUS);
    this.#ending.settled`,
      replace: '    this.#ending.settled',
    },
    {
      id: 'keep-alive-while-down',
      wrong: 'Keep-alive goes on while the connection is down.',
      file: 'connection/lifeline-machine',
      find: 'this.#course.timers.stop(LifelineTimer.KEEP_ALIVE, LifelineTimer.LAST_ANSWERS);',
      replace: 'this.#course.timers.stop(LifelineTimer.LAST_ANSWERS);',
    },
    {
      id: 'silent-for-ever',
      wrong: 'A silent peer is never taken for lost.',
      file: 'connection/lifeline-machine',
      find: 'if (this.#keepAlive.isLost(silentMillis)) {',
      replace: 'if (false) {',
    },
    {
      id: 'frames-not-heard',
      wrong: 'Frames of the peer are no sign of life.',
      file: 'connection/lifeline-machine',
      find: '        if (this.isUp) this.#keepAlive.heard(this.#course.now);\n',
      replace: '',
    },
    {
      id: 'ping-once',
      wrong: 'One ping is all.',
      file: 'connection/lifeline-machine',
      find: `      this.#sound();
      this.#setKeepAlive();`,
      replace: '      this.#sound();',
    },
    {
      id: 'progress-not-heard',
      wrong: 'What comes through of the data is no sign of life.',
      file: 'connection/lifeline-machine',
      find: 'if (this.#hasSignOfLife && this.isUp) this.#keepAlive.heard(now);',
      replace: '',
    },
    {
      id: 'session-never-asked',
      wrong: 'A silent peer is not asked over the session.',
      file: 'connection/lifeline-machine',
      find: 'if (silentLooks > 1 &&',
      replace: 'if (false &&',
    },
    {
      id: 'beat-amid-work',
      wrong: 'A message that holds nothing is sent also while something is under way.',
      file: 'connection/data-path',
      find: '    if (this.#link?.tracker.pending !== 0) return;\n',
      replace: '',
      judges: ['test/connection/plane-port'],
    },
    {
      id: 'sign-of-life-is-progress',
      wrong: 'Signs of life put off the end in which nothing moves.',
      file: 'connection/lifeline-machine',
      find: `  signOfLife(): void {
    this.#hasSignOfLife = true;`,
      replace: `  signOfLife(): void {
    this.#hasProgressed = true;`,
    },
    {
      id: 'wheel-early',
      wrong: 'A timer of the wheel is called in the tick before.',
      file: 'connection/timer-wheel',
      find: 'Math.ceil((now + delayMillis) / this.#tickMillis)',
      replace: 'Math.floor((now + delayMillis) / this.#tickMillis)',
      judges: ['test/connection/timer-wheel'],
    },
    {
      id: 'wheel-stops-all',
      wrong: 'Stopping one timer of a tick stops all.',
      file: 'connection/timer-wheel',
      find: 'if (!tick.due.delete(due) || tick.due.size > 0) return;',
      replace: 'if (!tick.due.delete(due)) return;',
      judges: ['test/connection/timer-wheel'],
    },
    {
      id: 'pong-to-lost',
      wrong: 'A pong is sent over a channel that has ended.',
      file: 'connection/tls-rendezvous',
      find: 'if (channel.end === undefined && !this',
      replace: 'if (!this',
      judges: ['test/connection/tls-rendezvous'],
    },
    {
      id: 'last-answers-not-awaited',
      wrong: 'The last answers of a peer that gives up its queue pair are not waited for.',
      file: 'connection/lifeline-machine',
      find: "    this.#course.do({ type: 'await-answers' });",
      replace: '    this.#onTrouble(error);',
    },
    {
      id: 'no-pause',
      wrong: 'Attempts follow each other without a pause.',
      file: 'connection/lifeline-recovery',
      find: 'if (attempt === 0) return 0;',
      replace: 'if (attempt >= 0) return 0;',
      judges: RECOVERY,
    },
    {
      id: 'attempts-not-reset',
      wrong: 'Progress does not shorten the next pause.',
      file: 'connection/lifeline-recovery',
      find: `    this.#attempts = 0;
    if (!isDown)`,
      replace: '    if (!isDown)',
      judges: RECOVERY,
    },
    {
      id: 'old-trouble-kept',
      wrong: 'A connection that was up for long has the trouble of before.',
      file: 'connection/lifeline-recovery',
      find: `      this.#trouble = undefined;
      this.#attempts = 0;`,
      replace: '      this.#attempts = 0;',
      judges: RECOVERY,
    },
    {
      id: 'progress-ends-no-trouble',
      wrong: 'Progress does not end the trouble.',
      file: 'connection/lifeline-recovery',
      find: `    if (!isDown) this.#trouble = undefined;
    else if`,
      replace: '    if',
      judges: RECOVERY,
    },
    {
      id: 'lost-channel-used',
      wrong: 'Ends meet over a rendezvous that is lost.',
      file: 'connection/lifeline-machine',
      find: `    if (this.#course.rendezvous === 'open') {
      // The peer`,
      replace: `    if (this.#course.rendezvous !== 'left') {
      // The peer`,
    },
    {
      id: 'quit-told-twice',
      wrong: 'The goodbye of the peer is reported twice.',
      file: 'connection/lifeline-ending',
      find: `    if (this.#peerQuit) return;
    this.#notePeerQuit();`,
      replace: '    this.#notePeerQuit();',
    },
    {
      id: 'early-quit-forgotten',
      wrong: 'A peer that quits before this side is up has not quit.',
      file: 'connection/lifeline-machine',
      find: '    if (isFirst && this.#quitEarly) this.#ending.onPeerQuit();\n',
      replace: '',
    },
    {
      id: 'goodbye-is-news',
      wrong: 'A peer that answers our goodbye is reported.',
      file: 'connection/lifeline-ending',
      find: 'if (!this.#peerQuit && !this.#isClosing)',
      replace: 'if (!this.#peerQuit)',
    },
    {
      id: 'close-cuts-off',
      wrong: 'A close does not wait while messages move.',
      file: 'connection/lifeline-ending',
      find: ' || (this.#hasMoved && !this.#hasQuit)',
      replace: '',
    },
    {
      id: 'close-down-cuts-off',
      wrong: 'A close does not wait for a recovery.',
      file: 'connection/lifeline-ending',
      find: "this.#course.state.name === 'down' || (",
      replace: '(',
    },
    {
      id: 'close-before-notice',
      wrong: 'A close gives up before the queue pair has noticed that the path is dead.',
      file: 'connection/path-options',
      find: 'answerMillis(path) + NOTICE_MILLIS',
      replace: '0',
      judges: ['test/connection/close-in-the-dark'],
    },
    {
      id: 'bye-recovers',
      wrong: 'A peer that said bye is looked for again.',
      file: 'connection/lifeline-machine',
      find: `    if (this.#hasPeerLeft) this.#ending.endByPeer();
    else if (!isRecoverable`,
      replace: '    if (!isRecoverable',
    },
    {
      id: 'receiving-not-ended',
      wrong: 'A program is not told that the peer has quit.',
      file: 'connection/lifeline-ending',
      find: `    this.#course.do({ type: 'end-receiving' });
`,
      replace: '',
    },
    {
      id: 'closing-not-ending',
      wrong: 'A connection that closes still takes messages.',
      file: 'connection/lifeline-ending',
      find: 'return this.#isClosing || this.#course.isOver;',
      replace: 'return this.#course.isOver;',
    },
    {
      id: 'first-cause-lost',
      wrong: 'The last error of a recovery forgets its first cause.',
      file: 'connection/lifeline-recovery',
      find: 'if (first === undefined || first === failure) return failure;',
      replace: 'if (first !== null) return failure;',
      judges: RECOVERY,
    },
  ],
);
