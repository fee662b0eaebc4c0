/** The client: connects to a server, verifies it, and brings a connection up. */
import { openDevice } from '../../open-device.js';
import { ProcessHold } from '../../process-hold.js';
import type { ClientCredentials } from '../../session/client-credentials.js';
import type { ControlChannel } from '../../session/control-channel.js';
import { connectTls, type TlsClientOptions } from '../../session/tls-client.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import { hostPort } from '../../verbs/host-port.js';
import { Cleanup } from '../common/cleanup.js';
import { StepName, StepReporter } from '../common/steps.js';
import { DataPath } from '../data-path/data-path.js';
import { Lifeline } from '../lifeline/lifeline.js';
import type { Rendezvous } from '../lifeline/rendezvous.js';
import { TlsRendezvous } from '../lifeline/tls-rendezvous.js';
import type { ConnectOptions } from '../options/connect-options.js';
import { checkConnect } from '../options/option-rules.js';
import { type PemSource, pemText } from '../options/pem.js';
import { Connection } from '../program/connection.js';
import { Diagnostics } from '../program/diagnostics.js';
import { warmUp } from '../program/warm-up.js';
import {
  type DataPathLimits,
  DEFAULT_HOST,
  DEFAULT_PORT,
  recoveryLimits,
  withDefaults,
} from '../terms/options.js';
import { connectToAny, type Place } from './several-servers.js';

let lastId = 0;

/**
 * Resolves when messages can be exchanged. Of several servers (`hosts`, `srv`) one after the other is tried, until one takes the
 * connection, or until something is wrong on this side.
 *
 * @throws RdmaError ERR_RDMA_TLS, ERR_RDMA_REFUSED (the server says why), ERR_RDMA_TIMEOUT, ERR_RDMA_PROTOCOL,
 * ERR_RDMA_CONNECTION_LOST, ERR_RDMA_CERTIFICATE, ERR_RDMA_ADDRESS, ERR_RDMA_ABORTED; ERR_RDMA_NO_SERVER where none of several
 * took it.
 */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  checkConnect(options);
  const limits = withDefaults(options);
  if (options.warmUp === true) await warmUp();
  if (options.hosts === undefined && options.srv === undefined) {
    const server = { host: options.host ?? DEFAULT_HOST, port: options.port ?? DEFAULT_PORT };
    return await connectTo({ ...server, ...pick(options, ['servername']) }, options, limits);
  }
  return await connectToAny(options, (place) => connectTo(place, options, limits));
}

async function connectTo(place: Place, options: ConnectOptions, limits: DataPathLimits): Promise<Connection> {
  const id = ++lastId;
  const server = hostPort(place.host, place.port);
  const diagnostics = new Diagnostics({ side: 'client', server: () => server, logger: options.logger });
  const startedAt = performance.now();
  try {
    const connection = await open(place, options, limits, id, diagnostics);
    diagnostics.connected(id, startedAt, connection);
    diagnostics.follow(connection);
    return connection;
  } catch (error) {
    diagnostics.connected(id, startedAt, asRdmaError(error, 'connecting failed'));
    throw error;
  }
}

async function open(
  place: Place,
  options: ConnectOptions,
  limits: DataPathLimits,
  id: number,
  diagnostics: Diagnostics,
): Promise<Connection> {
  const reporter = new StepReporter(id, diagnostics.steps(options.onStep));
  const target = {
    ...pick(options, ['handshakeDeadlineMillis']),
    ...credentialsOf(options),
    ...place,
  };
  const channel = await connectTls({ ...target, ...pick(options, ['signal']) });
  reporter.report(StepName.TLS, { peer: hostPort(channel.remoteAddress, channel.remotePort) });
  const hold = new ProcessHold();
  channel.unref();
  // What follows must not refer to the channel in any function: a connection that leaves its session would keep it.
  const address = channel.remoteAddress;
  let owned: Device | undefined;
  try {
    if (typeof options.device !== 'object') {
      owned = (await openDevice(options.device, { near: channel.localAddress })).unref();
    }
    const device = owned ?? (options.device as Device);
    const dataPath = new DataPath(device, limits, reporter, options.revealPsns ?? false);
    const lifeline: Lifeline = new Lifeline(new TlsRendezvous(channel), {
      dataPath,
      reporter,
      limits: recoveryLimits(options),
      // A name may have many addresses, and a server at another one knows nothing of this connection.
      nextRendezvous: (signal) => resume(lifeline.peerTerms?.resumeToken, { ...target, address, signal }),
    });
    if (owned !== undefined) lifeline.onEnd(() => device.close());
    const { signal } = options;
    // While the device was opened.
    if (signal?.aborted === true) throw aborted(signal);
    await establish(lifeline, signal);
    const owner = { hold, note: diagnostics.note(id) };
    return new Connection(id, lifeline, dataPath, limits, owner);
  } catch (error) {
    await giveUp(channel, owned);
    hold.end();
    throw error;
  }
}

/** Why it failed says more than why something cannot be freed. */
async function giveUp(channel: ControlChannel, device: Device | undefined): Promise<void> {
  const cleanup = new Cleanup();
  await cleanup.step(() => channel.close());
  await cleanup.step(async () => device?.close());
}

/** A new session that takes up the connection of this token. */
async function resume(token: string | undefined, target: TlsClientOptions): Promise<Rendezvous> {
  if (token === undefined) {
    throw new RdmaError(
      'ERR_RDMA_REFUSED',
      'the server does not let connections recover from a lost session',
      { refusal: 'resumption' },
    );
  }
  const channel = await connectTls({ ...target, wasAccepted: true });
  channel.unref();
  channel.send({ type: 'resume', token });
  return new TlsRendezvous(channel);
}

/** The signal is for as long as connecting takes. */
async function establish(lifeline: Lifeline, signal: AbortSignal | undefined): Promise<void> {
  const abort = (): void => lifeline.abort(aborted(signal));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await lifeline.establish();
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

const aborted = (signal: AbortSignal | undefined): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', 'the connection was aborted', { cause: signal?.reason });

function credentialsOf(options: ConnectOptions): ClientCredentials {
  const { ca, cert, key, pfx, passphrase, secureContext } = options;
  const text = (source: PemSource | undefined) => (source === undefined ? undefined : pemText(source));
  return { ca: text(ca), cert: text(cert), key: text(key), pfx, passphrase, secureContext };
}

function pick<T extends object, K extends keyof T>(object: T, keys: readonly K[]): Partial<Pick<T, K>> {
  const result: Partial<Pick<T, K>> = {};
  for (const key of keys) if (object[key] !== undefined) result[key] = object[key];
  return result;
}
