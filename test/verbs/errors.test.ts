import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { asRdmaError, type PlainError, RdmaError } from '../../src/verbs/errors.js';

const completion = (status: string): RdmaError => new RdmaError('ERR_RDMA_COMPLETION', 'failed', { status });

test('the fault of a failed request follows from its status', () => {
  for (const [status, fault] of [
    ['RETRY_EXC_ERR', 'network'],
    ['WR_FLUSH_ERR', 'network'],
    ['LOC_PROT_ERR', 'usage'],
    ['REM_ACCESS_ERR', 'peer'],
    ['RNR_RETRY_EXC_ERR', 'peer'],
    ['QP_FATAL', 'device'],
    ['ANOTHER', 'network'],
    ['toString', 'network'],
  ] as const) {
    assert.equal(completion(status).fault, fault, status);
  }
});

test('what nobody threw on purpose is a mistake of this package', () => {
  const bug = new TypeError('x is not a function');
  const error = asRdmaError(bug, 'the request could not be posted');
  assert.deepEqual([error.code, error.fault, error.cause], ['ERR_RDMA_INTERNAL', 'internal', bug]);
  const known = completion('LOC_PROT_ERR');
  assert.equal(asRdmaError(known, 'whatever'), known);
});

test('an error crosses a message port with class, code, fault, status, refusal and cause', () => {
  const system = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const inner = new RdmaError('ERR_RDMA_COMPLETION', 'no answer', { status: 'RETRY_EXC_ERR', cause: system });
  const outer = new RdmaError('ERR_RDMA_REFUSED', 'all slots are in use', {
    refusal: 'no-slot',
    cause: inner,
  });
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(outer.toJSON());
  const { message } = receiveMessageOnPort(port2) as { message: PlainError };
  port1.close();
  for (const plain of [message, JSON.parse(JSON.stringify(outer)) as PlainError]) {
    const there = RdmaError.fromJSON(plain);
    assert.ok(there instanceof RdmaError);
    assert.deepEqual([there.code, there.fault, there.refusal], ['ERR_RDMA_REFUSED', 'peer', 'no-slot']);
    assert.equal(there.message, outer.message);
    assert.equal(there.stack, outer.stack);
    const cause = there.cause as RdmaError;
    assert.ok(cause instanceof RdmaError);
    assert.deepEqual([cause.status, cause.fault], ['RETRY_EXC_ERR', 'network']);
    const last = cause.cause as NodeJS.ErrnoException;
    assert.deepEqual([last.name, last.code, last.message], ['Error', 'ECONNREFUSED', system.message]);
  }
});

test('a cause that is its own ends somewhere', () => {
  const error = new RdmaError('ERR_RDMA_CLOSED', 'round');
  Object.defineProperty(error, 'cause', { value: error });
  assert.ok(JSON.stringify(error).length < 100_000);
});

test('an error of another copy of this package is an RdmaError, other errors are none', async () => {
  // Another address is another copy.
  const copy = new URL('../../src/verbs/errors.js?copy', import.meta.url);
  const other = (await import(copy.href)) as { RdmaError: typeof RdmaError };
  assert.notEqual(other.RdmaError, RdmaError);
  assert.ok(new other.RdmaError('ERR_RDMA_CLOSED', 'there') instanceof RdmaError);
  assert.ok(new RdmaError('ERR_RDMA_CLOSED', 'here') instanceof other.RdmaError);
  for (const value of [new Error('x'), { code: 'ERR_RDMA_CLOSED' }, null, undefined, 'text']) {
    assert.equal((value as unknown) instanceof RdmaError, false);
  }
  class Own extends RdmaError {}
  assert.ok(new Own('ERR_RDMA_CLOSED', 'own') instanceof RdmaError);
  assert.equal(new RdmaError('ERR_RDMA_CLOSED', 'here') instanceof Own, false);
});

test('what a peer said in rejecting crosses as JSON', () => {
  const rejection = { reason: 28, name: 'consumer', privateData: Uint8Array.of(0, 1, 0xab, 255) };
  const error = new RdmaError('ERR_RDMA_REJECTED', 'no', { rejection });
  const there = RdmaError.fromJSON(JSON.parse(JSON.stringify(error)) as PlainError);
  assert.deepEqual([there.code, there.fault, there.rejection], ['ERR_RDMA_REJECTED', 'peer', rejection]);
  assert.equal(RdmaError.fromJSON(new RdmaError('ERR_RDMA_CLOSED', 'x').toJSON()).rejection, undefined);
});
