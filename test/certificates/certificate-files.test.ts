import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CertificateFiles, loadCertificateFiles } from '../../src/certificates/certificate-files.js';
import { issueCertificate } from '../../src/certificates/certificate-maker.js';
import { days, type TestCertificates, testCertificates } from '../session/support.js';

let certificates: TestCertificates;
let dir = '';
before(async () => {
  certificates = await testCertificates();
  dir = await mkdtemp(join(tmpdir(), 'queuepair-files-'));
});
after(() => rm(dir, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

const pair = async (): Promise<{ cert: string; key: string }> => ({
  cert: await file('cert.pem', certificates.server.certPem),
  key: await file('key.pem', certificates.server.keyPem),
});

async function refused(files: CertificateFiles): Promise<string> {
  const error: unknown = await loadCertificateFiles(files).then(
    () => assert.fail('it was accepted'),
    (reason: unknown) => reason,
  );
  const { code, message } = error as { code?: string; message: string };
  assert.equal(code, 'ERR_RDMA_CERTIFICATE');
  return message;
}

test('the texts of all named files come back, and of none that was not named', async () => {
  const ca = await file('ca.pem', certificates.ca.certPem);
  const clientCa = await file('client-ca.pem', certificates.strangerCa.certPem);
  assert.deepEqual(await loadCertificateFiles({ ...(await pair()), ca, clientCa }), {
    certPem: certificates.server.certPem,
    keyPem: certificates.server.keyPem,
    caPem: certificates.ca.certPem,
    clientCaPem: certificates.strangerCa.certPem,
  });
  assert.deepEqual(await loadCertificateFiles({}), {});
  assert.deepEqual(Object.keys(await loadCertificateFiles({ ca })), ['caPem']);
});

test('a certificate and its key go together', async () => {
  const { cert, key } = await pair();
  assert.equal(await refused({ cert }), `${cert} is a certificate without a key; give both`);
  assert.equal(await refused({ key }), `${key} is a key without a certificate; give both`);
});

test('a file that is missing, a directory or unreadable is named', async () => {
  const { cert, key } = await pair();
  const missing = join(dir, 'missing.pem');
  for (const files of [
    { cert: missing, key },
    { cert, key: missing },
    { ca: missing },
    { clientCa: missing },
  ]) {
    assert.equal(await refused(files), `${missing} does not exist`);
  }
  assert.equal(await refused({ ca: dir }), `${dir} cannot be read: it is a directory`);
});

test('a file without permission is named', {
  skip: process.getuid?.() === 0 ? 'root may read every file' : process.platform === 'win32',
}, async () => {
  const secret = await file('secret.pem', certificates.ca.certPem);
  await chmod(secret, 0);
  assert.equal(await refused({ ca: secret }), `${secret} cannot be read: this user has no permission`);
});

test('a file that is not what it should be is named', async () => {
  const { cert, key } = await pair();
  const empty = await file('empty.pem', '');
  const damaged = await file(
    'damaged.pem',
    certificates.ca.certPem.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA'),
  );
  const truncated = await file('truncated.pem', certificates.ca.certPem.slice(0, 200));
  const huge = await file('huge.pem', certificates.ca.certPem.repeat(3000));
  const noCertificate = / holds no PEM certificate \(-----BEGIN CERTIFICATE-----\)$/;
  for (const ca of [empty, key, truncated]) assert.match(await refused({ ca }), noCertificate);
  assert.match(await refused({ cert: key, key }), noCertificate);
  assert.equal(await refused({ ca: damaged }), `${damaged} holds a damaged certificate`);
  assert.equal(await refused({ ca: huge }), `${huge} is larger than any PEM file`);
  assert.match(await refused({ cert, key: cert }), /cert\.pem holds no PEM private key/);
  const badKey = await file('bad-key.pem', certificates.server.keyPem.replace(/\n[A-Za-z]{8}/, '\nAAAAAAAA'));
  assert.equal(await refused({ cert, key: badKey }), `${badKey} holds a damaged private key`);
});

test('an encrypted key is refused with a word about its passphrase', async () => {
  const { cert } = await pair();
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  });
  const key = await file('encrypted.pem', privateKey);
  assert.match(
    await refused({ cert, key }),
    /encrypted\.pem is encrypted with a passphrase; give a key without one/,
  );
});

test('a key of another certificate is refused, naming both files', async () => {
  const { cert } = await pair();
  const key = await file('other-key.pem', certificates.client.keyPem);
  assert.equal(await refused({ cert, key }), `${key} is not the key of the certificate in ${cert}`);
});

test('a certificate that has expired, or is not valid yet, is refused with its date', async () => {
  const expired = await file('expired.pem', certificates.expiredServer.certPem);
  const key = await file('expired-key.pem', certificates.expiredServer.keyPem);
  assert.match(
    await refused({ cert: expired, key }),
    /expired\.pem holds a certificate that expired on .* GMT$/,
  );
  const future = await issueCertificate(certificates.ca, { commonName: 'x', use: 'server', ...days(1, 2) });
  const cert = await file('future.pem', future.certPem);
  const futureKey = await file('future-key.pem', future.keyPem);
  assert.match(await refused({ cert, key: futureKey }), /not valid before .* GMT; is the clock right\?$/);
});

test('the moment to judge by can be given', async () => {
  const cert = await file('expired.pem', certificates.expiredServer.certPem);
  const key = await file('expired-key.pem', certificates.expiredServer.keyPem);
  const { certPem } = await loadCertificateFiles({ cert, key }, days(-10, 0).notBefore);
  assert.equal(certPem, certificates.expiredServer.certPem);
});

test('a bundle of authorities may hold expired ones, but not only such', async () => {
  const { expiredServer, ca } = certificates;
  const some = await file('some.pem', expiredServer.certPem + ca.certPem);
  assert.deepEqual(await loadCertificateFiles({ ca: some }), { caPem: expiredServer.certPem + ca.certPem });
  const all = await file('all.pem', expiredServer.certPem.repeat(2));
  assert.match(await refused({ ca: all }), /all\.pem holds a certificate that expired on/);
});
