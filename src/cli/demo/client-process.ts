/** A client of the demo: connects, says hello, sends, writes and reads back files, and quits. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadOrCreateDevCertificates } from '../../certificates/dev-certificates.js';
import { connect } from '../../connection/client/client.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { ServiceClient, sha256 } from '../service/message-service.js';
import { leftoverSockets, rounded } from '../service.js';
import { censusEvent } from '../service-events.js';
import { openDemoDevice } from './demo-device.js';
import { writeAnnouncement } from './file-announcement.js';
import type { ClientEvent, ClientFileEvent, ClientOrder, DemoFile } from './protocol.js';
import { playRole } from './role.js';

type Tell = (event: ClientEvent) => void;

interface Session {
  readonly device: Device;
  readonly client: ServiceClient;
}

let session: Session | undefined;
let oneSidedBytes = 0;

const tellBooted = playRole<ClientOrder, ClientEvent>({
  async obey(order, tell) {
    if (order.order === 'connect') {
      session = await start(order, tell);
      return true;
    }
    if (session === undefined) throw new RdmaError('ERR_RDMA_INVALID_STATE', 'the client is not connected');
    if (order.order === 'work') {
      await mkdir(order.copyDir, { recursive: true });
      for (const file of order.files) tell(await carry(session.client, file, order.copyDir));
      tell({ event: 'worked' });
      return true;
    }
    await quit(session, tell);
    return false;
  },
});
tellBooted({ event: 'booted' });

async function start(order: Extract<ClientOrder, { order: 'connect' }>, tell: Tell): Promise<Session> {
  const { caPem, client: own } = await loadOrCreateDevCertificates(order.certificateDir);
  const { device, event } = await openDemoDevice(`127.0.0.${order.client + 1}`, undefined);
  tell(event);
  const connection = await connect({
    host: order.host,
    port: order.port,
    ca: caPem,
    cert: own.certPem,
    key: own.keyPem,
    device,
    // The server never writes into its clients.
    bufferBytes: 0,
    revealPsns: order.revealPsns,
    onStep: ({ name, atMillis, details }) =>
      tell({ event: 'step', step: name, atMillis: rounded(atMillis), details }),
  });
  const client = new ServiceClient(connection);
  const welcome = await client.welcome();
  tell({ event: 'welcome', text: welcome, bufferBytes: connection.remoteBuffer?.length ?? 0 });
  const hello = `hello from client ${order.client}`;
  const startedAt = performance.now();
  const echo = Buffer.from(await client.echo(hello)).toString();
  tell({ event: 'echo', text: echo, equal: echo === hello, millis: rounded(performance.now() - startedAt) });
  return { device, client };
}

/** The same file three ways: as a message that is echoed, by RDMA writes, and back by RDMA reads. */
async function carry(
  client: ServiceClient,
  { name, path }: DemoFile,
  copyDir: string,
): Promise<ClientFileEvent> {
  const bytes = await readFile(path);
  await client.echo(writeAnnouncement(name, bytes.length));
  const sendAt = performance.now();
  const echo = await client.echo(bytes);
  const sendMillis = performance.now() - sendAt;
  const chunkBytes = client.connection.remoteBuffer?.length ?? 0;
  if (chunkBytes === 0) throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', 'the server of the demo has no buffer');
  const copies: Uint8Array[] = [];
  let writeMillis = 0;
  let readMillis = 0;
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    const writeAt = performance.now();
    await client.write(chunk);
    const readAt = performance.now();
    copies.push(await client.read(0, chunk.length));
    writeMillis += readAt - writeAt;
    readMillis += performance.now() - readAt;
  }
  oneSidedBytes += 2 * bytes.length;
  await writeFile(join(copyDir, name), copies);
  const readHash = createHash('sha256');
  for (const copy of copies) readHash.update(copy);
  return {
    event: 'file',
    name,
    bytes: bytes.length,
    sha256: sha256(bytes),
    echoSha256: sha256(echo),
    readSha256: readHash.digest('hex'),
    sendMillis: rounded(sendMillis),
    writeMillis: rounded(writeMillis),
    readMillis: rounded(readMillis),
  };
}

async function quit({ client, device }: Session, tell: Tell): Promise<void> {
  const { connection } = client;
  await connection.close();
  const failure = await connection.closed;
  if (failure !== undefined) throw failure;
  const { messagesSent, messagesReceived, bytesSent, bytesReceived, writes, reads } = connection.statistics;
  tell({
    event: 'totals',
    messages: messagesSent + messagesReceived,
    bytes: bytesSent + bytesReceived + oneSidedBytes,
    writes,
    reads,
  });
  const objects = device.census();
  // A device with open objects does not close; then its socket counts as left over, too.
  if (Object.values(objects).every((count) => count === 0)) await device.close();
  tell(censusEvent({ ...objects, sockets: await leftoverSockets() }));
}
