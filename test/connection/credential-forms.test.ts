/** Certificates and keys in all the forms in which programs have them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { devCertificates } from '../../src/certificates/dev-credentials.js';
import { connect } from '../../src/connection/client/client.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import { listen } from '../../src/connection/server/server.js';

const folder = mkdtempSync(join(tmpdir(), 'queuepair-forms-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const { server, client } = await devCertificates({ dir: join(folder, 'certs') });
const device = 'soft:127.0.0.1?port=0';
const passphrase = 'open sesame';

/** The subject that the server saw. */
async function meet(
  listening: Partial<ListenOptions>,
  connecting: Partial<ConnectOptions>,
): Promise<string | undefined> {
  let seen: string | undefined;
  const listener = await listen({ ...listening, device, port: 0 }, async (connection) => {
    seen = connection.peer?.subject;
    for await (const message of connection) await connection.send(message.data);
  });
  try {
    const connection = await connect({ ...connecting, device, port: listener.address.port });
    await connection.send('hello');
    assert.equal(Buffer.from((await connection.receive())?.data ?? []).toString(), 'hello');
    await connection.close();
    return seen;
  } finally {
    await listener.close();
  }
}

const encrypted = (pem: string): string =>
  createPrivateKey(pem)
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase })
    .toString();

test('encrypted keys open with their passphrase, at both ends', async () => {
  const subject = await meet(
    { ...server, key: encrypted(server.key), passphrase },
    { ...client, key: Buffer.from(encrypted(client.key)), passphrase },
  );
  assert.match(String(subject), /development client/);
  const wrong = { ...client, key: encrypted(client.key), passphrase: 'open barley' };
  await assert.rejects(meet(server, wrong), { code: 'ERR_RDMA_CERTIFICATE' });
});

test('a PKCS #12 file stands for certificate and key, at both ends', {
  skip: spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed',
}, async () => {
  const pfx = (name: string, { cert, key }: { cert: string; key: string }): Buffer => {
    const [input, output] = [join(folder, `${name}.pem`), join(folder, `${name}.p12`)];
    writeFileSync(input, `${key}\n${cert}`);
    const args = ['pkcs12', '-export', '-in', input, '-out', output, '-passout', `pass:${passphrase}`];
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return readFileSync(output);
  };
  const subject = await meet(
    { pfx: pfx('server', server), passphrase, clientCa: server.clientCa },
    { pfx: new Uint8Array(pfx('client', client)), passphrase, ca: [client.ca] },
  );
  assert.match(String(subject), /development client/);
});

test('a client takes a secure context of node:tls in place of all others', async () => {
  const secureContext = createSecureContext(client);
  assert.match(String(await meet(server, { secureContext })), /development client/);
});

test('forms that say the same twice, or half of it, are refused in one sentence', async () => {
  const refused = async (options: Partial<ConnectOptions>, message: RegExp): Promise<void> => {
    await assert.rejects(connect(options), { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
  };
  const pfx = new Uint8Array(1);
  await refused({ ...client, secureContext: createSecureContext(client) }, /secureContext or ca, not both/);
  await refused({ ...client, pfx }, /pfx, or cert and key, not both/);
  await refused({ cert: client.cert }, /needs key/);
  await refused({ pfx: new Uint8Array(0) }, /pfx must be the bytes of a PKCS #12 file/);
  const nothing = listen({ clientCa: server.clientCa }, () => undefined);
  await assert.rejects(nothing, { code: 'ERR_RDMA_INVALID_ARGUMENT', message: /needs cert: .* \(or pfx\)/ });
});
