/** Which connection a token may take up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lifeline } from '../../src/connection/lifeline.js';
import { Resumptions } from '../../src/connection/resumption.js';
import type { ControlChannel } from '../../src/session/control-channel.js';

const channel = (fingerprint256: string): ControlChannel => {
  const failed: unknown[] = [];
  return {
    peer: { fingerprint256 },
    fail: (error: unknown) => failed.push(error),
  } as unknown as ControlChannel;
};

test('a token takes up its connection, but not one that ends, one of another certificate, or none', () => {
  const resumptions = new Resumptions();
  const point = resumptions.create();
  const owner = channel('owner');
  assert.equal(resumptions.resume(point.token, owner), false, 'it was not up yet');
  let superseded = 0;
  const life = { isOver: false, channel: owner, supersede: () => superseded++ };
  point.lifeline = life as unknown as Lifeline;
  assert.equal(resumptions.resume(point.token, channel('thief')), false);
  assert.equal(resumptions.resume('0'.repeat(64), owner), false);
  assert.equal(resumptions.resume(point.token, channel('owner')), true);
  assert.equal(superseded, 1);
  life.isOver = true;
  assert.equal(resumptions.resume(point.token, channel('owner')), false, 'a connection that ends');
  life.isOver = false;
  resumptions.delete(point);
  assert.equal(resumptions.resume(point.token, channel('owner')), false);
  assert.equal(superseded, 1);
});
