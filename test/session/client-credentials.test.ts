/** Parsed credentials are used again for the same PEM texts, and only for these. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { secureContextFor } from '../../src/session/client-credentials.js';
import { testCertificates } from './support.js';

test('the same texts give the same context, others another, and old ones are given up', async () => {
  const { ca, client, server } = await testCertificates();
  const caPem = ca.certPem;
  const ours = { ca: caPem, cert: client.certPem, key: client.keyPem };
  const context = secureContextFor(ours);
  assert.equal(secureContextFor({ ...ours }), context);
  assert.notEqual(secureContextFor({ ...ours, ca: server.certPem }), context);
  assert.notEqual(secureContextFor({ ca: caPem }), context);
  assert.equal(secureContextFor(ours), context);
  for (let i = 0; i < 8; i++) secureContextFor({ ca: `${caPem}${'\n'.repeat(i + 1)}` });
  assert.notEqual(secureContextFor(ours), context, 'eight others came since');
});

test('a key that does not belong to the certificate is refused each time, and not kept', async () => {
  const { client, server } = await testCertificates();
  const wrong = { cert: client.certPem, key: server.keyPem };
  for (let i = 0; i < 2; i++) assert.throws(() => secureContextFor(wrong), /key values mismatch/);
});
