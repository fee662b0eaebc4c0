/** Whoever asks for the end of a connection learns of it, before it comes and after. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndPromise } from '../../src/connection/lifeline/end-promise.js';
import { RdmaError } from '../../src/verbs/errors.js';

const LOST = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the connection is lost');

for (const outcome of [undefined, LOST]) {
  test(`an end ${outcome === undefined ? 'in order' : 'by an error'} is told to who asked before, and to who asks after`, async () => {
    const asked = new EndPromise();
    const { promise } = asked;
    asked.come(outcome);
    assert.equal(asked.promise, promise);
    assert.equal(await promise, outcome);
    const unasked = new EndPromise();
    unasked.come(outcome);
    assert.equal(await unasked.promise, outcome);
  });
}
