/** The server that `serve` and the demo run: the message service, with everything that happens told as an event. */

import { randomUUID } from 'node:crypto';
import { Socket } from 'node:net';
import { BroadcastChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { ListenOptions } from '../connection/options/listen-options.js';
import { DEFAULT_SLOTS, listen, type Server } from '../connection/server/server.js';
import type { Device, PortAttributes } from '../verbs/device.js';
import { RdmaError, thrownText } from '../verbs/errors.js';
import { messageService, SERVICE_MODULE, type ServiceOptions } from './service/message-service.js';
import { type Emit, EVENTS, tellingHooks } from './service/telling.js';
import { type CensusEvent, censusEvent, type ServiceEvent } from './service-events.js';

/** What the service lends each client unless it is told otherwise. */
const BUFFER_BYTES = 1024 * 1024;

export type MessageHooks = Pick<ServiceOptions, 'onMessage' | 'onWrite' | 'share'>;

/** Of servers with workers: where those tell their events. */
const channels = new WeakMap<Server, BroadcastChannel>();

/**
 * With workers (`options.workers`) events of messages and writes come from their threads, and nothing is shared: hooks stay unused.
 *
 * @throws RdmaError of `listen`.
 */
export async function startService(
  options: ListenOptions,
  emit: Emit,
  hooks: MessageHooks = {},
): Promise<Server> {
  const telling = tellingHooks(emit);
  const handler = messageService({
    ...(hooks.share === undefined ? {} : { share: hooks.share }),
    onMessage(connection, message) {
      telling.onMessage(connection, message);
      hooks.onMessage?.(connection, message);
    },
    onWrite(connection, bytes, acknowledgement) {
      telling.onWrite(connection, bytes, acknowledgement);
      hooks.onWrite?.(connection, bytes, acknowledgement);
    },
  });
  const onStep: ListenOptions['onStep'] = ({ connection, name, atMillis, details }) =>
    emit({ event: 'step', client: connection, step: name, atMillis: rounded(atMillis), details });
  const all = { ...options, bufferBytes: options.bufferBytes ?? BUFFER_BYTES };
  const inWorkers = (options.workers ?? 0) > 0;
  const server = inWorkers
    ? await listenInWorkers({ ...all, onStep }, emit)
    : await listen({ ...all, onStep }, handler);
  tellEvents(server, emit);
  emit(await listeningEvent(server, all));
  return server;
}

/** Workers are asked by the address of their module to tell their events on a channel of this service alone. */
async function listenInWorkers(options: ListenOptions, emit: Emit): Promise<Server> {
  const channel = new BroadcastChannel(`queuepair service ${randomUUID()}`);
  channel.unref();
  channel.onmessage = ({ data }) => emit(data as ServiceEvent);
  const handler = new URL(SERVICE_MODULE);
  handler.searchParams.set(EVENTS, channel.name);
  try {
    const server = await listen({ ...options, handler });
    channels.set(server, channel);
    return server;
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** What was told before is told. */
function endChannel(server: Server, emit: Emit): void {
  const channel = channels.get(server);
  if (channel === undefined) return;
  for (let last = receiveMessageOnPort(channel as unknown as MessagePort); last !== undefined; ) {
    emit(last.message as ServiceEvent);
    last = receiveMessageOnPort(channel as unknown as MessagePort);
  }
  channel.close();
}

/**
 * Closes the server, which frees everything, and counts what is left. Never throws. `closeDevice` is for those who gave
 * the server a device.
 */
export async function stopService(
  server: Server,
  emit: Emit,
  closeDevice: () => Promise<void> = async () => {},
): Promise<CensusEvent> {
  try {
    await server.close();
    endChannel(server, emit);
    await closeDevice();
  } catch (error) {
    const message = error instanceof RdmaError ? error.message : String(error);
    emit({ event: 'handler-error', client: 0, message });
  }
  const census = censusEvent({ ...server.census(), sockets: await leftoverSockets() });
  emit(census);
  return census;
}

function tellEvents(server: Server, emit: Emit): void {
  server.on('connection', (connection) => {
    const { id, remoteAddress, peer } = connection;
    emit({ event: 'connected', client: id, address: remoteAddress, peer: peer?.subject ?? null });
  });
  server.on('disconnection', (connection, error) => {
    const { id, statistics } = connection;
    const told = error === undefined ? null : { code: error.code, message: error.message };
    emit({ event: 'disconnected', client: id, error: told, statistics });
  });
  server.on('refused', ({ address, port, kind, reason }) =>
    emit({ event: 'refused', address, port, kind, reason }),
  );
  server.on('workerLost', ({ worker, connections, restartMillis, error: { message } }) =>
    emit({ event: 'worker-lost', worker, connections, restartMillis, message }),
  );
  server.on('handlerError', (connection, error) => {
    const message = thrownText(error);
    emit({ event: 'handler-error', client: connection.id, message });
  });
}

async function listeningEvent(server: Server, options: ListenOptions): Promise<ServiceEvent> {
  const workers = server.workers.flatMap(({ device }) => (device === null ? [] : [device]));
  const { name, udpPort, activeMtu, exactIcrc } = workers[0] ?? (await ownDevice(server.device));
  return {
    event: 'listening',
    ...server.address,
    device: name,
    udpPort,
    pathMtu: activeMtu,
    exactIcrc,
    slots: options.slots ?? DEFAULT_SLOTS,
    bufferBytes: options.bufferBytes ?? 0,
    ...(workers.length === 0
      ? {}
      : { workers: workers.map((worker) => ({ device: worker.name, udpPort: worker.udpPort })) }),
    mutualTls: options.clientCa !== undefined,
  };
}

const ownDevice = async (device: Device): Promise<{ name: string } & PortAttributes> => ({
  name: device.name,
  ...(await device.queryPort()),
});

const LINGER_MILLIS = 200;

/**
 * Sockets of this process that do not go away, listening ones too. One that is just closing gets its moment. Standard
 * output may be a socket itself, as under inetd, and is not ours to close.
 */
export async function leftoverSockets(): Promise<number> {
  const deadline = performance.now() + LINGER_MILLIS;
  const given = [process.stdout, process.stderr].filter(isTcpSocket).length;
  for (;;) {
    const open = process.getActiveResourcesInfo().filter((kind) => /^(TCP|UDP)/.test(kind)).length;
    const sockets = Math.max(open - given, 0);
    if (sockets === 0 || performance.now() > deadline) return sockets;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const isTcpSocket = (stream: object): boolean =>
  stream instanceof Socket && stream.remoteAddress !== undefined;

/** Microseconds are all that a reader wants. */
export const rounded = (millis: number): number => Math.round(millis * 1000) / 1000;
