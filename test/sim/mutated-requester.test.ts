/** The simulator's checkers can fail: each of these faults of a requester is found within a few seeds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CheckedFault, firstFailure, SEEDS, testFaults } from './mutants.js';

const FAULTS: readonly CheckedFault[] = [
  {
    name: 'an ACK completes READs and atomics',
    file: 'qp/requester',
    find: 'psnAdd(this.reads.count > 0 ? this.reads.oldestPsn : this.nextPsn, -1)',
    replace: 'psnAdd(this.nextPsn, -1)',
    checkers: /memory|atomics|exception|statuses/,
  },
  {
    name: 'READ data is taken in any order',
    file: 'qp/completer',
    find: 'if (order > 0) {',
    replace: 'if (false) {',
    checkers: /memory|exception|statuses|atomics/,
  },
  {
    name: 'answers beyond what was sent are taken',
    file: 'qp/completer',
    find: 'if (!psnInWindow(packet.psn, unackedPsn, nextPsn)) {',
    replace: 'if (false) {',
    checkers: /bounds|exception|send completions|memory|statuses|quiescence/,
  },
  {
    name: 'going back skips the packet that is missing',
    file: 'qp/requester',
    find: 'this.#moveTo(psn);\n        else',
    replace: 'this.#moveTo(psnDiff(this.nextPsn, psn) > 0 ? psnAdd(psn, 1) : psn);\n        else',
    checkers: /statuses|quiescence|bounds/,
  },
  {
    name: 'FENCE does not wait',
    file: 'qp/requester',
    find: 'if (wqe.fence && this.reads.count > 0)\n            return false;',
    replace: '',
    checkers: /memory/,
  },
  {
    name: 'max_rd_atomic is exceeded by one',
    file: 'qp/read-requests',
    find: 'return this.#count >= this.#limit;',
    replace: 'return this.#count > this.#limit;',
    checkers: /bounds|exception/,
  },
  {
    name: 'SQD goes on with new requests',
    file: 'qp/requester',
    find: 'if (this.#qp.state !== RTS)\n            return false;',
    replace: '',
    checkers: /bounds|quiescence/,
  },
  {
    name: 'requests without a signal report',
    file: 'qp/qp',
    find: 'if (status === WcStatus.SUCCESS && !wqe.signaled && !this.#signalAll)\n            return;',
    replace: '',
    checkers: /send completions/,
  },
  {
    name: 'the completion of a request of three packets is lost',
    file: 'qp/qp',
    find: 'if (status === WcStatus.SUCCESS && !wqe.signaled && !this.#signalAll)\n            return;',
    replace:
      'if (status === WcStatus.SUCCESS && (wqe.packets === 3 || (!wqe.signaled && !this.#signalAll)))\n return;',
    checkers: /send completions|quiescence/,
  },
  {
    name: 'a failed queue pair flushes in silence',
    file: 'qp/requester',
    find: 'this.#complete(WcStatus.WR_FLUSH_ERR);\n        this.#halt();',
    replace: '{ this.queue.retire(); }\n        this.#halt();',
    checkers: /send completions|quiescence/,
  },
  {
    name: 'nothing is looked after when no answer comes',
    file: 'qp/request-timers',
    find: 'return Math.min(this.#retransmitAt, this.#probeAt, this.#resumeAt, this.#pacedUntil);',
    replace: 'return Math.min(this.#resumeAt, this.#pacedUntil);',
    checkers: /quiescence/,
  },
  {
    name: 'an armed completion queue fires for every completion',
    file: 'completion/cq',
    find: 'this.arm = CqArm.NONE;\n            this.#owner',
    replace: 'this.#owner',
    checkers: /notifications/,
  },
  {
    name: 'an armed completion queue sleeps through every third completion',
    file: 'completion/cq',
    find: 'if (this.arm === ALL ||',
    replace: 'if (wrId % 3 !== 0) if (this.arm === ALL ||',
    checkers: /notifications/,
  },
  {
    name: 'PSNs are compared as if they did not wrap',
    file: 'psn',
    find: '((a - b) << 8) >> 8;',
    replace: 'a - b;',
    checkers: /./,
  },
];

test('without a fault nothing objects', async () => {
  const { seed, failure } = await firstFailure(null, SEEDS);
  assert.equal(seed, -1, `seed ${seed}: ${failure}`);
});

testFaults(FAULTS);
