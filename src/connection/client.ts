/** The client: connects to a server, verifies it, and brings a connection up. */
import { isIPv4 } from 'node:net';
import { openDevice } from '../open-device.js';
import { connectTls } from '../session/tls-client.js';
import type { Device } from '../verbs/device.js';
import type { Connection } from './connection.js';
import { establish } from './establish.js';
import { type CommonOptions, DEFAULT_PORT, withDefaults } from './options.js';
import { StepName, StepReporter } from './steps.js';

export interface ConnectOptions extends CommonOptions {
  /** Default 127.0.0.1. The server's certificate must name it, unless `servername` is given. */
  readonly host?: string;
  /** TCP port. Default 4433. */
  readonly port?: number;
  /** PEM: the authority that signed the server's certificate. Default: the public ones that Node trusts. */
  readonly ca?: string;
  /** PEM: our certificate and key, for servers that ask for them. */
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  /** Aborts connecting. */
  readonly signal?: AbortSignal;
}

let lastId = 0;

/**
 * Resolves when messages can be exchanged.
 *
 * @throws RdmaError ERR_RDMA_TLS, ERR_RDMA_REFUSED (the server says why), ERR_RDMA_TIMEOUT, ERR_RDMA_PROTOCOL,
 * ERR_RDMA_CONNECTION_LOST, ERR_RDMA_CERTIFICATE, ERR_RDMA_ADDRESS, ERR_RDMA_ABORTED.
 */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  const reporter = new StepReporter(++lastId, options.onStep);
  const channel = await connectTls({
    ...pick(options, ['ca', 'cert', 'key', 'servername', 'handshakeDeadlineMillis', 'signal']),
    host: options.host ?? '127.0.0.1',
    port: options.port ?? DEFAULT_PORT,
  });
  reporter.report(StepName.TLS, { peer: `${channel.remoteAddress}:${channel.remotePort}` });
  let owned: Device | undefined;
  try {
    if (typeof options.device !== 'object') {
      owned = await openDevice(deviceName(options.device, channel.localAddress));
    }
    const device = owned ?? (options.device as Device);
    const limits = withDefaults(options);
    const revealPsns = options.revealPsns ?? false;
    const connection = await establish({ channel, device, limits, reporter, revealPsns });
    const opened = owned;
    if (opened !== undefined) connection.onEnd(() => opened.close());
    return connection;
  } catch (error) {
    await channel.close();
    await owned?.close();
    throw error;
  }
}

/** `soft` without an address means: on the address that reaches the server. */
function deviceName(name: string | undefined, localAddress: string): string {
  const wanted = name ?? 'soft';
  if (wanted !== 'soft' && !wanted.startsWith('soft?')) return wanted;
  const mapped = localAddress.replace(/^::ffff:/i, '');
  return `soft:${isIPv4(mapped) ? mapped : localAddress}${wanted.slice('soft'.length)}`;
}

function pick<T extends object, K extends keyof T>(object: T, keys: readonly K[]): Partial<Pick<T, K>> {
  const result: Partial<Pick<T, K>> = {};
  for (const key of keys) if (object[key] !== undefined) result[key] = object[key];
  return result;
}
