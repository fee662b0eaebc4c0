/** The machine of a connection's life: its end, the rules of recovery, and signs of life. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HELD_MILLIS } from '../../../src/connection/lifeline/lifeline-ending.js';
import { LAST_ANSWER_MILLIS } from '../../../src/connection/lifeline/lifeline-machine.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import {
  ABORT,
  after,
  fail,
  KEEP_ALIVE_MILLIS,
  Life,
  linkFailed,
  names,
  notMet,
  QUIT_MILLIS,
  RECOVERY_MILLIS,
  rendezvousEnded,
  SITUATIONS,
} from './life.js';

test('the end waits for what is under way, and then goes on with it alone', () => {
  for (const [name, settles] of [
    ['establishing', 'met'],
    ['establishing', notMet()],
    ['down disconnecting', 'disconnected'],
    ['down meeting', 'met'],
    ['down rendezvous', 'new-rendezvous'],
  ] as const) {
    const life = after(SITUATIONS[name]?.() as Life, ABORT);
    assert.equal(life.does(settles), 'fail-rendezvous destroy', name);
    assert.equal(life.does('destroyed'), 'fail-rendezvous finish');
    assert.equal(life.does('finished'), '');
    assert.equal(life.where(), 'ended');
    assert.equal(life.machine.nextDeadline, Number.POSITIVE_INFINITY);
  }
});

test('what could not be freed is why an orderly end failed, which the peer is not told', () => {
  const failure = fail('ERR_RDMA_IN_USE');
  const orderly = after(SITUATIONS['up']?.() as Life, 'close', 'quit-done');
  assert.equal(orderly.does({ type: 'destroyed', error: failure }), 'finish');
  assert.deepEqual(orderly.machine.state, { name: 'ending', error: failure, waits: false });
  const aborted = after(SITUATIONS['up']?.() as Life, ABORT);
  assert.equal(aborted.does({ type: 'destroyed', error: failure }), 'fail-rendezvous finish');
  assert.notEqual(aborted.machine.state.name === 'ending' && aborted.machine.state.error, failure);
});

test('a failure before the connection first went up counts as soon as it is up', () => {
  const life = after(new Life(), 'start', linkFailed());
  assert.equal(life.does('met'), 'report watch reconnecting disconnect');
});

test('a first meeting that the network broke off is recovered from where the peer may be up, and from no other failure', () => {
  const lost = (recoveryMillis = RECOVERY_MILLIS): Life => {
    const life = after(new Life(recoveryMillis), 'start', 'peer-may-be-up');
    life.rendezvous = 'lost';
    return life;
  };
  for (const code of ['ERR_RDMA_CONNECTION_LOST', 'ERR_RDMA_COMPLETION'] as const)
    assert.equal(lost().does(notMet(fail(code))), 'reconnecting disconnect', code);
  for (const code of ['ERR_RDMA_PROTOCOL', 'ERR_RDMA_TIMEOUT', 'ERR_RDMA_UNREACHABLE'] as const)
    assert.equal(lost().does(notMet(fail(code))), 'destroy', code);
  const told = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'it has failed', { refusal: 'left' });
  assert.equal(lost().does(notMet(told)), 'destroy', 'the peer said that it goes');
  assert.equal(lost(0).does(notMet()), 'destroy', 'nothing is recovered from');
  const early = after(new Life(), 'start');
  early.rendezvous = 'lost';
  assert.equal(early.does(notMet()), 'destroy', 'the peer cannot be up');
});

test('a peer that was up and does not come back is waited for as long as a recovery takes', () => {
  const life = SITUATIONS['down rendezvous, never up']?.() as Life;
  assert.equal(life.passes(RECOVERY_MILLIS - 1), '');
  assert.equal(life.passes(1), 'stop-attempt fail-rendezvous');
  assert.equal(
    life.does({ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') }),
    'fail-rendezvous destroy',
  );
  assert.equal(life.machine.hasBeenUp, false);
});

test('the program hears of a connection once, when it is up first, and of what its peer said before', () => {
  const life = after(SITUATIONS['down disconnecting, never up']?.() as Life, 'peer-quit', 'disconnected');
  life.rendezvous = 'open';
  assert.equal(life.machine.hasBeenUp, false);
  life.does('new-rendezvous');
  assert.equal(life.does('met'), 'report watch report end-receiving');
  assert.equal(life.machine.hasBeenUp, true);
  after(life, linkFailed(), 'disconnected');
  assert.equal(life.does('met'), 'report watch reconnected');
});

test('a peer that comes back and leaves before this side is up has made no connection', () => {
  const life = SITUATIONS['down meeting, never up']?.() as Life;
  life.rendezvous = 'left';
  assert.equal(life.does(notMet()), 'fail-rendezvous destroy');
  const { state } = life.machine;
  assert.equal(state.name === 'ending' && state.error?.refusal, 'left');
});

test('a link that fails before its recovery is done goes on with that recovery, or ends it', () => {
  const life = after(SITUATIONS['down meeting']?.() as Life, linkFailed());
  assert.equal(life.does('met'), 'disconnect');
  const other = after(SITUATIONS['down meeting']?.() as Life, linkFailed(fail('ERR_RDMA_PROTOCOL')));
  assert.equal(other.does('met'), 'fail-rendezvous destroy');
});

test('what failed in one attempt is no failure of the next', () => {
  const life = after(SITUATIONS['down meeting']?.() as Life, linkFailed(), notMet(), 'disconnected');
  assert.match(life.passes(RECOVERY_MILLIS / 10), /meet/);
  assert.equal(life.does('met'), 'report watch reconnected');
  assert.equal(life.where(), 'up');
});

test('the time for recovery begins with the first failure, however many follow, and its end tells of that one', () => {
  const life = after(SITUATIONS['up']?.() as Life, linkFailed(fail('ERR_RDMA_COMPLETION', 'the first')));
  let attempts = 0;
  life.does('disconnected');
  while (life.where() !== 'ending') {
    attempts++;
    assert.ok(life.now <= RECOVERY_MILLIS + 200, 'it gives up');
    // Comes up, and fails at once without having moved anything.
    if (attempts % 2 === 0) after(life, 'met', linkFailed());
    else life.does(notMet());
    life.does('disconnected');
    life.passes(200);
  }
  const { state } = life.machine;
  assert.ok(state.name === 'ending' && state.error !== undefined);
  assert.match(state.error.message, /the trouble began with: the first/);
  assert.equal((state.error.cause as RdmaError).message, 'the first');
  assert.ok(life.now >= RECOVERY_MILLIS, `after ${life.now} ms`);
});

test("what this side has found out of a blocked path is not overwritten by the peer's end, but its refusals are", () => {
  const blocked = new RdmaError('ERR_RDMA_UNREACHABLE', 'UDP does not come through');
  for (const refusal of [
    'timeout',
    'unreachable',
    'failed',
    'left',
    'resumption',
    'not-authorized',
  ] as const) {
    const life = after(
      new Life(),
      'start',
      'met',
      linkFailed(),
      'disconnected',
      notMet(blocked),
      'disconnected',
    );
    life.passes(10);
    assert.equal(life.where(), 'down meeting');
    life.does(notMet(new RdmaError('ERR_RDMA_REFUSED', 'it ended the session', { refusal })));
    const { state } = life.machine;
    assert.ok(state.name === 'ending');
    const code = refusal === 'not-authorized' ? 'ERR_RDMA_REFUSED' : 'ERR_RDMA_UNREACHABLE';
    assert.equal(state.error?.code, code, refusal);
  }
});

test('what moved makes the next failure new trouble', () => {
  const life = SITUATIONS['up']?.() as Life;
  for (let i = 0; i < 20; i++) {
    after(life, linkFailed(), 'disconnected');
    life.passes(RECOVERY_MILLIS / 2);
    after(life, 'met');
    life.machine.progress();
  }
  assert.equal(life.where(), 'up');
});

test('an attempt is stopped when the time for recovery is over', () => {
  const life = SITUATIONS['down rendezvous']?.() as Life;
  assert.equal(life.passes(RECOVERY_MILLIS - 1), '');
  assert.equal(life.passes(1), 'stop-attempt fail-rendezvous');
  assert.equal(
    life.does({ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') }),
    'fail-rendezvous destroy',
  );
});

test('the time of an attempt is over with the attempt, whether it succeeds or fails', () => {
  const life = after(SITUATIONS['down meeting']?.() as Life, 'met');
  for (let i = 0; i < 12; i++) {
    const leftMillis = life.machine.nextDeadline - life.now;
    assert.ok(leftMillis > KEEP_ALIVE_MILLIS && leftMillis <= 8 * KEEP_ALIVE_MILLIS, `${leftMillis} ms`);
    assert.equal(life.passes(leftMillis), 'beat');
    life.does('heard');
  }
  assert.equal(life.where(), 'up');
  const failed = after(SITUATIONS['down meeting']?.() as Life, notMet());
  assert.equal(
    failed.passes(10 * RECOVERY_MILLIS),
    '',
    'it waits until the link is gone, however long that takes',
  );
});

test('without time for recovery the first failure ends the connection', () => {
  const life = after(new Life(0), 'start', 'met');
  assert.equal(life.does(linkFailed()), 'fail-rendezvous destroy');
});

test('attempts are paused longer and longer, the first one not at all', () => {
  const life = SITUATIONS['down meeting']?.() as Life;
  const pauses: number[] = [];
  for (let i = 0; i < 8; i++) {
    after(life, notMet(), 'disconnected');
    pauses.push(life.machine.nextDeadline - life.now);
    assert.equal(life.passes(pauses.at(-1) ?? 0), 'meet');
  }
  assert.deepEqual(pauses, [10, 20, 40, 80, 160, 200, 200, 200]);
});

test('what comes through is a sign of life, so that nothing is sent for it', () => {
  const life = SITUATIONS['up']?.() as Life;
  for (let i = 0; i < 10; i++) {
    life.machine.progress();
    assert.equal(life.passes(KEEP_ALIVE_MILLIS), '');
  }
  assert.equal(life.passes(KEEP_ALIVE_MILLIS), 'beat');
  life.machine.progress();
  life.machine.note(life.now);
  assert.equal(life.passes(2 * KEEP_ALIVE_MILLIS), 'beat');
  assert.equal(life.passes(KEEP_ALIVE_MILLIS / 2), 'ask-peer');
});

test('a quiet connection notes signs of life at once, so that its next look is put off, and what moves ends the quiet', () => {
  const life = SITUATIONS['up']?.() as Life;
  assert.equal(life.machine.isQuiet, true);
  life.passes(1.5 * KEEP_ALIVE_MILLIS);
  life.machine.signOfLife();
  life.machine.note(life.now);
  assert.equal(life.machine.nextDeadline, 5 * KEEP_ALIVE_MILLIS);
  life.machine.progress();
  life.machine.note(life.now);
  assert.equal(life.machine.isQuiet, false);
  assert.ok(life.machine.nextDeadline <= 2.5 * KEEP_ALIVE_MILLIS);
  assert.match(life.passes(2 * KEEP_ALIVE_MILLIS), /^beat/);
  assert.equal(life.machine.isQuiet, true);
  life.does(linkFailed());
  assert.equal(life.machine.isQuiet, false, 'nobody listens while it is down');
});

test('a sign of life is no progress: an orderly end in which nothing else moves is cut short', () => {
  for (const comes of ['signOfLife', 'progress'] as const) {
    const life = after(SITUATIONS['up']?.() as Life, 'close');
    let done = '';
    for (let passed = 0; passed < 2 * QUIT_MILLIS; passed += KEEP_ALIVE_MILLIS / 2) {
      life.machine[comes]();
      done += life.passes(KEEP_ALIVE_MILLIS / 2);
    }
    assert.equal(done, comes === 'progress' ? '' : 'destroy');
  }
});

test('a silent peer is asked over the link, then over the session, and given up an interval after it was asked', () => {
  const life = SITUATIONS['up']?.() as Life;
  assert.equal(life.passes(2 * KEEP_ALIVE_MILLIS), 'beat');
  life.does('heard');
  assert.equal(life.passes(5 * KEEP_ALIVE_MILLIS - 1), 'beat ask-peer');
  assert.equal(life.passes(1), 'drop-rendezvous');
  life.rendezvous = 'lost';
  after(life, rendezvousEnded(fail('ERR_RDMA_TIMEOUT')));
  assert.equal(life.does('answered'), 'reconnecting disconnect');
  assert.equal(life.does('disconnected'), 'next-rendezvous');
});

test('a process that was stopped for long looks after its peer before it gives the session up', () => {
  const life = SITUATIONS['up']?.() as Life;
  life.now += 20 * KEEP_ALIVE_MILLIS;
  assert.equal(names(life.machine.handleTimeout(life.now, 'open')), 'beat');
  assert.equal(life.passes(KEEP_ALIVE_MILLIS), 'ask-peer');
  assert.equal(life.passes(KEEP_ALIVE_MILLIS), 'drop-rendezvous', 'and then as soon as ever');
});

test('the last answers get a moment, and what they say counts', () => {
  const silent = after(SITUATIONS['up']?.() as Life, rendezvousEnded());
  assert.equal(silent.passes(LAST_ANSWER_MILLIS), 'reconnecting disconnect');
  for (const code of ['ERR_RDMA_REFUSED', 'ERR_RDMA_PROTOCOL'] as const) {
    const refused = after(SITUATIONS['up']?.() as Life, rendezvousEnded(fail(code)));
    assert.equal(refused.does('answered'), 'fail-rendezvous destroy', code);
  }
  const broken = after(SITUATIONS['up']?.() as Life, rendezvousEnded(fail('ERR_RDMA_TLS')));
  assert.equal(broken.does('answered'), 'reconnecting disconnect');
});

test('an orderly end waits while something moves or recovers, and not longer', () => {
  const life = after(SITUATIONS['up']?.() as Life, 'close');
  assert.ok(life.machine.isEnding && !life.machine.isOver);
  life.machine.progress();
  life.passes(QUIT_MILLIS);
  assert.equal(life.where(), 'up');
  after(life, linkFailed());
  life.passes(QUIT_MILLIS);
  assert.equal(life.where(), 'down disconnecting');
  after(life, 'disconnected', 'met');
  life.passes(QUIT_MILLIS);
  assert.equal(life.where(), 'ending');
  const prompt = after(SITUATIONS['up']?.() as Life, 'close');
  assert.equal(prompt.does('quit-done'), 'destroy');
});

test('an orderly end waits while limits hold everything back, but not for ever', () => {
  const life = after(SITUATIONS['up']?.() as Life, 'close', { type: 'held', isHeld: true });
  life.passes(HELD_MILLIS - QUIT_MILLIS);
  assert.equal(life.where(), 'up');
  life.machine.progress();
  life.passes(HELD_MILLIS - QUIT_MILLIS);
  assert.equal(life.where(), 'up', 'something has moved meanwhile');
  life.passes(3 * QUIT_MILLIS);
  assert.equal(life.where(), 'ending');
  const slow = after(SITUATIONS['up']?.() as Life, 'close', { type: 'held', isHeld: true });
  slow.passes(2 * QUIT_MILLIS);
  slow.does({ type: 'held', isHeld: false });
  slow.passes(QUIT_MILLIS);
  assert.equal(slow.where(), 'ending', 'nothing holds it back, and it does not move');
});

test('a peer that quit first is not told again; its bye ends a recovery in order', () => {
  const life = after(SITUATIONS['up']?.() as Life, 'peer-quit');
  assert.equal(life.does('close'), 'await-answers');
  assert.equal(life.does('answered'), 'destroy');
  const gone = SITUATIONS['down meeting']?.() as Life;
  gone.rendezvous = 'left';
  assert.equal(gone.does(notMet()), 'report leave-rendezvous destroy');
  // It may come while nobody listens.
  const unread = SITUATIONS['down disconnecting']?.() as Life;
  unread.rendezvous = 'left';
  assert.equal(unread.does('disconnected'), 'report leave-rendezvous destroy');
});

test('an end whose peer has quit waits for what it has sent: for answers, for the last word, and for nothing else', () => {
  const closing = (): Life => after(SITUATIONS['up']?.() as Life, 'peer-quit', 'close');
  const told = closing();
  told.rendezvous = 'left';
  assert.equal(told.does('peer-left'), 'destroy');
  assert.equal(told.does('answered'), '');
  assert.equal(closing().does(linkFailed()), 'destroy');
  const deserted = closing();
  assert.equal(deserted.does(rendezvousEnded()), 'await-answers');
  assert.equal(deserted.does('answered'), 'destroy');
  assert.match(closing().passes(QUIT_MILLIS), / destroy$/);
  const down = after(SITUATIONS['down pausing']?.() as Life, 'peer-quit');
  assert.equal(down.does('close'), 'leave-rendezvous destroy');
});

test('a goodbye that tells what has arrived waits for the link to end', () => {
  const life = after(SITUATIONS['down disconnecting']?.() as Life, 'peer-quit');
  assert.equal(life.does('close'), 'stop-attempt');
  assert.equal(life.does('disconnected'), 'destroy');
});

test('the goodbye of a peer is told once, and not at all when it answers our own', () => {
  const quit = after(SITUATIONS['up']?.() as Life, 'peer-quit');
  assert.equal(quit.does('peer-quit'), '');
  assert.equal(quit.does('peer-left'), 'destroy');
  const closing = after(SITUATIONS['up']?.() as Life, 'close');
  assert.equal(closing.does('peer-quit'), 'end-receiving');
  assert.equal(closing.does('peer-left'), 'destroy');
});

test('a peer that is up first and quits before this side is up has quit when it is', () => {
  const life = after(new Life(), 'start');
  assert.equal(life.does('peer-quit'), '');
  assert.equal(life.does('met'), 'report watch report end-receiving');
  assert.equal(life.does('peer-quit'), '');
});

test('a link that fails because the peer has left is not looked for again', () => {
  const life = SITUATIONS['up']?.() as Life;
  life.rendezvous = 'left';
  assert.equal(life.does(linkFailed()), 'report destroy');
  assert.equal(life.where(), 'ending');
});

test('a rendezvous that the peer may have lost without this side knowing gets half of the time, then another one', () => {
  const life = SITUATIONS['down meeting']?.() as Life;
  assert.equal(life.passes(RECOVERY_MILLIS / 2 - 1), '');
  assert.equal(life.passes(1), 'drop-rendezvous');
  life.rendezvous = 'lost';
  assert.equal(life.does(notMet(fail('ERR_RDMA_TIMEOUT'))), 'disconnect');
  after(life, 'disconnected');
  assert.equal(life.passes(10), 'next-rendezvous');
  assert.equal(life.does('new-rendezvous'), 'meet');
  // The new one has all that is left.
  assert.equal(life.passes(RECOVERY_MILLIS / 2 - 11), '');
  assert.equal(life.passes(1), 'stop-attempt fail-rendezvous');
});

test('a connection that ends can no longer be taken up, one that closes can', () => {
  assert.equal(SITUATIONS['ending']?.().machine.isOver, true);
  assert.equal(SITUATIONS['ended']?.().machine.isOver, true);
  assert.equal(after(SITUATIONS['up']?.() as Life, 'close').machine.isOver, false);
});
