/** Which connection a token may take up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lifeline } from '../../src/connection/lifeline.js';
import type { Rendezvous } from '../../src/connection/rendezvous.js';
import { Resumptions } from '../../src/connection/resumption.js';

const comingOf = (fingerprint256: string): Rendezvous => {
  const failed: unknown[] = [];
  return {
    peer: { fingerprint256 },
    fail: (error: unknown) => failed.push(error),
  } as unknown as Rendezvous;
};

test('a token takes up its connection, but not one that ends, one of another certificate, or none', () => {
  const resumptions = new Resumptions();
  const point = resumptions.create();
  const owner = comingOf('owner');
  assert.equal(resumptions.resume(point.token, owner), false, 'it was not up yet');
  let superseded = 0;
  const life = { isOver: false, rendezvous: owner, supersede: () => superseded++ };
  point.lifeline = life as unknown as Lifeline;
  assert.equal(resumptions.resume(point.token, comingOf('thief')), false);
  assert.equal(resumptions.resume('0'.repeat(64), owner), false);
  assert.equal(resumptions.resume(point.token, comingOf('owner')), true);
  assert.equal(superseded, 1);
  life.isOver = true;
  assert.equal(resumptions.resume(point.token, comingOf('owner')), false, 'a connection that ends');
  life.isOver = false;
  resumptions.delete(point);
  assert.equal(resumptions.resume(point.token, comingOf('owner')), false);
  assert.equal(superseded, 1);
});
