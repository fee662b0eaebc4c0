/** Parsed credentials are used again for the same PEM texts, and only for these. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { secureContextFor } from '../../src/session/client-credentials.js';
import { loadOrCreateDevCertificates } from '../../src/session/dev-certificates.js';

test('the same texts give the same context, others another, and old ones are given up', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'queuepair-credentials-'));
  try {
    const { caPem, client, server } = await loadOrCreateDevCertificates(directory);
    const ours = { ca: caPem, cert: client.certPem, key: client.keyPem };
    const context = secureContextFor(ours);
    assert.equal(secureContextFor({ ...ours }), context);
    assert.notEqual(secureContextFor({ ...ours, ca: server.certPem }), context);
    assert.notEqual(secureContextFor({ ca: caPem }), context);
    assert.equal(secureContextFor(ours), context);
    for (let i = 0; i < 8; i++) secureContextFor({ ca: `${caPem}${'\n'.repeat(i + 1)}` });
    assert.notEqual(secureContextFor(ours), context, 'eight others came since');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a key that does not belong to the certificate is refused each time, and not kept', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'queuepair-credentials-'));
  try {
    const { client, server } = await loadOrCreateDevCertificates(directory);
    const wrong = { cert: client.certPem, key: server.keyPem };
    for (let i = 0; i < 2; i++) assert.throws(() => secureContextFor(wrong), /key values mismatch/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
