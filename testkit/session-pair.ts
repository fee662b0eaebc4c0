/** A server and clients of the real thing for tests: real TLS on loopback, soft devices on any free port. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type DevCertificates, loadOrCreateDevCertificates } from '../src/certificates/dev-certificates.js';
import { messageService } from '../src/cli/service/message-service.js';
import { connect } from '../src/connection/client/client.js';
import type { ConnectOptions } from '../src/connection/options/connect-options.js';
import type { ListenOptions } from '../src/connection/options/listen-options.js';
import type { Connection } from '../src/connection/program/connection.js';
import type { ConnectionHandler } from '../src/connection/program/handler.js';
import { listen, type Server } from '../src/connection/server/server.js';

let certificates: Promise<DevCertificates> | undefined;

/** Development certificates in a temporary directory, made once a test file. */
export function testCertificates(): Promise<DevCertificates> {
  if (certificates === undefined) {
    const dir = mkdtempSync(join(tmpdir(), 'queuepair-test-'));
    after(() => rmSync(dir, { recursive: true, force: true }));
    certificates = loadOrCreateDevCertificates(join(dir, 'certs'));
  }
  return certificates;
}

export const FREE_DEVICE = 'soft:127.0.0.1?port=0';
/** What each side lets the other write and read, unless a test says otherwise. */
const BUFFER_BYTES = 1024 * 1024;

export async function startServer(
  handler: ConnectionHandler = messageService(),
  options: Partial<ListenOptions> = {},
): Promise<Server> {
  const { server } = await testCertificates();
  return listen(
    {
      port: 0,
      cert: server.certPem,
      key: server.keyPem,
      device: FREE_DEVICE,
      bufferBytes: BUFFER_BYTES,
      ...options,
    },
    handler,
  );
}

export async function connectTo(server: Server, options: Partial<ConnectOptions> = {}): Promise<Connection> {
  const { caPem } = await testCertificates();
  const { host, port } = server.address;
  return connect({ host, port, ca: caPem, device: FREE_DEVICE, bufferBytes: BUFFER_BYTES, ...options });
}

/** Resolves when nothing of any client is left; the test's own timeout bounds it. */
export async function serverIsEmpty(server: Server): Promise<void> {
  while (Object.values(server.census()).some((count) => count > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
