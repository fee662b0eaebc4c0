/** When programs are done and faults are over, everything comes to rest: no request, timer or packet is left. */
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';

const CHECKER = 'quiescence';

export function checkQuiet(endpoint: Endpoint): void {
  const { requester, responder, name } = endpoint;
  expect(requester.queue.empty, CHECKER, () => `${name}: a request is left in the send queue`);
  expect(requester.idle, CHECKER, () => `${name}: packets are unacknowledged`);
  expect(requester.reads.count === 0, CHECKER, () => `${name}: a READ is open`);
  expect(responder.responses.empty, CHECKER, () => `${name}: an answer is left to send`);
  expect(
    requester.nextDeadline === Number.POSITIVE_INFINITY,
    CHECKER,
    () => `${name}: a timer runs although nothing is outstanding`,
  );
}
