/** Servers whose handlers run in worker threads, and clients that have the patience for them. */
import type { ConnectOptions } from '../src/connection/options/connect-options.js';
import type { ListenOptions } from '../src/connection/options/listen-options.js';
import type { Connection } from '../src/connection/program/connection.js';
import { listen, type Server } from '../src/connection/server/server.js';
import { connectTo, FREE_DEVICE, testCertificates } from './session-pair.js';

/** Threads begin beside those that the tests run in. */
const PATIENCE = { handshakeDeadlineMillis: 60_000 };

export async function startWorkerServer(
  handler: URL,
  workers: number,
  options: Partial<ListenOptions> = {},
): Promise<Server> {
  const { server } = await testCertificates();
  return listen({
    port: 0,
    cert: server.certPem,
    key: server.keyPem,
    device: FREE_DEVICE,
    workers,
    handler,
    ...PATIENCE,
    ...options,
  });
}

export const join = (server: Server, options: Partial<ConnectOptions> = {}): Promise<Connection> =>
  connectTo(server, { ...PATIENCE, ...options });
