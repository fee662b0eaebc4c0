/** Which transport the options ask for. Sessions unless `rdma` says otherwise: the plain protocol is never chosen silently. */
import type { Device } from '../verbs/device.js';
import { usageError } from '../verbs/errors.js';
import { leaseDevice } from './device-pool.js';
import type { ServerOptions, SocketConnectOptions } from './options.js';
import type { RsocketOptions } from './rsocket/rsocket-options.js';
import { RsocketTransport } from './rsocket/rsocket-transport.js';
import { SessionTransport } from './session-transport.js';
import type {
  ConnectTarget,
  ListeningTransport,
  ListenTarget,
  StreamListener,
  Transport,
  TransportStream,
} from './transport.js';

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function transportOf(options: SocketConnectOptions | ServerOptions): Transport {
  if (options.rdma !== 'rsocket') return new SessionTransport(options);
  const { device, udpPort, iomapEntries } = options;
  const { forkSafe } = options as SocketConnectOptions;
  if (device === undefined) {
    throw usageError("{ rdma: 'rsocket' } needs device: an open device or the name of one with its address");
  }
  return new PlainTransport(device, {
    ...(udpPort === undefined ? {} : { udpPort }),
    ...(iomapEntries === undefined ? {} : { iomapEntries }),
    ...(forkSafe === undefined ? {} : { forkSafe }),
  });
}

/** Rsockets on a device that is there as long as one of them is. */
class PlainTransport implements Transport {
  readonly #named: Device | string;
  readonly #options: RsocketOptions;

  constructor(named: Device | string, options: RsocketOptions) {
    this.#named = named;
    this.#options = options;
  }

  async connect(target: ConnectTarget): Promise<TransportStream> {
    const { device, release } = await leaseDevice(this.#named);
    try {
      const stream = await new RsocketTransport(device, this.#options).connect(target);
      // What goes on after `close`, such as telling the peer, needs the device.
      void stream.channel.closed.then(release);
      return stream;
    } catch (error) {
      release();
      throw error;
    }
  }

  async listen(target: ListenTarget, listener: StreamListener): Promise<ListeningTransport> {
    const { device, release } = await leaseDevice(this.#named);
    try {
      const listening = await new RsocketTransport(device, this.#options).listen(target, listener);
      let closing: Promise<void> | undefined;
      return {
        address: listening.address,
        stop: () => listening.stop(),
        close: () => {
          closing ??= listening.close().finally(release);
          return closing;
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }
}
