/** Streams of secure connections as a transport: many sockets share a connection, and another one costs no handshake. */
import type { Connection } from '../connection/program/connection.js';
import { listen } from '../connection/server/server.js';
import { type ClientSettings, clientSettings, serverSettings } from './option-rules.js';
import type { ServerOptions, SocketConnectOptions } from './options.js';
import { openChannel, takeChannels } from './session-channels.js';
import { sharedSessions } from './session-pool.js';
import type {
  ConnectTarget,
  EndAddress,
  ListeningTransport,
  ListenTarget,
  StreamListener,
  Transport,
  TransportStream,
} from './transport.js';

/** Clients at a time unless the program says otherwise: each is a process with all its sockets. */
const DEFAULT_SLOTS = 256;
/** No socket is open: a client that does not answer has this time to come back for its end. */
const IDLE_GRACE_MILLIS = 1000;
/** Sockets of one client that may be open at a time; others wait. */
const DEFAULT_OPEN_STREAMS = 1024;

export class SessionTransport implements Transport {
  readonly #options: SocketConnectOptions | ServerOptions;

  constructor(options: SocketConnectOptions | ServerOptions) {
    this.#options = options;
  }

  async connect(target: ConnectTarget): Promise<TransportStream> {
    const options = this.#options as SocketConnectOptions;
    const settings: ClientSettings = clientSettings(options);
    const { connection, release } = await sharedSessions.lease(
      target,
      settings,
      options.ownConnection === true,
    );
    try {
      const channel = await openChannel(connection, target.signal);
      return { channel, ...endsOf(connection), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async listen(target: ListenTarget, listener: StreamListener): Promise<ListeningTransport> {
    const { admission, ...settings } = serverSettings(this.#options as ServerOptions);
    const { backlog } = target;
    // A client that comes now is turned away, those that are there keep their sockets.
    let isStopped = false;
    const server = await listen(
      {
        slots: DEFAULT_SLOTS,
        streams: { open: DEFAULT_OPEN_STREAMS },
        ...settings,
        admission: { ...admission, ...(backlog === undefined ? {} : { backlog }) },
        host: target.host,
        port: target.port,
      },
      async (connection) => {
        connection.unref();
        if (isStopped) return;
        takeChannels(connection, (channel) =>
          listener.onStream({ channel, ...endsOf(connection), release: () => {} }),
        );
        await connection.closed;
      },
    );
    server.unref();
    return {
      address: { address: server.address.host, port: server.address.port },
      stop: () => {
        isStopped = true;
      },
      close: async () => {
        isStopped = true;
        for (const connection of server.connections) void connection.close();
        await server.close(IDLE_GRACE_MILLIS);
      },
    };
  }
}

/** Sockets of one connection have the same ends. */
function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Connection): {
  readonly local: EndAddress;
  readonly remote: EndAddress;
} {
  return {
    local: { address: localAddress, port: localPort },
    remote: { address: remoteAddress, port: remotePort },
  };
}
