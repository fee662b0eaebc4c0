/** In which order servers are tried, and how long a client waits: with time and chance as arguments. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderServers, ServerHealth } from '../../src/connection/client/server-order.js';
import { ReconnectPace } from '../../src/connection/lifeline/reconnect-pace.js';
import { candidateOf, readServerAddress } from '../../src/connection/options/server-address.js';
import { Random } from '../../testkit/random.js';

const SEED = 20;
const source = new Random(SEED);
const random = () => source.unit();
const never = () => 0;
const named = (name: string, priority = 0, weight = 1) => ({ name, priority, weight });
const order = (
  servers: readonly ReturnType<typeof named>[],
  restsUntil = (_: { name: string }) => 0,
  now = 0,
) =>
  orderServers(servers, restsUntil, now, random)
    .map(({ name }) => name)
    .join('');

test('whoever has a lower priority comes first, whatever the weights', () => {
  const servers = [named('c', 20, 65_535), named('a', 0, 0), named('b', 10, 1)];
  for (let i = 0; i < 50; i++) assert.equal(order(servers), 'abc');
});

test(`servers of one priority come first as often as their weights say (seed ${SEED})`, () => {
  const rounds = 20_000;
  const servers = [named('a', 0, 60), named('b', 0, 30), named('c', 0, 10), named('z', 0, 0)];
  const firsts = new Map<string, number>();
  const seconds = new Map<string, number>();
  for (let i = 0; i < rounds; i++) {
    const [first = '', second = ''] = order(servers);
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
    if (first === 'a') seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  for (const [name, share] of Object.entries({ a: 60 / 101, b: 30 / 101, c: 10 / 101, z: 1 / 101 })) {
    const got = (firsts.get(name) ?? 0) / rounds;
    assert.ok(Math.abs(got - share) < 0.015, `${name} ${got} of ${share}`);
  }
  // What is left is drawn by the weights that are left.
  const behindA = (seconds.get('b') ?? 0) / (firsts.get('a') ?? 1);
  assert.ok(Math.abs(behindA - 30 / 41) < 0.02, `b behind a: ${behindA}`);
});

test('servers of weight 0 alone share evenly, and every order has each server once', () => {
  const servers = ['a', 'b', 'c', 'd'].map((name) => named(name, 0, 0));
  const firsts = new Map<string, number>();
  for (let i = 0; i < 8000; i++) {
    const got = order(servers);
    assert.equal([...got].sort().join(''), 'abcd');
    firsts.set(got[0] ?? '', (firsts.get(got[0] ?? '') ?? 0) + 1);
  }
  for (const [name, count] of firsts) assert.ok(Math.abs(count - 2000) < 200, `${name} ${count}`);
});

test('the ends of chance draw a server too', () => {
  const servers = [named('a', 0, 3), named('b', 0, 0), named('c', 0, 7)];
  for (const edge of [0, 1 - 2 ** -53]) {
    assert.equal(orderServers(servers, never, 0, () => edge).length, 3);
  }
});

test('who rests comes after everybody else, and who rests longest comes last', () => {
  const rests = new Map([
    ['a', 900],
    ['b', 500],
  ]);
  const servers = [named('a'), named('b'), named('c', 9)];
  const restsUntil = ({ name }: { name: string }) => rests.get(name) ?? 0;
  assert.equal(order(servers, restsUntil, 499), 'cba');
  assert.match(order(servers, restsUntil, 500), /^bca$/);
  assert.match(order(servers, restsUntil, 900), /^(ab|ba)c$/);
});

test('a server rests longer with each failure, once for what many see, and not at all after a success', () => {
  const health = new ServerHealth();
  const rests: number[] = [];
  let now = 1000;
  for (let i = 0; i < 8; i++) {
    health.noteFailure('a', now, () => 1);
    rests.push(health.restsUntil('a') - now);
    health.noteFailure('a', now + 1, () => 1);
    assert.equal(health.restsUntil('a') - now, rests.at(-1), 'seen by another connection');
    now = health.restsUntil('a');
  }
  assert.deepEqual(rests, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  assert.equal(health.restsUntil('b'), 0);
  health.noteSuccess('a');
  assert.equal(health.restsUntil('a'), 0);
  health.noteFailure('a', now, () => 0);
  assert.equal(health.restsUntil('a'), now + 500, 'jitter takes half at most, and the count began anew');
});

test('the health of servers that come and go under ever new names takes no more than so much memory', () => {
  const health = new ServerHealth();
  for (let i = 0; i < 10_000; i++) health.noteFailure(`pod-${i}`, 0, () => 1);
  assert.equal(health.restsUntil('pod-0'), 0);
  assert.equal(health.restsUntil('pod-9999'), 1000);
  assert.equal(health.restsUntil(`pod-${10_000 - 4096}`), 1000);
  assert.equal(health.restsUntil(`pod-${10_000 - 4097}`), 0);
});

test('the pause before connecting again is short after a connection that lasted, and doubles with each failure', () => {
  const pace = new ReconnectPace();
  pace.connected(0);
  pace.ended(5000);
  assert.equal(
    pace.pauseMillis(() => 0.5),
    100,
  );
  const pauses: number[] = [];
  for (let i = 0; i < 9; i++) {
    pace.failed();
    pauses.push(pace.pauseMillis(() => 1));
  }
  assert.deepEqual(pauses, [400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(
    pace.pauseMillis(() => 0),
    15_000,
  );
  pace.connected(10_000);
  pace.ended(14_999);
  assert.equal(
    pace.pauseMillis(() => 1),
    30_000,
    'a connection that broke at once is a failure',
  );
  pace.connected(20_000);
  pace.ended(25_000);
  assert.equal(
    pace.pauseMillis(() => 1),
    200,
  );
});

test('servers are read as people write them', () => {
  assert.deepEqual(readServerAddress('a.example:1'), { host: 'a.example', port: 1 });
  assert.deepEqual(readServerAddress('192.0.2.7'), { host: '192.0.2.7' });
  assert.deepEqual(readServerAddress('[2001:db8::7]:4433'), { host: '2001:db8::7', port: 4433 });
  assert.deepEqual(readServerAddress('2001:db8::7'), { host: '2001:db8::7' });
  for (const wrong of ['', ' ', 'a:0', 'a:65536', 'a:b', ':1', '::1:4433', '[a]:1', 'a b', 'a,b', 'a:1:2']) {
    assert.equal(readServerAddress(wrong), undefined, wrong);
  }
  assert.deepEqual(candidateOf('a', 4433), { host: 'a', port: 4433, priority: 0, weight: 1 });
  assert.deepEqual(candidateOf({ host: 'a', port: 7, weight: 5 }, 4433), {
    host: 'a',
    port: 7,
    priority: 0,
    weight: 5,
  });
});
