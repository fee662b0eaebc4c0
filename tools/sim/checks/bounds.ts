/** Queues stay within what was agreed on, at any time. */

import { psnDistance } from '../../../src/roce/psn.js';
import { MAX_WINDOW } from '../../../src/roce/qp/congestion.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';

const CHECKER = 'bounds';

export function checkBounds(endpoint: Endpoint): void {
  const { requester, name } = endpoint;
  const { queue, reads, unackedPsn, nextPsn, sendPsn } = requester;
  expect(
    queue.tail - queue.head <= queue.maxWr,
    CHECKER,
    () => `${name}: ${queue.tail - queue.head} requests in a queue of ${queue.maxWr}`,
  );
  expect(
    reads.count <= endpoint.maxRdAtomic,
    CHECKER,
    () => `${name}: ${reads.count} READs and atomics are open, of ${endpoint.maxRdAtomic}`,
  );
  const sent = psnDistance(unackedPsn, nextPsn);
  expect(
    psnDistance(unackedPsn, sendPsn) <= sent,
    CHECKER,
    () => `${name}: the PSN to send next is not between the oldest unacknowledged and the newest one`,
  );
  expect(
    !endpoint.drained || (nextPsn === endpoint.drainedPsn && sent === 0),
    CHECKER,
    () => `${name}: a request left or was left in the send queue after SQ_DRAINED`,
  );
  expect(sent <= MAX_WINDOW * 2, CHECKER, () => `${name}: ${sent} packets in flight`);
}
