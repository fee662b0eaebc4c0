/**
 * Run by a Node.js of the kind of machine that an addon is for, in a folder with the package: two ends over UDP and over memory, with the
 * addon and not without it. Prints one line of JSON.
 */
import { connect, listen, openDevice } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const { server, client } = await devCertificates({ dir: process.argv[2] });
/** An emulated processor is slow. */
const handshakeDeadlineMillis = 60_000;
const carried = [];
for (const io of ['native', 'shm']) {
  const devices = [];
  for (const port of [0, 0]) devices.push(await openDevice(`soft:127.0.0.1?port=${port}&io=${io}`));
  const [there, here] = devices;
  const echo = async (connection) => {
    for await (const { data } of connection) await connection.send(data);
  };
  const listener = await listen(
    { ...server, port: 0, bufferBytes: 4096, device: there, handshakeDeadlineMillis },
    echo,
  );
  const connection = await connect({
    ...client,
    port: listener.address.port,
    device: here,
    handshakeDeadlineMillis,
  });
  const sent = Buffer.alloc(100_000, io);
  await connection.send(sent);
  const { data } = await connection.receive();
  if (!sent.equals(data)) throw new Error(`a message came back changed over ${io}`);
  await connection.write(connection.remoteBuffer, Buffer.from('into your memory'));
  const read = Buffer.from(await connection.read(connection.remoteBuffer.at(10, 6))).toString();
  if (read !== 'memory') throw new Error(`'${read}' was read over ${io}`);
  await connection.close();
  await listener.close();
  for (const device of devices) await device.close();
  carried.push(io);
}
process.stdout.write(`${JSON.stringify({ node: process.version, arch: process.arch, carried })}\n`);
