/** The machine of a connection's life: each state with what may happen in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LifelineInput } from '../../../src/connection/lifeline/lifeline-events.js';
import {
  ABORT,
  BRIEF,
  fail,
  type Life,
  linkFailed,
  noRendezvous,
  notMet,
  rendezvousEnded,
  SITUATIONS,
} from './life.js';

/** For each state: input, what is done, where it leads. */
const TABLE: Readonly<Record<string, readonly [LifelineInput | LifelineInput['type'], string, string][]>> = {
  establishing: [
    ['met', 'report watch', 'up'],
    [{ type: 'met', brief: BRIEF }, 'report watch part-rendezvous', 'up'],
    [notMet(), 'destroy', 'ending'],
    [linkFailed(), '', 'establishing'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
    ['close', 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'establishing, its peer may be up': [
    ['met', 'report watch', 'up'],
    // The rendezvous is still there: the peer is told.
    [notMet(), 'destroy', 'ending'],
    [notMet(fail('ERR_RDMA_COMPLETION')), 'destroy', 'ending'],
    ['peer-quit', '', 'establishing'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'down disconnecting, never up': [
    ['disconnected', 'next-rendezvous', 'down rendezvous'],
    [{ type: 'disconnected', error: fail('ERR_RDMA_PROTOCOL') }, 'fail-rendezvous destroy', 'ending'],
    ['peer-quit', '', 'down disconnecting'],
    ['close', 'stop-attempt fail-rendezvous', 'ending'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'down rendezvous, never up': [
    ['new-rendezvous', 'meet', 'down meeting'],
    [{ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') }, 'disconnect', 'down disconnecting'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'down meeting, never up': [
    ['met', 'report watch', 'up'],
    [notMet(), 'disconnect', 'down disconnecting'],
    [notMet(fail('ERR_RDMA_REFUSED')), 'fail-rendezvous destroy', 'ending'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  up: [
    ['heard', '', 'up'],
    ['peer-restarted', 'await-answers', 'up'],
    ['peer-left', 'report destroy', 'ending'],
    ['answered', '', 'up'],
    [rendezvousEnded(), 'await-answers', 'up'],
    [linkFailed(), 'reconnecting disconnect', 'down disconnecting'],
    [linkFailed(fail('ERR_RDMA_PROTOCOL')), 'fail-rendezvous destroy', 'ending'],
    [linkFailed(fail('ERR_RDMA_INTEGRITY')), 'fail-rendezvous destroy', 'ending'],
    ['peer-quit', 'report end-receiving', 'up'],
    ['close', 'send-quit', 'up'],
    ['quit-done', '', 'up'],
    [ABORT, 'fail-rendezvous destroy', 'ending'],
  ],
  'up briefly': [
    ['peer-restarted', 'await-answers', 'up'],
    [linkFailed(), 'reconnecting disconnect', 'down disconnecting'],
    [linkFailed(fail('ERR_RDMA_PROTOCOL')), 'fail-rendezvous send-close', 'ending'],
    ['peer-quit', 'report end-receiving', 'up'],
    ['peer-bye', 'report destroy', 'ending'],
    ['close', 'send-quit', 'up'],
    ['quit-done', '', 'up'],
    ['bye-done', '', 'up'],
    [{ type: 'peer-close' }, 'report destroy', 'ending'],
    [{ type: 'peer-close', error: fail('ERR_RDMA_REFUSED') }, 'await-answers', 'up'],
    ['close-told', '', 'up'],
    [ABORT, 'fail-rendezvous send-close', 'ending'],
  ],
  'up, before the last answers': [
    ['answered', 'reconnecting disconnect', 'down disconnecting'],
    ['peer-restarted', '', 'up'],
    [linkFailed(fail('ERR_RDMA_PROTOCOL')), 'fail-rendezvous destroy', 'ending'],
    ['peer-left', 'report destroy', 'ending'],
  ],
  'down disconnecting': [
    ['disconnected', 'meet', 'down meeting'],
    [{ type: 'disconnected', error: fail('ERR_RDMA_PROTOCOL') }, 'fail-rendezvous destroy', 'ending'],
    [linkFailed(), '', 'down disconnecting'],
    ['peer-left', '', 'down disconnecting'],
    ['answered', '', 'down disconnecting'],
    ['close', 'send-quit', 'down disconnecting'],
    ['peer-quit', 'report end-receiving', 'down disconnecting'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'down meeting': [
    ['met', 'report watch reconnected', 'up'],
    [notMet(), 'disconnect', 'down disconnecting'],
    [notMet(fail('ERR_RDMA_REFUSED')), 'fail-rendezvous destroy', 'ending'],
    [linkFailed(), '', 'down meeting'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  'down pausing': [
    [linkFailed(), '', 'down pausing'],
    ['close', 'send-quit', 'down pausing'],
    [ABORT, 'fail-rendezvous destroy', 'ending'],
  ],
  'down rendezvous': [
    ['new-rendezvous', 'meet', 'down meeting'],
    [{ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') }, 'disconnect', 'down disconnecting'],
    [{ type: 'no-rendezvous', error: fail('ERR_RDMA_REFUSED') }, 'fail-rendezvous destroy', 'ending'],
    // The server takes no more connections now, or TLS broke on its way: that may pass.
    [noRendezvous('ERR_RDMA_CONNECTION_LOST', 'before-tls'), 'disconnect', 'down disconnecting'],
    [noRendezvous('ERR_RDMA_TLS', 'tls-broken'), 'disconnect', 'down disconnecting'],
    [noRendezvous('ERR_RDMA_TLS', 'certificate'), 'fail-rendezvous destroy', 'ending'],
    [noRendezvous('ERR_RDMA_TLS', 'tls'), 'fail-rendezvous destroy', 'ending'],
    [noRendezvous('ERR_RDMA_UNREACHABLE', 'unreachable'), 'fail-rendezvous destroy', 'ending'],
    [ABORT, 'stop-attempt fail-rendezvous', 'ending'],
  ],
  ending: [
    ['destroyed', 'fail-rendezvous finish', 'ending'],
    [linkFailed(), '', 'ending'],
    ['peer-left', '', 'ending'],
    ['close', '', 'ending'],
    ['quit-done', '', 'ending'],
    [ABORT, '', 'ending'],
  ],
  ended: [
    [linkFailed(), '', 'ended'],
    ['close', '', 'ended'],
    [ABORT, '', 'ended'],
  ],
};

for (const [name, rows] of Object.entries(TABLE)) {
  test(`${name}: each input does what it must and leads where it must`, () => {
    for (const [input, does, leadsTo] of rows) {
      const life = SITUATIONS[name]?.() as Life;
      assert.equal(life.where(), name.replace(/,.*| briefly/, ''));
      const what = JSON.stringify(input);
      assert.equal(life.does(input), does, what);
      assert.equal(life.where(), leadsTo, what);
    }
  });
}
