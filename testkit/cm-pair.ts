/** Two soft devices of this host that meet by rdma_cm: a server's and a client's, each with an address of its own. */
import { CmConnection } from '../src/cm/cm-connection.js';
import { type CmIncoming, type CmServer, listen } from '../src/cm/cm-server.js';
import { connect } from '../src/cm/connect.js';
import type {
  CmAcceptOptions,
  CmConnectOptions,
  CmListenOptions,
  CmResolveOptions,
} from '../src/cm/options.js';
import { type Endpoint, type EndpointOptions, openEndpoint } from '../src/endpoint/endpoint.js';
import { openDevice } from '../src/open-device.js';
import type { Device } from '../src/verbs/device.js';
import { WorkCompletion } from '../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../src/verbs/work-request.js';

export const CLIENT_HOST = '127.0.0.2';
export const SERVER_HOST = '127.0.0.3';

export interface CmPairOptions {
  /** A name, or a device that is open; the pair closes it. */
  readonly clientDevice?: string | Device;
  readonly serverDevice?: string | Device;
  readonly listen?: CmListenOptions;
  readonly endpoint?: EndpointOptions;
}

export class CmPair implements AsyncDisposable {
  readonly client: Device;
  readonly server: Device;
  readonly listener: CmServer;
  /** Where the server's device takes packets, for clients. */
  readonly to: Pick<CmResolveOptions, 'host' | 'port' | 'udpPort'>;
  readonly #endpoint: EndpointOptions;

  static async open(options: CmPairOptions = {}): Promise<CmPair> {
    const client = await opened(options.clientDevice ?? `soft:${CLIENT_HOST}`);
    const server = await opened(options.serverDevice ?? `soft:${SERVER_HOST}`);
    const listener = await listen(server, options.listen);
    const { udpPort } = await server.queryPort();
    return new CmPair(client, server, listener, udpPort, options.endpoint ?? { memory: 4096 });
  }

  private constructor(
    client: Device,
    server: Device,
    listener: CmServer,
    udpPort: number,
    endpoint: EndpointOptions,
  ) {
    this.client = client;
    this.server = server;
    this.listener = listener;
    this.to = { ...listener.address, udpPort };
    this.#endpoint = endpoint;
  }

  /** An endpoint of either device with a receive for its whole memory. */
  async openEnd(device: Device): Promise<Endpoint> {
    const end = await openEndpoint(device, this.#endpoint);
    if (this.#endpoint.memory !== undefined) end.qp.postRecv({ wrId: 0, sges: [{ mr: end.memory }] });
    return end;
  }

  /** A connection with an endpoint at each end. */
  async meet(
    connectOptions: Partial<CmConnectOptions> = {},
    acceptOptions: Partial<CmAcceptOptions> = {},
  ): Promise<MetPair> {
    const ends = { clientEnd: await this.openEnd(this.client), serverEnd: await this.openEnd(this.server) };
    const connecting = connect(this.client, { ...this.to, qp: ends.clientEnd, ...connectOptions });
    const request = (await Promise.race([this.listener.next(), connecting])) as CmIncoming | undefined;
    if (request === undefined || request instanceof CmConnection) throw new Error('no request came');
    const accepting = request.accept({ qp: ends.serverEnd, ...acceptOptions });
    const [client, server] = await Promise.all([connecting, accepting]);
    return { ...ends, request, client, server };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.close();
    await this.client.close({ force: true });
    await this.server.close({ force: true });
  }
}

export interface MetPair {
  readonly request: CmIncoming;
  readonly client: CmConnection;
  readonly server: CmConnection;
  readonly clientEnd: Endpoint;
  readonly serverEnd: Endpoint;
}

const opened = async (device: string | Device): Promise<Device> =>
  typeof device === 'string' ? openDevice(device) : device;

/** Sends `bytes` and returns what the other end got into its memory. */
export async function exchange(from: Endpoint, to: Endpoint, bytes: Uint8Array): Promise<Uint8Array> {
  const wc = [new WorkCompletion()];
  from.memory.bytes.set(bytes, 2048);
  const sges = [{ mr: from.memory, offset: 2048, length: bytes.length }];
  from.qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
  if ((await to.take(wc)) !== 1) throw new Error('nothing arrived');
  const length = wc[0]?.byteLen ?? 0;
  if ((await from.take(wc)) !== 1) throw new Error('nothing was acknowledged');
  return to.memory.bytes.slice(0, length);
}

export const closeEnds = async ({ clientEnd, serverEnd }: MetPair): Promise<void> => {
  await clientEnd.close();
  await serverEnd.close();
};

const SOON_MILLIS = 15_000;

/** Fails by saying what did not happen, where a promise would keep a test waiting for ever. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}, but nothing happened for a long time`)), SOON_MILLIS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
