import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import { distinguishedName, subjectAltNames } from '../../src/session/peer-identity.js';
import { days } from './support.js';

async function altNames(names: readonly string[]): Promise<string[]> {
  const authority = await makeAuthority('names', days(-1, 1));
  const request = { commonName: 'x', use: 'client', names, ...days(-1, 1) } as const;
  return subjectAltNames(new X509Certificate((await issueCertificate(authority, request)).certPem));
}

test('alternative names come with their kind, one entry each', async () => {
  assert.deepEqual(await altNames(['a.test', '192.0.2.7', '*.b.test']), [
    'DNS:a.test',
    'IP:192.0.2.7',
    'DNS:*.b.test',
  ]);
  assert.deepEqual(await altNames([]), []);
});

test('a name that contains a separator stays one name, and cannot pose as another', async () => {
  const evil = 'evil.test, DNS:good.test';
  assert.deepEqual(await altNames([evil, 'own.test']), [`DNS:${evil}`, 'DNS:own.test']);
  const quoted = 'a", DNS:"good.test';
  assert.deepEqual(await altNames([quoted, 'own.test']), [`DNS:${quoted}`, 'DNS:own.test']);
});

test('a distinguished name is one clean line', () => {
  assert.equal(distinguishedName('C=DE\nO=Example\nCN=storage-7'), 'C=DE, O=Example, CN=storage-7');
  assert.equal(distinguishedName('CN=\u001b[31mred'), 'CN= [31mred');
  assert.equal(distinguishedName(undefined), '');
});
