/**
 * The server of the demo: the service of `queuepair serve`, which also keeps a running hash of the files that its
 * clients announce, send and write.
 */
import { createHash, type Hash } from 'node:crypto';
import { loadOrCreateDevCertificates } from '../../certificates/dev-certificates.js';
import type { Server } from '../../connection/server/server.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { ServiceTag } from '../service/service-tags.js';
import { type MessageHooks, startService, stopService } from '../service.js';
import { openDemoDevice } from './demo-device.js';
import { readAnnouncement } from './file-announcement.js';
import type { CapturedEvent, ServerEvent, ServerOrder } from './protocol.js';
import { playRole } from './role.js';

const SERVER_ADDRESS = '127.0.0.1';
type Tell = (event: ServerEvent) => void;

interface Running {
  readonly server: Server;
  readonly device: Device;
  readonly capture: string | undefined;
}

let running: Running | undefined;

playRole<ServerOrder, ServerEvent>({
  async obey(order, tell) {
    if (order.order === 'serve') {
      running = await serve(order, tell);
      return true;
    }
    if (running === undefined) throw new RdmaError('ERR_RDMA_INVALID_STATE', 'the server does not run');
    const { server, device, capture } = running;
    await stopService(server, tell, () => device.close());
    if (capture !== undefined) tell(captured(device, capture));
    return false;
  },
});

async function serve(order: Extract<ServerOrder, { order: 'serve' }>, tell: Tell): Promise<Running> {
  const { caPem, server, dir, created } = await loadOrCreateDevCertificates(order.certificateDir);
  tell({ event: 'certificates', dir, created });
  const { device, event } = await openDemoDevice(SERVER_ADDRESS, order.capture);
  tell(event);
  const options = {
    host: SERVER_ADDRESS,
    port: 0,
    cert: server.certPem,
    key: server.keyPem,
    clientCa: caPem,
    device,
    slots: order.slots,
    // Each client's device has a loopback address of its own, and its session another one.
    path: { peerAddress: 'any' } as const,
    revealPsns: order.revealPsns,
  };
  return { server: await startService(options, tell, fileHashes(tell)), device, capture: order.capture };
}

function captured(device: Device, path: string): CapturedEvent {
  const { captureWritten = 0, captureLeftOut = 0 } = device.counters();
  return { event: 'captured', path, packets: captureWritten, leftOut: captureLeftOut };
}

interface FileInProgress {
  readonly name: string;
  readonly bytes: number;
  readonly sent: Hash;
  readonly written: Hash;
  writtenBytes: number;
}

/** Each client is busy with one file at a time: announced, sent as a message, written in chunks. */
function fileHashes(tell: Tell): MessageHooks {
  const files = new Map<number, FileInProgress>();
  return {
    onMessage({ id }, { tag, data }) {
      if (tag !== ServiceTag.DATA) return;
      const announced = readAnnouncement(data);
      if (announced === undefined) files.get(id)?.sent.update(data);
      else
        files.set(id, {
          ...announced,
          sent: createHash('sha256'),
          written: createHash('sha256'),
          writtenBytes: 0,
        });
    },
    onWrite({ id }, bytes) {
      const file = files.get(id);
      if (file === undefined) return;
      file.written.update(bytes);
      file.writtenBytes += bytes.length;
      if (file.writtenBytes < file.bytes) return;
      files.delete(id);
      const { name, sent, written } = file;
      const hashes = { sentSha256: sent.digest('hex'), writtenSha256: written.digest('hex') };
      tell({ event: 'file', client: id, name, bytes: file.writtenBytes, ...hashes });
    },
  };
}
