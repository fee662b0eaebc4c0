/**
 * Files over streams of one connection, at the same time and beside messages; each stream is a Duplex of node:stream:
 *
 *   node examples/streams.mjs
 *
 * A stream that nobody reads holds up its writer, and neither its neighbours nor messages.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { connect, listen } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const certificates = await devCertificates();

const server = await listen({ ...certificates.server, port: 0 }, async (connection) => {
  // Answers with the hash of what it got: a stream ends in each direction by itself.
  connection.on('stream', (stream) => {
    pipeline(stream, createHash('sha256'), stream).catch(({ code }) =>
      console.log('server: a stream ended with', code),
    );
  });
  for await (const { data } of connection) await connection.send(data);
});

const connection = await connect({ port: server.address.port, ...certificates.client });
const stalled = connection.openStream();
stalled.write('nobody ends this one');

const files = await Promise.all(
  [1, 2, 3].map((number) => makeFile(`queuepair-${process.pid}-${number}`, number)),
);
const sent = files.map(send);
await connection.send('a message in between');
console.log(`"${Buffer.from((await connection.receive()).data)}" came back`);
for (const line of await Promise.all(sent)) console.log(line);

stalled.destroy(); // before its end: the server's stream is reset
await connection.close();
await server.close();
for (const path of files) await rm(path);

async function send(path, index) {
  const stream = connection.openStream();
  const ownHash = createHash('sha256');
  const file = createReadStream(path).on('data', (piece) => ownHash.update(piece));
  file.pipe(stream);
  const [theirHash] = await stream.toArray();
  const isEqual = ownHash.digest().equals(theirHash);
  return `file ${index + 1}: ${file.bytesRead} bytes, ${isEqual ? 'hashes are equal' : 'hashes differ'}`;
}

/** 16 MiB for each number. */
async function makeFile(name, number) {
  const path = join(tmpdir(), name);
  const file = await open(path, 'w');
  for (let i = 0; i < 16 * number; i++) await file.write(Buffer.alloc(1 << 20, `${number} ${i} `));
  await file.close();
  return path;
}
