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

test('a failure that has no sentence keeps its reason, as clean text, and its cause', () => {
  const unknown = failure('ERR_SSL_SOMETHING_NEW', '80CC41A6:error:0A:', 'something\u001b[2J new\n');
  const error = explainTlsError(unknown, SERVER);
  assert.equal(error.message, `TLS with ${SERVER} failed: something [2J new (ERR_SSL_SOMETHING_NEW)`);
  assert.equal(error.cause, unknown);
  assert.match(explainTlsError(failure(undefined), SERVER).message, /failed: raw text \(no code\)$/);
});

test('the verdict about a certificate comes before the error that it caused', () => {
  const reset = failure('ECONNRESET');
  assert.equal(refusalReason(reset, 'CERT_HAS_EXPIRED'), 'the certificate of the client has expired');
  assert.equal(
    refusalReason(reset, 'NEW_CODE'),
    'the certificate of the client cannot be verified (NEW_CODE)',
  );
  assert.match(refusalReason(reset, undefined), /^the client hung up during TLS/);
});
