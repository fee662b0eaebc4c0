/** A server and a client whose devices and session can be made to fail. */
import type { ConnectOptions } from '../src/connection/options/connect-options.js';
import type { ListenOptions } from '../src/connection/options/listen-options.js';
import type { Connection } from '../src/connection/program/connection.js';
import type { ConnectionHandler } from '../src/connection/program/handler.js';
import type { Server } from '../src/connection/server/server.js';
import { FragileDevice } from './fragile-device.js';
import { connectTo, FREE_DEVICE, startServer } from './session-pair.js';
import { TcpCutter } from './tcp-cutter.js';

export interface FragilePair extends AsyncDisposable {
  readonly server: Server;
  readonly client: Connection;
  readonly serverDevice: FragileDevice;
  readonly clientDevice: FragileDevice;
  /** What the session goes through. */
  readonly tcp: TcpCutter;
}

/** At its end it must have left nothing at either device. */
export async function startFragilePair(
  handler?: ConnectionHandler,
  serverOptions: Partial<ListenOptions> = {},
  clientOptions: Partial<ConnectOptions> = {},
): Promise<FragilePair> {
  const serverDevice = await FragileDevice.open(FREE_DEVICE);
  const clientDevice = await FragileDevice.open(FREE_DEVICE);
  const server = await startServer(handler, { device: serverDevice.device, ...serverOptions });
  const tcp = await TcpCutter.to(server.address);
  const client = await connectTo(server, { device: clientDevice.device, port: tcp.port, ...clientOptions });
  return {
    server,
    client,
    serverDevice,
    clientDevice,
    tcp,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
      await tcp[Symbol.asyncDispose]();
      for (const device of [serverDevice, clientDevice]) await device.closeEmpty();
    },
  };
}
