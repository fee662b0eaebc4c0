/** Development certificates as options. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { devCertificates } from '../../src/certificates/dev-credentials.js';

const folder = mkdtempSync(join(tmpdir(), 'queuepair-credentials-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('each side trusts the authority that signed the other side, and the server holds for the names that were given', async () => {
  const dir = join(folder, 'certs');
  const {
    server,
    client,
    created,
    dir: place,
  } = await devCertificates({ dir, names: ['alpha', '192.0.2.7'] });
  assert.deepEqual([created, place], [true, dir]);
  assert.equal(new X509Certificate(client.cert).verify(new X509Certificate(server.clientCa).publicKey), true);
  const own = new X509Certificate(server.cert);
  assert.equal(own.verify(new X509Certificate(client.ca).publicKey), true);
  assert.equal(own.checkIP('192.0.2.7'), '192.0.2.7');
  assert.match(String(own.subjectAltName), /DNS:alpha/);
  assert.deepEqual(await devCertificates({ dir }), { server, client, created: false, dir });
});

test('options that there are not, and names that cannot be, are refused in one sentence', async () => {
  const wrong = async (options: object): Promise<void> => {
    await assert.rejects(devCertificates(options), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  };
  await wrong({ dri: folder });
  await wrong({ names: 'alpha' });
  await wrong({ dir: join(folder, 'other'), names: ['not a name'] });
});
