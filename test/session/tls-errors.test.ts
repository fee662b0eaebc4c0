import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainTlsError, refusalReason } from '../../src/session/tls-errors.js';

const failure = (code: string | undefined, message = 'raw text', reason?: string): Error =>
  Object.assign(
    new Error(message),
    code === undefined ? {} : { code },
    reason === undefined ? {} : { reason },
  );

const SERVER = 'the server 192.0.2.1:4433';

test('a known alert about our certificate becomes a sentence, in the words of old and new OpenSSL', () => {
  for (const family of ['SSLV3', 'SSL/TLS']) {
    const error = explainTlsError(failure(`ERR_SSL_${family}_ALERT_CERTIFICATE_EXPIRED`), SERVER);
    assert.equal(error.code, 'ERR_RDMA_TLS');
    assert.equal(error.message, `${SERVER} refused our certificate: it has expired`);
  }
});

test('failures of the network are told from failures of TLS', () => {
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND']) {
    assert.equal(explainTlsError(failure(code), SERVER).code, 'ERR_RDMA_CONNECTION_LOST');
  }
  assert.equal(explainTlsError(failure('ERR_SSL_WRONG_VERSION_NUMBER'), SERVER).code, 'ERR_RDMA_TLS');
});

test('what the system or a name server says is no failure of TLS, and what this side lacks is not the network’s', () => {
  const said = (code: string, syscall: string): Error =>
    Object.assign(new Error(`${syscall} ${code} a.test`), { code, syscall });
  for (const [code, syscall] of [
    ['ESERVFAIL', 'queryA'],
    ['ETIMEOUT', 'queryAaaa'],
    ['ENODATA', 'queryA'],
    ['EAI_FAIL', 'getaddrinfo'],
    ['EHOSTDOWN', 'connect'],
    ['EADDRNOTAVAIL', 'connect'],
    ['EINVAL', 'connect'],
  ] as const) {
    const error = explainTlsError(said(code, syscall), SERVER);
    assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST', code);
    assert.equal(error.retryable, true, code);
    assert.doesNotMatch(error.message, /TLS/);
  }
  const lacking = explainTlsError(said('EMFILE', 'connect'), SERVER);
  assert.equal(lacking.code, 'ERR_RDMA_LIMIT');
  assert.equal(lacking.fault, 'device');
  assert.equal(
    lacking.message,
    `cannot connect to ${SERVER}: this process has no file descriptor left (ulimit -n)`,
  );
});

test('a failure that has no sentence keeps its reason, as clean text, and its cause', () => {
  const unknown = failure('ERR_SSL_SOMETHING_NEW', '80CC41A6:error:0A:', 'something\u001b[2J new\n');
  const error = explainTlsError(unknown, SERVER);
  assert.equal(error.message, `TLS with ${SERVER} failed: something [2J new (ERR_SSL_SOMETHING_NEW)`);
  assert.equal(error.cause, unknown);
  assert.match(explainTlsError(failure(undefined), SERVER).message, /failed: raw text \(no code\)$/);
});

test('the verdict about a certificate comes before the error that it caused', () => {
  const reset = failure('ECONNRESET');
  assert.deepEqual(refusalReason(reset, 'CERT_HAS_EXPIRED'), {
    kind: 'certificate',
    sentence: 'the certificate of the client has expired',
  });
  assert.deepEqual(refusalReason(reset, 'NEW_CODE'), {
    kind: 'certificate',
    sentence: 'the certificate of the client cannot be verified (NEW_CODE)',
  });
});

test('a death in TLS is of the kind that it was', () => {
  for (const [code, kind] of [
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'tls-version'],
    ['ERR_SSL_NO_APPLICATION_PROTOCOL', 'no-tls'],
    ['ERR_SSL_HTTP_REQUEST', 'no-tls'],
    ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 'certificate'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'certificate'],
    ['ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC', 'tls-broken'],
    ['ERR_SSL_UNEXPECTED_EOF_WHILE_READING', 'tls-broken'],
    ['ERR_SSL_NO_SHARED_CIPHER', 'tls'],
    ['ERR_SSL_SOMETHING_NEW', 'tls'],
    ['ECONNRESET', 'left'],
    ['EPIPE', 'left'],
  ] as const) {
    assert.equal(refusalReason(failure(code), undefined).kind, kind, code);
  }
  const refused = explainTlsError(failure('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), SERVER);
  assert.equal(refused.refusal, 'certificate');
  assert.equal(explainTlsError(failure('ECONNREFUSED'), SERVER).refusal, undefined);
});
