/**
 * Objects of the engine keep the shape that they are made with. A field that begins as a small integer and gets a time or a fraction later
 * makes V8 give all objects of the class another shape, and throw away what it has compiled: in the middle of a program, when both processors
 * are needed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { Counters, QpCounters } from '../../src/roce/counters.js';
import { AnswerLimit } from '../../src/roce/qp/answer-limit.js';
import { Congestion } from '../../src/roce/qp/congestion.js';
import { OwedAcknowledgement } from '../../src/roce/qp/owed-acknowledgement.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { RequestTimers } from '../../src/roce/qp/request-timers.js';
import { Retransmissions } from '../../src/roce/qp/retransmissions.js';
import { NicPair } from '../../testkit/nic-pair.js';

const SECOND = 1_000_000.5;

const shapes: readonly [string, () => object, (used: never) => void][] = [
  [
    'Congestion',
    () => new Congestion(),
    (used: Congestion) => {
      for (let now = 0.25; now < 5 * SECOND; now += SECOND / 100) {
        used.onSent(1, now);
        used.onLimit();
        used.onProgress(1, now);
        used.onRoundTrip(1000.5, true, now);
      }
      used.onLoss(5 * SECOND);
      used.onNotice();
      used.onTimeout();
      used.onGoBack();
    },
  ],
  [
    'RequestTimers',
    () => new RequestTimers({ timeoutMicros: 1000, armTimer() {} } as unknown as Qp, new Congestion()),
    (used: RequestTimers) => {
      used.onSent(0.5);
      used.onProgress(false, 0.5, 1.5);
      used.takeProbe(SECOND);
      used.pauseUntil(2.5);
      used.paceUntil(3.5);
    },
  ],
  [
    'Retransmissions',
    () => new Retransmissions(),
    (used: Retransmissions) => {
      used.onGoBack(5, 6, 0.5);
      used.isNewGap(5, 7, 1.5, 2.5);
    },
  ],
  ['OwedAcknowledgement', () => new OwedAcknowledgement(), (used: OwedAcknowledgement) => used.owe(0.5)],
  ['AnswerLimit', () => new AnswerLimit(), (used: AnswerLimit) => used.take(0.5)],
  [
    'Counters',
    () => new Counters(),
    (used: Counters) => {
      used.rxBytes += 2 ** 40;
      used.txBytes += 2 ** 40;
    },
  ],
  [
    'QpCounters',
    () => new QpCounters(new Counters()),
    (used: QpCounters) => {
      used.rxBytes += 2 ** 40;
      used.txBytes += 2 ** 40;
    },
  ],
];

setFlagsFromString('--allow-natives-syntax');
const haveSameShape = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (
  a: object,
  b: object,
) => boolean;

for (const [name, make, use] of shapes) {
  test(`${name} has one shape, however it is used`, () => {
    const fresh = make();
    const used = make();
    assert.equal(haveSameShape(fresh, used), true);
    use(used as never);
    assert.equal(haveSameShape(fresh, used), true);
  });
}

test('PSNs that come as fractions, as from text, are small integers in the queue pair', () => {
  const psns = [0x123456, 0x654321] as const;
  const [fresh] = new NicPair({ psns }).sides;
  // V8 keeps what was computed as a fraction as one, though it is whole.
  const half = Number.parseFloat('0.5');
  const [used] = new NicPair({ psns: [psns[0] - half + half, psns[1] - half + half] }).sides;
  assert.equal(haveSameShape(fresh.qp.requester, used.qp.requester), true);
  assert.equal(haveSameShape(fresh.qp.responder, used.qp.responder), true);
});

test('a field that begins as a small integer changes the shape, as V8 is made', () => {
  class Careless {
    at = 0;
  }
  const [fresh, used] = [new Careless(), new Careless()];
  used.at = 0.5;
  assert.equal(haveSameShape(fresh, used), false);
});
