/** The line that grows and shrinks at both ends does what an array does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Deque } from '../../src/connection/common/deque.js';

type Step = readonly ['push' | 'unshift' | 'shift' | 'pop' | 'remove' | 'takeAll', number];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('push' as const), fc.nat()) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('unshift' as const), fc.nat()) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('shift' as const), fc.nat()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('pop' as const), fc.nat()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('remove' as const), fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('takeAll' as const), fc.nat()) },
);

/** Does the same to both, and compares what came out. */
function doBoth(deque: Deque<number>, array: number[], [what, value]: Step): void {
  if (what === 'push') {
    deque.push(value);
    array.push(value);
  } else if (what === 'unshift') {
    deque.unshift(value);
    array.unshift(value);
  } else if (what === 'shift') assert.equal(deque.shift(), array.shift());
  else if (what === 'pop') assert.equal(deque.pop(), array.pop());
  else if (what === 'takeAll') assert.deepEqual(deque.takeAll(), array.splice(0));
  else {
    // Also beyond the end, where there is nothing to take out.
    const index = (value % (array.length + 2)) - 1;
    deque.removeAt(index);
    if (index >= 0) array.splice(index, 1);
  }
}

test('whatever is done to it, it holds what an array would hold', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const deque = new Deque<number>();
      const array: number[] = [];
      for (const one of steps) {
        doBoth(deque, array, one);
        assert.equal(deque.length, array.length);
        for (let i = -array.length - 1; i <= array.length; i++) assert.equal(deque.at(i), array.at(i));
        const sought = array[array.length >> 1] ?? -1;
        const isSought = (item: number): boolean => item === sought;
        assert.equal(deque.findIndex(isSought), array.findIndex(isSought));
      }
      assert.deepEqual(deque.takeAll(), array);
    }),
    { numRuns: 300 },
  );
});

test('a long line keeps its order while it moves on, empties and fills again', () => {
  const deque = new Deque<number>();
  for (let round = 0; round < 3; round++) {
    let next = 0;
    let expected = 0;
    for (let i = 0; i < 5000; i++) {
      deque.push(next++);
      deque.push(next++);
      assert.equal(deque.shift(), expected++);
    }
    assert.equal(deque.length, 5000);
    while (deque.length > 0) assert.equal(deque.shift(), expected++);
    assert.equal(deque.shift(), undefined);
    assert.equal(deque.pop(), undefined);
    assert.equal(expected, next);
  }
});
