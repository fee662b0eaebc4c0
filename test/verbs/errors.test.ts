import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { asRdmaError, type PlainError, RdmaError, type RdmaErrorCode } from '../../src/verbs/errors.js';
import type { RefusalKind } from '../../src/verbs/refusal-kind.js';

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
  const refused = (refusal: RefusalKind) => new RdmaError('ERR_RDMA_REFUSED', 'no', { refusal });
  const tls = (refusal: RefusalKind) => new RdmaError('ERR_RDMA_TLS', 'no', { refusal });
  const plain = (code: RdmaErrorCode) => new RdmaError(code, 'no');
  const worthwhile = [
    ...(['no-slot', 'quota', 'overload', 'timeout', 'closing', 'resources'] as const).map(refused),
    tls('tls-broken'),
    new RdmaError('ERR_RDMA_CONNECTION_LOST', 'no', { refusal: 'before-tls' }),
    plain('ERR_RDMA_CONNECTION_LOST'),
    plain('ERR_RDMA_UNREACHABLE'),
    plain('ERR_RDMA_QUEUE_FULL'),
    completion('RETRY_EXC_ERR'),
  ];
  const hopeless = [
    ...(['certificate', 'name', 'not-authorized', 'protocol', 'resumption', 'other'] as const).map(refused),
    ...(['certificate', 'tls-version', 'no-tls', 'tls'] as const).map(tls),
    plain('ERR_RDMA_INVALID_ARGUMENT'),
    plain('ERR_RDMA_OUTCOME_UNKNOWN'),
    plain('ERR_RDMA_ABORTED'),
    completion('REM_ACCESS_ERR'),
    completion('LOC_PROT_ERR'),
  ];
  const told = ({ code, refusal, status, retryable }: RdmaError) => [code, refusal, status, retryable];
  for (const error of worthwhile) assert.equal(error.retryable, true, told(error).join(' '));
  for (const error of hopeless) assert.equal(error.retryable, false, told(error).join(' '));
  assert.equal(RdmaError.fromJSON(refused('no-slot').toJSON()).retryable, true);
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
