import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSAL_KINDS, refusalKind } from '../../src/observe/refusal-kind.js';
import { refusalReason } from '../../src/session/tls-errors.js';

const failure = (code: string): Error => Object.assign(new Error(code), { code });

test('the reasons that TLS gives are sorted', () => {
  for (const [code, kind] of [
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'tls-version'],
    ['ERR_SSL_NO_APPLICATION_PROTOCOL', 'no-tls'],
    ['ERR_SSL_HTTP_REQUEST', 'no-tls'],
    ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 'certificate'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'certificate'],
    ['ERR_SSL_SOMETHING_NEW', 'other'],
  ] as const) {
    assert.equal(refusalKind(refusalReason(failure(code), undefined)), kind, code);
  }
  assert.equal(refusalKind(refusalReason(failure('x'), 'CERT_HAS_EXPIRED')), 'certificate');
});

test('the reasons of servers are sorted', () => {
  for (const [reason, kind] of [
    ['all 10 slots of this server are in use; try again later', 'no-slot'],
    ['this server is closing', 'closing'],
    ['the client did not finish TLS within 5000 ms', 'deadline'],
    ['the client 192.0.2.1:9 broke the session protocol (not_json): it is not JSON', 'protocol'],
    ['there is no connection that this session could take up', 'resumption'],
    ['too many TLS handshakes at once, and this one was the oldest', 'overload'],
    ['something else', 'other'],
  ] as const) {
    assert.equal(refusalKind(reason), kind);
    assert(REFUSAL_KINDS.includes(kind));
  }
});
