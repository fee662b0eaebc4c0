/**
 * A client writes and reads the server's memory by itself; the server's program runs no line for it. Then it gets more
 * memory by a grant, until the server takes that back:
 *
 *   node examples/one-sided.mjs
 */
import { connect, listen, RemoteBuffer } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const certificates = await devCertificates();

const options = { ...certificates.server, port: 0, bufferBytes: 4096 };
const server = await listen(options, async (connection) => {
  await connection.receive();
  console.log('server: my buffer holds', text(connection.buffer.subarray(0, 16)));

  const prices = new Float64Array([1.5, 2.5, 3.5]); // any memory of the program
  const grant = await connection.grant(prices, { read: true });
  await connection.send(grant.remote.encode()); // where it is, and the key to it

  await connection.receive();
  await grant.revoke(); // the key opens nothing any more
  await connection.send('revoked');
  await connection.receive();
});

const connection = await connect({ port: server.address.port, ...certificates.client });
const { remoteBuffer } = connection; // the 4096 bytes of bufferBytes
await connection.write(remoteBuffer, Buffer.from('written remotely'));
console.log('client: I have read back', text(await connection.read(remoteBuffer.at(8, 8))));
await connection.send('look');

const prices = RemoteBuffer.decode((await connection.receive()).data);
const bytes = await connection.read(prices);
console.log('client: the prices are', new Float64Array(bytes.buffer, bytes.byteOffset, 3).join(', '));

await connection.send('thanks');
await connection.receive();
await connection.read(prices).catch(({ code }) => console.log('client: now a read of them ends with', code));

await connection.close();
await server.close();

function text(bytes) {
  return Buffer.from(bytes).toString();
}
