/** Which connection a token may take up, and whose place may be given away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lifeline } from '../../src/connection/lifeline/lifeline.js';
import type { Rendezvous } from '../../src/connection/lifeline/rendezvous.js';
import { type ResumePoint, Resumptions } from '../../src/connection/lifeline/resumption.js';
import type { PeerIdentity } from '../../src/session/peer-identity.js';
import { RdmaError } from '../../src/verbs/errors.js';

interface Coming {
  readonly rendezvous: Rendezvous;
  /** What it was ended with. */
  readonly failed: RdmaError[];
  readonly dropped: RdmaError[];
}

function coming(fingerprint256: string): Coming {
  const failed: RdmaError[] = [];
  const dropped: RdmaError[] = [];
  const rendezvous = {
    peer: { fingerprint256 },
    fail: (error: RdmaError) => failed.push(error),
    drop: (error: RdmaError) => dropped.push(error),
  } as unknown as Rendezvous;
  return { rendezvous, failed, dropped };
}

const comingOf = (fingerprint256: string): Rendezvous => coming(fingerprint256).rendezvous;

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
  resumptions.delete(point, undefined);
  assert.equal(resumptions.resume(point.token, comingOf('owner')), false);
  assert.equal(superseded, 1);
});

test('a connection whose packets did not come through says so to its client alone, once, and for a while', () => {
  const resumptions = new Resumptions();
  const owner = { fingerprint256: 'owner' } as PeerIdentity;
  const end = (error: RdmaError | undefined): ResumePoint => {
    const point = resumptions.create();
    point.lifeline = { isOver: true, rendezvous: comingOf('owner') } as unknown as Lifeline;
    resumptions.delete(point, error);
    return point;
  };
  const blocked = new RdmaError('ERR_RDMA_UNREACHABLE', 'UDP does not come through');
  const { token } = end(blocked);
  assert.equal(resumptions.takeReason(token, { fingerprint256: 'thief' } as PeerIdentity), undefined);
  assert.equal(resumptions.takeReason(token, null), undefined);
  assert.equal(resumptions.takeReason(token, owner), blocked);
  assert.equal(resumptions.takeReason(token, owner), undefined);
  for (const other of [undefined, new RdmaError('ERR_RDMA_TIMEOUT', 'it was slow')])
    assert.equal(resumptions.takeReason(end(other).token, owner), undefined);
  const tokens = Array.from({ length: 300 }, () => end(blocked).token);
  const known = tokens.filter((one) => resumptions.takeReason(one, owner) !== undefined);
  assert.deepEqual(known, tokens.slice(-256));
});

test('the place of a client that is gone may be given away, of one that is there never', () => {
  const resumptions = new Resumptions();
  const lives = [false, true, true].map((isAbsent) => ({ isAbsent }) as unknown as Lifeline);
  resumptions.create();
  const points = lives.map((lifeline) => Object.assign(resumptions.create(), { lifeline }));
  assert.equal(resumptions.absentee(), lives[1]);
  resumptions.delete(points[1] as ResumePoint, undefined);
  assert.equal(resumptions.absentee(), lives[2]);
  resumptions.delete(points[2] as ResumePoint, undefined);
  assert.equal(resumptions.absentee(), undefined);
});

test('of several sessions for one connection the last one counts; one that comes too late is told so', async () => {
  const point = new Resumptions().create();
  const [first, second, third] = [coming('owner'), coming('owner'), coming('owner')] as const;
  point.offer(first.rendezvous);
  point.offer(second.rendezvous);
  assert.equal(first.dropped[0]?.code, 'ERR_RDMA_CONNECTION_LOST');
  assert.equal(await point.next(new AbortController().signal), second.rendezvous);
  assert.deepEqual(second.dropped, []);
  point.offer(third.rendezvous);
  point.end();
  assert.deepEqual(
    third.failed.map(({ code, refusal }) => ({ code, refusal })),
    [{ code: 'ERR_RDMA_CONNECTION_LOST', refusal: 'resumption' }],
  );
  point.end();
  assert.equal(third.failed.length, 1);
});
