/** Gates in virtual time: who waits, in which order they go on, and what identities keep when they leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityRates } from '../../../src/connection/rates/identity-rates.js';
import { type Held, RateGate } from '../../../src/connection/rates/rate-gate.js';
import { joinGates } from '../../../src/connection/rates/shared-rates.js';
import { BUCKET_WORDS, TokenBucket } from '../../../src/session/token-bucket.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import { certificateOf, ManualClock } from '../../../testkit/rates.js';

interface Rig {
  readonly clock: ManualClock;
  readonly gate: RateGate;
  readonly words: Int32Array;
}

function rig(perSecond: number, burst: number): Rig {
  const clock = new ManualClock();
  const words = new Int32Array(BUCKET_WORDS + 2);
  const bytes = new TokenBucket(words, 0, { perSecond, burst });
  bytes.fill(clock.now());
  return {
    clock,
    words,
    gate: new RateGate({ bytes, messages: null, clock, words, countersAt: BUCKET_WORDS }),
  };
}

/** Uses `bytes` whenever it may. */
class User implements Held {
  uses = 0;
  readonly #gate: RateGate;
  readonly #bytes: number;
  readonly #most: number;

  constructor(gate: RateGate, bytes: number, most = Number.POSITIVE_INFINITY) {
    this.#gate = gate;
    this.#bytes = bytes;
    this.#most = most;
  }

  onOpen(): void {
    while (this.uses < this.#most && this.#gate.admits(this)) {
      this.#gate.charge(this.#bytes, 1);
      this.uses++;
    }
  }
}

test('whoever uses what there is waits, and goes on with what comes; one timer for all', () => {
  const { clock, gate, words } = rig(1000, 100);
  const users = [new User(gate, 100), new User(gate, 100), new User(gate, 100)];
  for (const user of users) user.onOpen();
  assert.deepEqual(
    users.map(({ uses }) => uses),
    [1, 0, 0],
  );
  assert.equal(clock.timers, 1);
  clock.advance(3001);
  const uses = users.map((user) => user.uses);
  assert.equal(
    uses.reduce((sum, count) => sum + count),
    1 + 31,
    'the burst, the rate, and what was used last',
  );
  assert.ok(Math.max(...uses) - Math.min(...uses) <= 2, `they take turns: ${uses}`);
  assert.equal(clock.timers, 1);
  assert.equal(words[BUCKET_WORDS], 1, 'it was shut once');
  for (const user of users) gate.forget(user);
  assert.equal(clock.timers, 0);
  assert.equal(words[BUCKET_WORDS + 1], 3001);
});

test('who is forgotten is not called', () => {
  const { clock, gate } = rig(1000, 100);
  const [gone, here] = [new User(gate, 100), new User(gate, 100, 1)];
  gate.charge(150, 1);
  gone.onOpen();
  here.onOpen();
  gate.forget(gone);
  clock.advance(1000);
  assert.deepEqual([gone.uses, here.uses], [0, 1]);
  assert.equal(clock.timers, 0);
});

test('a gate without bounds of its own lets all through, and messages are bounded beside bytes', () => {
  const clock = new ManualClock();
  const words = new Int32Array(BUCKET_WORDS + 2);
  const messages = new TokenBucket(words, 0, { perSecond: 10, burst: 2 });
  messages.fill(clock.now());
  const gate = new RateGate({ bytes: null, messages, clock, words, countersAt: BUCKET_WORDS });
  const user = new User(gate, 1_000_000);
  user.onOpen();
  assert.equal(user.uses, 2);
  clock.advance(1000);
  assert.equal(user.uses, 12);
});

const RATES = { fromClient: { bytesPerSecond: 1000, burstBytes: 100 } };

test('an identity that owes waits for its next link, and no longer than its session lasts', async () => {
  const clock = new ManualClock();
  const rates = new IdentityRates(clock);
  const place = rates.enter(certificateOf('a'), '', RATES);
  assert.ok(place !== undefined);
  const { signal } = new AbortController();
  await place.turn(signal);
  const gates = joinGates(place.shared, clock);
  gates.fromClient?.charge(3000, 0);
  let isItsTurn = false;
  const turn = place.turn(signal).then(() => {
    isItsTurn = true;
  });
  await new Promise(setImmediate);
  assert.equal(isItsTurn, false);
  const session = new AbortController();
  const given = assert.rejects(place.turn(session.signal), { code: 'ERR_RDMA_CLOSED' });
  session.abort();
  await given;
  await assert.rejects(place.turn(session.signal), { code: 'ERR_RDMA_CLOSED' });
  const why = new RdmaError('ERR_RDMA_TIMEOUT', 'too slow');
  await assert.rejects(place.turn(AbortSignal.abort(why)), why);
  clock.advance(60_000);
  await turn;
  assert.equal(clock.timers, 0);
  gates.leave();
});

test('connections of one certificate share one rate, and others have their own', () => {
  const clock = new ManualClock();
  const rates = new IdentityRates(clock);
  const [a, b] = [certificateOf('a'), certificateOf('b')];
  const first = rates.enter(a, '192.0.2.1', RATES);
  const second = rates.enter(a, '192.0.2.2', RATES);
  const other = rates.enter(b, '192.0.2.1', RATES);
  assert.ok(first !== undefined && second !== undefined && other !== undefined);
  assert.equal(first.shared, second.shared);
  assert.notEqual(first.shared, other.shared);
  const nameless = rates.enter(null, '192.0.2.1', RATES)?.shared;
  assert.equal(rates.enter(null, '192.0.2.1', RATES)?.shared, nameless);
  assert.notEqual(rates.enter(null, '192.0.2.2', RATES)?.shared, nameless);
  const ofHost = rates.enter(null, '2001:db8:1:2::3', RATES)?.shared;
  assert.equal(
    rates.enter(null, '2001:db8:1:2:ffff::4', RATES)?.shared,
    ofHost,
    'one host may have them all',
  );
  assert.notEqual(rates.enter(null, '2001:db8:1:3::3', RATES)?.shared, ofHost);
  assert.equal(rates.enter(a, '192.0.2.1', {}), undefined, 'no bounds');
  assert.equal(rates.statistics.identities, 6);
  // What one thread's gates hand out is one pair for all.
  const [x, y] = [joinGates(first.shared, clock), joinGates(second.shared, clock)];
  assert.equal(x.fromClient, y.fromClient);
  assert.equal(x.toClient, null);
  for (const gates of [x, x, y]) gates.leave();
  assert.notEqual(joinGates(first.shared, clock).fromClient, x.fromClient);
});

test('an identity that leaves in debt finds it again, and one that owes nothing is forgotten', () => {
  const clock = new ManualClock();
  const rates = new IdentityRates(clock);
  const greedy = certificateOf('greedy');
  const place = rates.enter(greedy, '', RATES);
  assert.ok(place !== undefined);
  const gates = joinGates(place.shared, clock);
  gates.fromClient?.charge(5100, 1);
  gates.leave();
  place.leave();
  clock.advance(4000);
  const again = rates.enter(greedy, '', RATES);
  assert.equal(again?.shared, place.shared);
  const user = new User(joinGates(place.shared, clock).fromClient ?? assert.fail(), 1000, 1);
  user.onOpen();
  assert.equal(user.uses, 0, '1000 of the 5000 are still owed');
  again?.leave();
  assert.equal([...rates.takeThrottled()].length, 1);
  clock.advance(60_000);
  for (let i = 0; i < 3; i++) rates.enter(certificateOf(`other ${i}`), '', RATES)?.leave();
  assert.equal(rates.statistics.identities, 1, 'those who owe nothing go when others come');
  assert.equal(rates.statistics.fromClient.times >= 1, true, 'what was counted stays');
});

test('identities that had to wait are told of by name, at once and then every ten seconds', () => {
  const clock = new ManualClock();
  const rates = new IdentityRates(clock);
  const place = rates.enter(certificateOf('greedy'), '192.0.2.1', RATES);
  assert.ok(place !== undefined);
  rates.enter(certificateOf('modest'), '192.0.2.2', RATES);
  const gate = joinGates(place.shared, clock).fromClient ?? assert.fail();
  const wait = (): void => {
    const user = new User(gate, 1000, 1);
    gate.charge(1000, 1);
    user.onOpen();
    clock.advance(3000);
  };
  const told: string[] = [];
  for (let i = 0; i < 7; i++) {
    wait();
    for (const { peer, fromClient } of rates.takeThrottled())
      told.push(`${peer?.subject} ${fromClient.times}`);
  }
  assert.deepEqual(told, ['CN=greedy 1', 'CN=greedy 4']);
});
