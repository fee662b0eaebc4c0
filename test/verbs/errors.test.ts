import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { FAULTS } from '../../src/verbs/error-codes.js';
import { asRdmaError, type PlainError, RdmaError, type RdmaErrorCode } from '../../src/verbs/errors.js';
import { REFUSAL_KINDS, type RefusalKind } from '../../src/verbs/refusal-kind.js';

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

test('an error says whether another try makes sense: when something passes by itself, and no request is done twice', () => {
  const passing: readonly RefusalKind[] = [
    'tls-broken',
    'before-tls',
    'overload',
    'quota',
    'no-slot',
    'timeout',
    'closing',
    'draining',
    'worker',
    'left',
    'resources',
    'unreachable',
    'failed',
  ];
  for (const refusal of REFUSAL_KINDS) {
    // Whatever the code: the kind says more.
    for (const code of ['ERR_RDMA_REFUSED', 'ERR_RDMA_TLS', 'ERR_RDMA_CONNECTION_LOST'] as const) {
      const error = new RdmaError(code, 'no', { refusal });
      assert.equal(error.retryable, passing.includes(refusal), `${code}, ${refusal}`);
      assert.equal(RdmaError.fromJSON(error.toJSON()).retryable, error.retryable);
    }
  }
  const passingCodes: readonly RdmaErrorCode[] = [
    'ERR_RDMA_QUEUE_FULL',
    'ERR_RDMA_NO_MEMORY',
    'ERR_RDMA_LIMIT',
    'ERR_RDMA_TIMEOUT',
    'ERR_RDMA_UNREACHABLE',
    'ERR_RDMA_CONNECTION_LOST',
    'ERR_RDMA_NO_SERVER',
  ];
  for (const code of Object.keys(FAULTS) as RdmaErrorCode[]) {
    if (code !== 'ERR_RDMA_COMPLETION')
      assert.equal(new RdmaError(code, 'no').retryable, passingCodes.includes(code), code);
  }
  assert.equal(completion('RETRY_EXC_ERR').retryable, true);
  for (const status of ['REM_ACCESS_ERR', 'LOC_PROT_ERR', 'QP_FATAL'])
    assert.equal(completion(status).retryable, false, status);
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
