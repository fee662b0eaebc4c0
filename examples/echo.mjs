/**
 * A server that sends every message back, and a client of it:
 *
 *   node examples/echo.mjs
 *
 * The first run makes development certificates in your configuration directory. A server of your own brings its own.
 */
import { connect, listen } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const certificates = await devCertificates();

const server = await listen({ ...certificates.server, port: 0 }, async (connection) => {
  // Ends when the client closes; then the server closes its end, too.
  for await (const message of connection) await connection.send(message.data);
});

const connection = await connect({ port: server.address.port, ...certificates.client });
for (const text of ['hello', 'messages arrive whole and in order', 'x'.repeat(1_000_000)]) {
  await connection.send(text); // resolves when all of it is in the server's memory
  const { data } = await connection.receive();
  console.log(`${data.length} bytes came back: ${Buffer.from(data.subarray(0, 40)).toString()}`);
}

await connection.close();
await server.close();
