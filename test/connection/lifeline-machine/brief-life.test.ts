/** The machine of a connection's life where both ends do without their session: its end, its silence, and how it is found again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BYE_MILLIS } from '../../../src/connection/lifeline/lifeline-ending.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import {
  after,
  BRIEF,
  fail,
  KEEP_ALIVE_MILLIS,
  type Life,
  linkFailed,
  noRendezvous,
  QUIT_MILLIS,
  RECOVERY_MILLIS,
  rendezvousEnded,
  SITUATIONS,
} from './life.js';

const brief = (): Life => SITUATIONS['up briefly']?.() as Life;
const endOf = (life: Life): unknown => {
  const { state } = life.machine;
  assert.equal(state.name, 'ending');
  return state.name === 'ending' ? state.error : null;
};

/** Time passes, and the peer's device answers. */
function lives(life: Life, millis: number): string {
  const done: string[] = [];
  for (let passed = 0; passed < millis; passed += 50) {
    life.machine.signOfLife();
    done.push(life.passes(Math.min(50, millis - passed)));
  }
  return done.join(' ').trim();
}

test('who closes says goodbye twice, and then waits for nobody', () => {
  const life = brief();
  assert.equal(life.does('close'), 'send-quit');
  assert.equal(life.does('quit-done'), 'send-bye');
  assert.equal(life.does('bye-done'), 'destroy');
  assert.equal(endOf(life), undefined);
});

test('a last word that does not arrive is waited for a little', () => {
  const life = after(brief(), 'close', 'quit-done');
  assert.doesNotMatch(lives(life, BYE_MILLIS - 1), /destroy/);
  assert.match(life.passes(2), /destroy$/);
  assert.equal(endOf(life), undefined);
});

test('who has heard goodbye stays until the peer knows it, or is silent', () => {
  const heard = after(brief(), 'peer-quit');
  assert.equal(heard.does('close'), '');
  assert.equal(heard.does('peer-bye'), 'destroy');
  const unheard = after(brief(), 'peer-quit', 'close');
  assert.match(lives(unheard, QUIT_MILLIS), /send-close$/);
  assert.equal(unheard.does('close-told'), 'destroy');
  assert.equal(endOf(unheard), undefined);
});

test('an end that closes while nothing moves tells the peer, and waits a little for that to arrive', () => {
  for (const told of ['close-told', 'peer-bye', linkFailed(), { type: 'peer-close' }] as const) {
    const life = after(brief(), 'close');
    assert.match(lives(life, QUIT_MILLIS), /send-close$/);
    assert.equal(life.machine.state.name, 'ending');
    assert.equal(life.does(told), 'destroy');
    assert.equal(endOf(life), undefined);
  }
  const unheard = after(brief(), 'close');
  lives(unheard, QUIT_MILLIS);
  assert.equal(unheard.passes(BYE_MILLIS - 1), '');
  assert.equal(unheard.passes(1), 'destroy');
  assert.equal(unheard.does('close-told'), '');
});

test('an end that is aborted, or finds that the peer breaks the rules, tells it why', () => {
  for (const error of [fail('ERR_RDMA_ABORTED'), fail('ERR_RDMA_PROTOCOL')]) {
    for (const input of [{ type: 'abort', error }, linkFailed(error)] as const) {
      const life = brief();
      assert.equal(life.does(input), 'fail-rendezvous send-close');
      assert.equal(life.does('peer-quit'), '');
      assert.match(life.does('close-told'), /destroy$/);
      assert.equal(endOf(life), error);
    }
  }
});

test('an end that has said goodbye, or whose peer has, closes without another word', () => {
  const said = after(brief(), 'close', 'quit-done');
  assert.equal(said.does({ type: 'abort', error: fail('ERR_RDMA_ABORTED') }), 'fail-rendezvous destroy');
  const left = brief();
  left.rendezvous = 'left';
  assert.match(left.does('peer-left'), /destroy$/);
});

test('a peer that closes ends this side at once: in order, or by its reason when its last answers are here', () => {
  const life = brief();
  assert.equal(life.does({ type: 'peer-close' }), 'report destroy');
  assert.equal(endOf(life), undefined);
  const error = new RdmaError('ERR_RDMA_REFUSED', 'it was aborted', { refusal: 'aborted' });
  for (const last of ['answered', linkFailed()] as const) {
    const refused = brief();
    assert.equal(refused.does({ type: 'peer-close', error }), 'await-answers');
    assert.match(refused.does(last), /^fail-rendezvous destroy$/);
    assert.equal(endOf(refused), error);
  }
});

test('a peer that closed before this end was up, or while it was down, has ended it', () => {
  const error = new RdmaError('ERR_RDMA_REFUSED', 'it was aborted', { refusal: 'aborted' });
  for (const reason of [undefined, error]) {
    const early = after(SITUATIONS['establishing']?.() as Life, { type: 'peer-close', error: reason });
    assert.match(early.does({ type: 'met', brief: BRIEF }), /destroy$/);
    assert.equal(endOf(early), reason);
    const down = after(brief(), linkFailed(), { type: 'peer-close', error: reason });
    assert.match(down.does('disconnected'), /-rendezvous destroy$/);
    assert.equal(endOf(down), reason);
  }
});

test('both ends may close at once, and each waits for the last word of the other', () => {
  const life = after(brief(), 'close', 'peer-quit', 'quit-done');
  assert.equal(life.does('bye-done'), '');
  assert.equal(life.does('peer-bye'), 'destroy');
  const alone = after(brief(), 'close', 'peer-quit', 'quit-done', 'bye-done');
  assert.match(lives(alone, BYE_MILLIS), /destroy$/);
});

test('a link that fails after the last word was acknowledged is no failure', () => {
  const life = after(brief(), 'close', 'quit-done');
  assert.equal(life.does(linkFailed()), 'destroy');
  assert.equal(endOf(life), undefined);
});

test('a peer that has quit and is not found again has left; one that has broken the rules has not', () => {
  const gone = after(brief(), 'peer-quit', linkFailed(), 'disconnected');
  assert.equal(gone.where(), 'down rendezvous');
  assert.equal(gone.does(noRendezvous('ERR_RDMA_REFUSED', 'resumption')), 'leave-rendezvous destroy');
  assert.equal(endOf(gone), undefined);
  const wrong = after(brief(), 'peer-quit', linkFailed(), 'disconnected');
  wrong.does({ type: 'no-rendezvous', error: fail('ERR_RDMA_PROTOCOL') });
  assert.equal((endOf(wrong) as RdmaError).code, 'ERR_RDMA_PROTOCOL');
});

test('a goodbye that came before this end was up, or while it was down, counts', () => {
  const early = after(SITUATIONS['establishing']?.() as Life, 'peer-quit', 'peer-bye');
  assert.match(early.does({ type: 'met', brief: BRIEF }), /part-rendezvous report end-receiving destroy/);
  const down = after(brief(), linkFailed(), 'peer-quit', 'peer-bye');
  assert.equal(down.does('disconnected'), 'leave-rendezvous destroy');
});

test('a silent peer is asked over the link, and sought over another session when it stays silent', () => {
  const life = brief();
  const does = life.passes(5 * KEEP_ALIVE_MILLIS);
  assert.match(does, /^beat beat drop-rendezvous reconnecting disconnect$/);
  assert.equal(life.does('disconnected'), 'next-rendezvous');
});

/** Time passes, and the peer's device acknowledges everything, at once or in time. */
function acknowledges(
  life: Life,
  intervals: number,
  comes: 'signOfLife' | 'progress' = 'signOfLife',
): string {
  const done: string[] = [];
  for (let i = 0; i < intervals; i++) {
    const does = life.passes(KEEP_ALIVE_MILLIS);
    if (does !== '' || comes === 'progress') life.machine[comes]();
    done.push(does);
  }
  return done.join(' ').replaceAll(/ +/g, ' ').trim();
}

for (const comes of ['signOfLife', 'progress'] as const) {
  test(`a program that has stopped behind a device that acknowledges is asked, and lost when it does not answer (${comes})`, () => {
    const life = brief();
    const does = acknowledges(life, 9, comes);
    assert.match(does, /^(beat )*(ask )+drop-rendezvous reconnecting disconnect$/);
    assert.ok(life.now <= 10 * KEEP_ALIVE_MILLIS, `it took ${life.now} ms`);
  });
}

test('a program that takes no turns is asked, and while it answers it is there, and its device counts again', () => {
  const life = brief();
  let asks = 0;
  let beats = 0;
  for (let i = 0; i < 24_000; i++) {
    const does = life.passes(KEEP_ALIVE_MILLIS / 10);
    if (does === '') continue;
    assert.match(does, /^(beat|ask)$/);
    if (does === 'beat') beats++;
    else {
      asks++;
      life.machine.spoken();
    }
    life.machine.signOfLife();
  }
  assert.equal(life.machine.state.name, 'up');
  assert.ok(asks > 130 && asks <= 150, `${asks} questions in 2,400 intervals`);
  assert.ok(beats >= asks - 2, `${beats} messages beside them`);
});

test('a peer that speaks is never asked', () => {
  const life = brief();
  for (let i = 0; i < 100; i++) {
    const does = life.passes(KEEP_ALIVE_MILLIS);
    assert.match(does, /^(beat)?$/);
    if (i % 3 === 0) life.machine.spoken();
    life.machine.signOfLife();
  }
});

test('after a long silence a peer is asked in eight intervals and lost an interval later', () => {
  const life = brief();
  for (const intervals of [2, 4, 8, 8]) {
    assert.equal(life.passes(intervals * KEEP_ALIVE_MILLIS), 'beat');
    life.machine.spoken();
    life.machine.signOfLife();
    life.machine.note(life.now);
  }
  assert.equal(life.passes(9 * KEEP_ALIVE_MILLIS - 1), 'beat beat');
  assert.match(life.passes(1), /^drop-rendezvous/);
});

test('a program that stops in a long silence, behind a device that acknowledges, is found as well', () => {
  const life = brief();
  for (let i = 0; i < 40; i++) {
    if (life.passes(KEEP_ALIVE_MILLIS) !== '') life.machine.signOfLife();
    life.machine.spoken();
    life.machine.note(life.now);
  }
  const does = acknowledges(life, 18);
  assert.match(does, /^(beat )?(ask )+drop-rendezvous reconnecting disconnect$/);
});

test('a recovery never meets over the session that was left, also when the link failed before it was left', () => {
  for (const life of [after(brief(), linkFailed()), after(brief(), rendezvousEnded(), 'answered')]) {
    assert.equal(life.does('disconnected'), 'next-rendezvous');
    life.rendezvous = 'open';
    assert.equal(life.does('new-rendezvous'), 'meet');
    life.does(linkFailed());
    assert.equal(life.does({ type: 'met', brief: BRIEF }), 'part-rendezvous disconnect');
    life.rendezvous = 'parted';
    life.does('disconnected');
    assert.match(life.passes(RECOVERY_MILLIS / 10), /next-rendezvous/);
  }
});

test('who waits for the peer gives it the time that it takes to notice', () => {
  const life = after(brief(), linkFailed(), 'disconnected');
  assert.equal(life.passes(RECOVERY_MILLIS + BRIEF.noticeMillis - 1), '');
  assert.match(life.passes(1), /stop-attempt/);
  life.does({ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') });
  assert.ok(endOf(life) !== undefined);
});

test('a session that stays after a recovery is the usual life again', () => {
  const life = after(brief(), linkFailed(), 'disconnected');
  life.rendezvous = 'open';
  after(life, 'new-rendezvous', 'met');
  assert.equal(life.does('close'), 'send-quit');
  assert.equal(life.does('quit-done'), 'destroy');
});
