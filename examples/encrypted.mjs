/**
 * The same exchange in the clear and sealed, with both packet captures searched for the words that were sent:
 *
 *   node examples/encrypted.mjs
 *
 * RDMA carries payloads in the clear. `encryption` seals messages and memory with keys that only the two ends of the TLS session
 * have. Both ends show a certificate here, so that each knows who the other is.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, listen, openDevice } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const certificates = await devCertificates();
const folder = await mkdtemp(join(tmpdir(), 'queuepair-'));

for (const encryption of [undefined, 'aes-256-gcm']) {
  const capture = join(folder, `${encryption ?? 'clear'}.pcapng`);
  await exchange(encryption, await openDevice(`soft:127.0.0.1?capture=${capture}`));
  const packets = await readFile(capture);
  for (const words of ['a secret message', 'a secret in memory']) {
    console.log(
      `${encryption ?? 'in the clear'}: "${words}" is ${packets.includes(words) ? '' : 'not '}on the wire`,
    );
  }
}
await rm(folder, { recursive: true });

async function exchange(encryption, device) {
  const options = { ...certificates.server, port: 0, bufferBytes: 4096, device, encryption };
  const server = await listen(options, serve);

  const { port } = server.address;
  const connection = await connect({ port, ...certificates.client });
  await connection.write(connection.remoteBuffer, Buffer.from('a secret in memory'));
  await connection.send('a secret message');
  await connection.receive();

  await connection.close();
  await server.close();
  await device.close(); // the capture is complete
}

async function serve(connection) {
  for await (const { data } of connection) {
    const memory = Buffer.from(connection.buffer.subarray(0, 18)).toString();
    console.log(`${connection.peer.subject} sent "${Buffer.from(data)}" and wrote "${memory}"`);
    await connection.send('thanks');
  }
}
